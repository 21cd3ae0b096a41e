-- Events that the relay could not route as they stand, why, and since when: see subscriptions/unroutable.py.
CREATE TABLE public.event_system_unroutable (
    event_seq bigint PRIMARY KEY,
    event_id uuid NOT NULL,
    company text,
    reason text NOT NULL,
    noticed_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);

-- The highest seq that a cursor's relay has ever read. Whatever a restore brings about transaction ids, what is
-- written after it has a higher one. For cursors of before: what the sequence has given out.
ALTER TABLE public.event_system_relay_cursor ADD COLUMN highest_seq bigint NOT NULL DEFAULT 0;
UPDATE public.event_system_relay_cursor
SET highest_seq = (SELECT last_value FROM public.event_system_event_seq)
WHERE highest_seq OPERATOR(pg_catalog.=) 0;
