DROP TRIGGER subscription_5_gate ON public.event_system_subscription;
DROP FUNCTION public.event_system_subscription_gate();
ALTER TABLE public.event_system_subscription
    DROP COLUMN owner,
    DROP COLUMN disabled_reason,
    DROP COLUMN previous_secret,
    DROP COLUMN previous_secret_until,
    DROP COLUMN secret_revealed_at;
DROP TABLE public.event_system_gate;
DROP INDEX public.event_system_delivery_due;
DROP INDEX public.event_system_delivery_failed;
DROP INDEX public.event_system_delivery_batch;
DROP INDEX public.event_system_delivery_shut;
DROP INDEX public.event_system_delivery_stopped;
DROP INDEX public.event_system_delivery_record;
UPDATE public.event_system_delivery SET status = CASE status
    WHEN 'waiting' THEN 'pending' WHEN 'queued' THEN 'pending' WHEN 'superseded' THEN 'canceled' ELSE 'dead' END
WHERE status IN ('waiting', 'queued', 'superseded', 'expired');
ALTER TABLE public.event_system_delivery
    DROP CONSTRAINT event_system_delivery_status_check,
    ADD CONSTRAINT event_system_delivery_status_check CHECK (status IN (
        'pending', 'running', 'retrying', 'held', 'delivered', 'dead', 'blocked', 'canceled')),
    DROP COLUMN slot_at,
    DROP COLUMN batch_id,
    DROP COLUMN record_key;
CREATE INDEX event_system_delivery_due ON public.event_system_delivery (due_at)
    WHERE status IN ('pending', 'running', 'retrying');
