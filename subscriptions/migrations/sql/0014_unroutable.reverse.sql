ALTER TABLE public.event_system_relay_cursor DROP COLUMN highest_seq;
DROP TABLE public.event_system_unroutable;
