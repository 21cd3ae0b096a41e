DROP TRIGGER subscription_5_gate ON public.event_system_subscription;
DROP TRIGGER subscription_5_gate_gone ON public.event_system_subscription;

CREATE OR REPLACE FUNCTION public.event_system_subscription_gate() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM public.event_system_require_subscriptions(TG_RELID);
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
