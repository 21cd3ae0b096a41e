DROP TABLE public.event_system_scheduled_event;
