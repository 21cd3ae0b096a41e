-- What the database itself keeps right about subscriptions, whoever writes them.

-- Before a statement locks any row: two writers who took row and lock in different orders would deadlock.
CREATE FUNCTION public.event_system_subscription_lock() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock('public.event_system_interest'::regclass::oid::integer, 0);
    RETURN NULL;
END $$;

CREATE FUNCTION public.event_system_subscription_check() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    known CONSTANT text[] := ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE'];
    wrong text;
    document record;
BEGIN
    IF (NEW."table" IS NULL) = (NEW.event_type IS NULL) THEN
        RAISE EXCEPTION 'table, event_type: give one of the two'
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.company = '' THEN
        RAISE EXCEPTION 'company: must not be empty; NULL is the platform itself'
            USING ERRCODE = 'check_violation';
    END IF;
    IF array_ndims(NEW.operations) > 1 THEN
        RAISE EXCEPTION 'operations: must be a list, not a list of lists'
            USING ERRCODE = 'check_violation';
    END IF;
    SELECT string_agg(quote_literal(o), ', ') INTO wrong
    FROM unnest(NEW.operations) AS o WHERE o IS NULL OR o <> ALL (known);
    IF wrong IS NOT NULL OR cardinality(NEW.operations) = 0 OR array_position(NEW.operations, NULL) IS NOT NULL THEN
        RAISE EXCEPTION 'operations: % not allowed; allowed, in capitals: %',
            COALESCE(wrong, 'an empty list is'), array_to_string(known, ', ')
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW."table" IS NOT NULL
        AND (TG_OP = 'INSERT' OR NEW."table" IS DISTINCT FROM OLD."table")
        AND NOT EXISTS (SELECT FROM public.event_system_trigger t WHERE t."table" = NEW."table")
    THEN
        RAISE EXCEPTION 'table: % is not watched; watched: %', quote_literal(NEW."table"),
            COALESCE((SELECT string_agg(t."table", ', ' ORDER BY t."table")
                      FROM public.event_system_trigger t), 'none')
            USING ERRCODE = 'check_violation',
                  HINT = format('SELECT attach_event_trigger(%L)', NEW."table");
    END IF;
    IF jsonb_typeof(NEW.filter) <> 'object' OR jsonb_typeof(NEW.config) <> 'object' THEN
        RAISE EXCEPTION 'filter, config: each must be a JSON object' USING ERRCODE = 'check_violation';
    END IF;
    -- What would be slow to read, or not readable at all, for those who deliver.
    FOR document IN
        SELECT * FROM (VALUES ('filter', NEW.filter::text), ('config', NEW.config::text),
            ('backoff', NEW.backoff::text)) AS d (name, body)
    LOOP
        IF octet_length(document.body) > 65536 THEN
            RAISE EXCEPTION '%: has % bytes; at most 65536', document.name, octet_length(document.body)
                USING ERRCODE = 'check_violation';
        END IF;
        IF length(document.body) - length(translate(document.body, '{[', '')) > 500 THEN
            RAISE EXCEPTION '%: has more than 500 objects and lists', document.name
                USING ERRCODE = 'check_violation';
        END IF;
        IF document.body ~ '[0-9]{255}' THEN
            RAISE EXCEPTION '%: has a number of more than 254 digits', document.name
                USING ERRCODE = 'check_violation';
        END IF;
    END LOOP;
    IF NEW.debounce NOT BETWEEN interval '0' AND interval '366 days' THEN
        RAISE EXCEPTION 'debounce: % is not between 0 and 366 days', NEW.debounce
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.ordering NOT IN ('none', 'record') THEN
        RAISE EXCEPTION 'ordering: % is neither none nor record', quote_literal(NEW.ordering)
            USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.attempts NOT BETWEEN 1 AND 100 THEN
        RAISE EXCEPTION 'attempts: % is not between 1 and 100', NEW.attempts USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.batch_size NOT BETWEEN 1 AND 1000 OR NEW.max_rate < 1 THEN
        RAISE EXCEPTION 'batch_size, max_rate: 1 to 1000, and at least 1' USING ERRCODE = 'check_violation';
    END IF;
    NEW.updated_at := clock_timestamp();
    NEW.invalid_reason := NULL;  -- the relay judges the new definition afresh
    RETURN NEW;
END $$;

-- Counted, not derived: right in any isolation level, and while others come and go.
CREATE FUNCTION public.event_system_subscription_interest() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP <> 'INSERT' AND OLD.active AND OLD."table" IS NOT NULL THEN
        UPDATE public.event_system_interest AS i SET subscriptions = i.subscriptions - 1
        WHERE i."table" = OLD."table" AND i.operation = ANY (OLD.operations)
            AND i.company = COALESCE(OLD.company, '*');
        DELETE FROM public.event_system_interest AS i
        WHERE i."table" = OLD."table" AND i.operation = ANY (OLD.operations)
            AND i.company = COALESCE(OLD.company, '*') AND i.subscriptions <= 0;
    END IF;
    IF TG_OP <> 'DELETE' AND NEW.active AND NEW."table" IS NOT NULL THEN
        INSERT INTO public.event_system_interest AS i ("table", operation, company, subscriptions)
        SELECT DISTINCT NEW."table", o, COALESCE(NEW.company, '*'), 1 FROM unnest(NEW.operations) AS o
        ON CONFLICT ("table", operation, company) DO UPDATE SET subscriptions = i.subscriptions + 1;
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION public.event_system_subscription_revise() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM public.event_system_interest WHERE "table" <> '';
    END IF;
    UPDATE public.event_system_revision SET revision = revision + 1;
    RETURN NULL;
END $$;

-- The columns that say what a subscription wants. What the relay itself writes (secret, invalid_reason) is
-- not among them: it must not wait for somebody's open transaction.
CREATE TRIGGER subscription_1_lock
    BEFORE INSERT OR DELETE OR TRUNCATE OR UPDATE OF name, company, "table", event_type, operations, filter,
        handler_type, config, active, paused_at, ordering, max_rate, attempts, backoff, batch_size, debounce
    ON public.event_system_subscription
    FOR EACH STATEMENT EXECUTE FUNCTION public.event_system_subscription_lock();
CREATE TRIGGER subscription_2_check
    BEFORE INSERT OR UPDATE OF name, company, "table", event_type, operations, filter,
        handler_type, config, active, paused_at, ordering, max_rate, attempts, backoff, batch_size, debounce
    ON public.event_system_subscription
    FOR EACH ROW EXECUTE FUNCTION public.event_system_subscription_check();
CREATE TRIGGER subscription_3_interest
    AFTER INSERT OR DELETE OR UPDATE OF company, "table", operations, active
    ON public.event_system_subscription
    FOR EACH ROW EXECUTE FUNCTION public.event_system_subscription_interest();
CREATE TRIGGER subscription_4_revise
    AFTER INSERT OR DELETE OR TRUNCATE OR UPDATE OF name, company, "table", event_type, operations, filter,
        handler_type, config, active, paused_at, ordering, max_rate, attempts, backoff, batch_size, debounce
    ON public.event_system_subscription
    FOR EACH STATEMENT EXECUTE FUNCTION public.event_system_subscription_revise();
