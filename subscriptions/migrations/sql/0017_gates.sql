-- Gates are locked in the order of their subscriptions, whatever the order in which one statement changed those;
-- another receiver closes the breaker, and leaves the subscription its place in its rate.

DROP TRIGGER subscription_5_gate ON public.event_system_subscription;

CREATE OR REPLACE FUNCTION public.event_system_subscription_gate() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    afresh bigint[];
    other_rate bigint[];
BEGIN
    PERFORM public.event_system_require_subscriptions(TG_RELID);
    IF TG_OP = 'DELETE' THEN
        PERFORM FROM public.event_system_gate AS g
        WHERE g.subscription_id IN (SELECT o.id FROM old_rows AS o) ORDER BY g.subscription_id FOR UPDATE;
        DELETE FROM public.event_system_gate AS g WHERE g.subscription_id IN (SELECT o.id FROM old_rows AS o);
        RETURN NULL;
    END IF;
    SELECT array_agg(n.id), array_agg(n.id) FILTER (WHERE n.max_rate IS DISTINCT FROM o.max_rate)
    INTO afresh, other_rate
    FROM new_rows AS n JOIN old_rows AS o ON o.id = n.id
    WHERE (n.active AND NOT o.active) OR n.handler_type <> o.handler_type
        OR n.config - 'secret' <> o.config - 'secret' OR n.max_rate IS DISTINCT FROM o.max_rate;
    IF afresh IS NULL THEN
        RETURN NULL;
    END IF;
    PERFORM FROM public.event_system_gate AS g
    WHERE g.subscription_id = ANY (afresh) ORDER BY g.subscription_id FOR UPDATE;
    UPDATE public.event_system_gate AS g
    SET failures = 0, failing_since = NULL, openings = 0, open_until = NULL, probe_id = NULL,
        next_at = CASE WHEN g.subscription_id = ANY (other_rate) THEN NULL ELSE g.next_at END
    WHERE g.subscription_id = ANY (afresh);
    UPDATE public.event_system_subscription AS s SET disabled_reason = NULL
    WHERE s.id IN (
        SELECT n.id FROM new_rows AS n JOIN old_rows AS o ON o.id = n.id
        WHERE n.active AND NOT o.active AND n.disabled_reason IS NOT NULL);
    -- Those that keep a place of the former rate take one of the new; the rest is called page by page.
    WITH placed AS (
        SELECT d.id, d.event_at FROM public.event_system_delivery AS d
        WHERE d.subscription_id = ANY (other_rate) AND d.status = 'queued' AND d.slot_at IS NOT NULL
        ORDER BY d.id FOR NO KEY UPDATE)
    UPDATE public.event_system_delivery AS d SET status = 'pending', due_at = clock_timestamp(), slot_at = NULL
    FROM placed WHERE d.id = placed.id AND d.event_at = placed.event_at;
    RETURN NULL;
END $$;

-- Two triggers, and none with a list of columns: what holds all rows of a statement must be so.
CREATE TRIGGER subscription_5_gate AFTER UPDATE ON public.event_system_subscription
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION public.event_system_subscription_gate();
CREATE TRIGGER subscription_5_gate_gone AFTER DELETE ON public.event_system_subscription
    REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION public.event_system_subscription_gate();
