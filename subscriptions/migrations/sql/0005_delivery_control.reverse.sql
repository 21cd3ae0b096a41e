ALTER TABLE public.event_system_subscription
    DROP COLUMN owner,
    DROP COLUMN disabled_reason,
    DROP COLUMN previous_secret,
    DROP COLUMN previous_secret_until,
    DROP COLUMN secret_revealed_at;
DROP TABLE public.event_system_gate;
DROP INDEX public.event_system_delivery_due;
DROP INDEX public.event_system_delivery_failed;
DROP INDEX public.event_system_delivery_held;
DROP INDEX public.event_system_delivery_record;
UPDATE public.event_system_delivery SET status = CASE status
    WHEN 'waiting' THEN 'pending' WHEN 'superseded' THEN 'canceled' ELSE 'dead' END
WHERE status IN ('waiting', 'superseded', 'expired');
ALTER TABLE public.event_system_delivery
    DROP CONSTRAINT event_system_delivery_status_check,
    ADD CONSTRAINT event_system_delivery_status_check CHECK (status IN (
        'pending', 'running', 'retrying', 'held', 'delivered', 'dead', 'blocked', 'canceled')),
    DROP COLUMN batch_id,
    DROP COLUMN record_key;
CREATE INDEX event_system_delivery_due ON public.event_system_delivery (due_at)
    WHERE status IN ('pending', 'running', 'retrying');
