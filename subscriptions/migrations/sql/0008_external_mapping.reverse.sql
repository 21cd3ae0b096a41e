DROP TABLE public.event_system_external_mapping;
DROP TABLE public.event_system_connection;
