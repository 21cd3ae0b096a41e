-- Where nobody has ever subscribed to a table, its triggers' WHEN clause says so, and no function is called at all:
-- a sequence of the table's stands at 1 until the first subscription, and is read without a query.
--
-- A sequence is outside of transactions. It leaves 1 before the subscription can be seen by anybody, and for good:
-- there is no moment at which an interest counts and the sequence denies it. It is made at 1 only by
-- attach_event_trigger, as a new one that nobody else sees yet, while no subscription can come. Whatever cannot be
-- read (NULL: no rights, restored without its value) counts as asked. A dump reads it after its snapshot of the
-- subscriptions, so it can but say more than they do.

CREATE FUNCTION public.event_system_asked_name(suffix text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('public.%I', 'event_system_asked_' || suffix)
$$;

-- Called by each subscription to the table, under the lock of subscription_1_lock. A transaction that cannot see
-- the present watch fails here (FOR KEY SHARE) instead of asking a sequence that is gone.
CREATE FUNCTION public.event_system_ask(table_name text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    asked regclass;
BEGIN
    SELECT to_regclass(public.event_system_asked_name(w.suffix)) INTO asked
    FROM public.event_system_watch w WHERE w."table" = table_name FOR KEY SHARE;
    IF asked IS NOT NULL AND pg_sequence_last_value(asked) = 1 THEN
        PERFORM setval(asked, 2);
    END IF;
END $$;

-- Only where the company cannot be NULL: rows without one are counted, whoever asks, and a column in the WHEN
-- clause could not be altered.
CREATE FUNCTION public.event_system_heed_interest(relation regclass, suffix text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    asked CONSTANT text := public.event_system_asked_name(suffix);
    operation text;
BEGIN
    EXECUTE format('CREATE SEQUENCE %s', asked);
    EXECUTE format('ALTER SEQUENCE %s OWNER TO %s', asked,
        (SELECT relowner::regrole FROM pg_class WHERE oid = 'public.event_system_event'::regclass));
    EXECUTE format('GRANT SELECT ON SEQUENCE %s TO PUBLIC', asked);
    -- An older snapshot might not show a subscription that is there.
    IF current_setting('transaction_isolation') = 'read committed' AND NOT EXISTS (
        SELECT FROM public.event_system_interest i WHERE i."table" = public.event_system_table_name(relation))
    THEN
        PERFORM setval(asked::regclass, 1);
    END IF;
    FOREACH operation IN ARRAY ARRAY['INSERT', 'UPDATE', 'DELETE'] LOOP
        EXECUTE format(
            'CREATE OR REPLACE TRIGGER event_system_capture_%s AFTER %s ON %s FOR EACH ROW'
            ' WHEN ((pg_catalog.pg_sequence_last_value(%L::pg_catalog.regclass) OPERATOR(pg_catalog.<>) 1)'
            ' IS NOT FALSE%s) EXECUTE FUNCTION public.%I()', lower(operation), operation, relation, asked,
            CASE operation WHEN 'UPDATE' THEN ' AND OLD.* OPERATOR(pg_catalog.*<>) NEW.*' ELSE '' END,
            format('event_system_%s_%s', lower(operation), suffix));
    END LOOP;
END $$;

-- Whether the table's rows all have a company, or none has.
CREATE FUNCTION public.event_system_is_complete(relation regclass, company_column text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT COALESCE((SELECT attnotnull FROM pg_attribute
        WHERE attrelid = relation AND attname = company_column), company_column IS NULL)
$$;

CREATE OR REPLACE FUNCTION public.event_system_discard(suffix text, skipped regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    function_oid oid;
BEGIN
    FOR function_oid IN
        SELECT oid FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND proname IN (
            SELECT format('event_system_%s_%s', part, suffix)
            FROM unnest(ARRAY['insert', 'update', 'delete', 'truncate', 'before', 'after']) AS part)
    LOOP
        EXECUTE format('DROP FUNCTION %s', function_oid::regprocedure);
    END LOOP;
    IF skipped IS NOT NULL AND EXISTS (SELECT FROM pg_class WHERE oid = skipped) THEN
        EXECUTE format('DROP SEQUENCE %s', skipped);
    END IF;
    IF to_regclass(public.event_system_asked_name(suffix)) IS NOT NULL THEN
        EXECUTE format('DROP SEQUENCE %s', public.event_system_asked_name(suffix));
    END IF;
END $$;

CREATE OR REPLACE FUNCTION public.event_system_forget(forgotten regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    w record;
BEGIN
    DELETE FROM public.event_system_watch d WHERE d.relation = forgotten
    RETURNING d.suffix, d.null_company_rows INTO w;
    IF FOUND THEN
        PERFORM public.event_system_discard(w.suffix, w.null_company_rows);
    END IF;
END $$;
