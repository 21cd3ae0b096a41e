DROP TABLE public.event_system_dead_letter;
DROP TABLE public.event_system_inbox;
