-- What delivery needs beside attempts: order and collapse by record, batches, a gate for each subscription.

ALTER TABLE public.event_system_delivery
    -- Which record (or event key) it is about; only where order, debounce or collapse ask for it.
    ADD COLUMN record_key text,
    -- The deliveries of one request keep together over its attempts.
    ADD COLUMN batch_id bigint,
    -- The place in its subscription's rate that is kept for it.
    ADD COLUMN slot_at timestamptz,
    DROP CONSTRAINT event_system_delivery_status_check,
    ADD CONSTRAINT event_system_delivery_status_check CHECK (status IN (
        'pending', 'running', 'retrying', 'waiting', 'queued', 'held',
        'delivered', 'superseded', 'dead', 'expired', 'blocked', 'canceled'));
-- Whether an earlier or a later delivery of a record is still open.
CREATE INDEX event_system_delivery_record
    ON public.event_system_delivery (subscription_id, record_key, event_seq)
    WHERE record_key IS NOT NULL
        AND status IN ('pending', 'running', 'retrying', 'waiting', 'queued', 'held');
-- What a subscription sends when it is resumed, or when its receiver is well or has room again.
CREATE INDEX event_system_delivery_stopped
    ON public.event_system_delivery (subscription_id, status, event_seq)
    WHERE status IN ('held', 'queued');
-- What an open breaker has stopped.
CREATE INDEX event_system_delivery_shut ON public.event_system_delivery (subscription_id, event_seq)
    WHERE status = 'queued' AND due_at IS NULL;
CREATE INDEX event_system_delivery_batch ON public.event_system_delivery (batch_id)
    WHERE batch_id IS NOT NULL AND status = 'pending';
-- What a replay finds.
CREATE INDEX event_system_delivery_failed ON public.event_system_delivery (subscription_id, event_at)
    WHERE status IN ('dead', 'expired', 'canceled', 'blocked');
-- A delivery that waits for another is looked at again, should nobody have called it.
DROP INDEX public.event_system_delivery_due;
CREATE INDEX event_system_delivery_due ON public.event_system_delivery (due_at)
    WHERE status IN ('pending', 'running', 'retrying', 'waiting', 'queued');

-- One row per subscription that has failed or has a rate: the breaker, and the place in the rate.
CREATE TABLE public.event_system_gate (
    subscription_id bigint PRIMARY KEY,
    failures integer NOT NULL DEFAULT 0,  -- in a row
    failing_since timestamptz,
    openings integer NOT NULL DEFAULT 0,  -- since the last success
    open_until timestamptz,  -- no delivery until then but the probe
    probe_id bigint,  -- the delivery that is sent to see whether the receiver is well
    next_at timestamptz  -- when max_rate has its next free place
) WITH (fillfactor = 50);

ALTER TABLE public.event_system_subscription
    ADD COLUMN owner text,  -- a mail address: who is told when the platform disables it
    ADD COLUMN disabled_reason text,
    -- Both sign until then: a receiver takes over the new one at leisure.
    ADD COLUMN previous_secret text CHECK (previous_secret NOT LIKE 'whsec\_%'),
    ADD COLUMN previous_secret_until timestamptz,
    ADD COLUMN secret_revealed_at timestamptz;

-- Another receiver, or one that was given another chance, begins afresh.
CREATE FUNCTION public.event_system_subscription_gate() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        DELETE FROM public.event_system_gate WHERE subscription_id = OLD.id;
        RETURN NULL;
    END IF;
    IF (NEW.active AND NOT OLD.active) OR NEW.handler_type <> OLD.handler_type
        OR NEW.config - 'secret' <> OLD.config - 'secret'
        OR NEW.max_rate IS DISTINCT FROM OLD.max_rate
    THEN
        DELETE FROM public.event_system_gate WHERE subscription_id = NEW.id;
    END IF;
    IF NEW.active AND NOT OLD.active AND NEW.disabled_reason IS NOT NULL THEN
        UPDATE public.event_system_subscription SET disabled_reason = NULL WHERE id = NEW.id;
    END IF;
    IF NEW.max_rate IS DISTINCT FROM OLD.max_rate THEN
        UPDATE public.event_system_delivery SET status = 'pending', due_at = clock_timestamp(), slot_at = NULL
        WHERE subscription_id = NEW.id AND status = 'queued';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER subscription_5_gate
    AFTER DELETE OR UPDATE OF active, handler_type, config, max_rate ON public.event_system_subscription
    FOR EACH ROW EXECUTE FUNCTION public.event_system_subscription_gate();
