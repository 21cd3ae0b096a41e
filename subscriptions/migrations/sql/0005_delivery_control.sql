-- What delivery needs beside attempts: order and collapse by record, batches, a gate for each subscription.

ALTER TABLE public.event_system_delivery
    -- Which record (or event key) it is about; only where order, debounce or collapse ask for it.
    ADD COLUMN record_key text,
    -- The deliveries of one request keep together over its attempts.
    ADD COLUMN batch_id bigint,
    DROP CONSTRAINT event_system_delivery_status_check,
    ADD CONSTRAINT event_system_delivery_status_check CHECK (status IN (
        'pending', 'running', 'retrying', 'waiting', 'held',
        'delivered', 'superseded', 'dead', 'expired', 'blocked', 'canceled'));
-- Whether an earlier or a later delivery of a record is still open.
CREATE INDEX event_system_delivery_record
    ON public.event_system_delivery (subscription_id, record_key, event_seq)
    WHERE record_key IS NOT NULL AND status IN ('pending', 'running', 'retrying', 'waiting', 'held');
-- What a resumed subscription sends, and what has been held too long.
CREATE INDEX event_system_delivery_held ON public.event_system_delivery (subscription_id, event_seq)
    WHERE status = 'held';
-- What a replay finds.
CREATE INDEX event_system_delivery_failed ON public.event_system_delivery (subscription_id, event_at)
    WHERE status IN ('dead', 'expired', 'canceled', 'blocked');
-- A delivery that waits for an earlier one is looked at again, should nobody have called it.
DROP INDEX public.event_system_delivery_due;
CREATE INDEX event_system_delivery_due ON public.event_system_delivery (due_at)
    WHERE status IN ('pending', 'running', 'retrying', 'waiting');

-- One row per subscription that has failed or has a rate: the breaker, and the place in the rate.
CREATE TABLE public.event_system_gate (
    subscription_id bigint PRIMARY KEY,
    failures integer NOT NULL DEFAULT 0,  -- in a row
    failing_since timestamptz,
    openings integer NOT NULL DEFAULT 0,  -- since the last success
    open_until timestamptz,  -- deliveries wait until then; after it, one at a time is a probe
    max_rate integer,  -- for which the two below hold
    next_at timestamptz,  -- when the rate allows the next one
    queued_until timestamptz  -- where the line of those that the rate made wait ends
) WITH (fillfactor = 50);

ALTER TABLE public.event_system_subscription
    ADD COLUMN owner text,  -- a mail address: who is told when the platform disables it
    ADD COLUMN disabled_reason text,
    -- Both sign until then: a receiver takes over the new one at leisure.
    ADD COLUMN previous_secret text CHECK (previous_secret NOT LIKE 'whsec\_%'),
    ADD COLUMN previous_secret_until timestamptz,
    ADD COLUMN secret_revealed_at timestamptz;
