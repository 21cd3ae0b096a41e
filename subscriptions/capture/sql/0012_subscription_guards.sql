-- The functions with our rights behind the subscriptions' triggers work for the real table only: even a role that
-- may execute them changes neither interest nor gates through a table of its own.

CREATE FUNCTION public.event_system_require_subscriptions(relation oid) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF relation <> 'public.event_system_subscription'::regclass THEN
        RAISE EXCEPTION '% is not event_system_subscription, whose trigger this is', relation::regclass
            USING ERRCODE = 'insufficient_privilege';
    END IF;
END $$;

CREATE OR REPLACE FUNCTION public.event_system_subscription_interest() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM public.event_system_require_subscriptions(TG_RELID);
    IF TG_OP <> 'INSERT' AND OLD.active AND OLD."table" IS NOT NULL THEN
        UPDATE public.event_system_interest AS i SET subscriptions = i.subscriptions - 1
        WHERE i."table" = OLD."table" AND i.operation = ANY (OLD.operations)
            AND i.company = COALESCE(OLD.company, '*');
        DELETE FROM public.event_system_interest AS i
        WHERE i."table" = OLD."table" AND i.operation = ANY (OLD.operations)
            AND i.company = COALESCE(OLD.company, '*') AND i.subscriptions <= 0;
    END IF;
    IF TG_OP <> 'DELETE' AND NEW.active AND NEW."table" IS NOT NULL THEN
        PERFORM public.event_system_ask(NEW."table");
        INSERT INTO public.event_system_interest AS i ("table", operation, company, subscriptions)
        SELECT DISTINCT NEW."table", o, COALESCE(NEW.company, '*'), 1 FROM unnest(NEW.operations) AS o
        ON CONFLICT ("table", operation, company) DO UPDATE SET subscriptions = i.subscriptions + 1;
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION public.event_system_subscription_revise() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM public.event_system_require_subscriptions(TG_RELID);
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM public.event_system_interest WHERE "table" <> '';
    END IF;
    UPDATE public.event_system_revision SET revision = revision + 1;
    RETURN NULL;
END $$;

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
