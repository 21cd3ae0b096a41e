DROP INDEX public.event_system_delivery_ended;
