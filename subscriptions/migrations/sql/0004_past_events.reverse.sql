DROP INDEX public.event_system_event_type;
