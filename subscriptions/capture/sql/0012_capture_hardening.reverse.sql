-- The rights taken from PUBLIC stay taken.
DROP EVENT TRIGGER IF EXISTS event_system_table_altering;
DROP FUNCTION public.event_system_table_altering();

DROP FUNCTION public.event_system_body_update(
    text, text, text, text, text, text, text, text, text, text, text, text, text);

CREATE FUNCTION public.event_system_body_update_exists(
    table_name text, capture text, new_company text, old_company text, count_skipped text, prepare text,
    new_key text, old_key text, new_json text, old_json text, unmoved text, old_key_exists text, changed text
) RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format($body$
<<event_system>>
DECLARE
    new_company CONSTANT pg_catalog.text := %1$s;
    old_company CONSTANT pg_catalog.text := %2$s;
    changed_new pg_catalog.record;
    changed_old pg_catalog.record;
BEGIN
    IF %3$s THEN
        %4$s
        IF %5$s THEN
            %6$s
            IF %7$s THEN
                %8$s
            END IF;
        END IF;
        RETURN NULL;
    END IF;
    %6$s
    IF %9$s AND %10$s AND NOT %11$s THEN
        %12$s
    END IF;
    IF %13$s AND %14$s THEN
        %15$s
    END IF;
    RETURN NULL;
END $body$,
        new_company, old_company, unmoved,
        CASE WHEN count_skipped = '' THEN '' ELSE format('IF event_system.new_company IS NULL THEN %s END IF;', count_skipped) END,
        public.event_system_wanted(table_name, capture, 'UPDATE', 'event_system.new_company'),
        prepare, changed,
        public.event_system_record(table_name, 'UPDATE', 'event_system.new_company', new_key, new_json, old_json),
        CASE WHEN count_skipped = '' THEN 'true' ELSE 'event_system.old_company IS NOT NULL' END,
        public.event_system_wanted(table_name, capture, 'DELETE', 'event_system.old_company'),
        old_key_exists,
        public.event_system_record(table_name, 'DELETE', 'event_system.old_company', old_key, 'NULL', old_json),
        CASE WHEN count_skipped = '' THEN 'true' ELSE 'event_system.new_company IS NOT NULL' END,
        public.event_system_wanted(table_name, capture, 'INSERT', 'event_system.new_company'),
        public.event_system_record(table_name, 'INSERT', 'event_system.new_company', new_key, new_json, 'NULL'))
$$;
CREATE FUNCTION public.event_system_body_update(
    table_name text, capture text, new_company text, old_company text, count_skipped text, prepare text,
    new_key text, old_key text, new_json text, old_json text, unmoved text, old_key_exists text, changed text
) RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE capture WHEN 'always' THEN body ELSE format(
        $body$
BEGIN
    PERFORM FROM public.event_system_interest AS i WHERE i."table" OPERATOR(pg_catalog.=) %L::pg_catalog.text LIMIT 1;
    IF NOT FOUND AND %s THEN
        RETURN NULL;
    END IF;
    %s;
END $body$,
        table_name,
        CASE WHEN count_skipped = '' THEN 'true' ELSE format('%s IS NOT NULL', new_company) END,
        replace(body, format('IF %s THEN', asked),
            regexp_replace(asked, '^EXISTS \(SELECT (.*)\)$', 'PERFORM \1; IF FOUND THEN'))) END
    FROM (SELECT public.event_system_body_update_exists(
            table_name, capture, new_company, old_company, count_skipped, prepare, new_key, old_key, new_json,
            old_json, unmoved, old_key_exists, changed) AS body,
        public.event_system_wanted(table_name, capture, 'UPDATE', 'event_system.new_company') AS asked) AS made
$$;
CREATE OR REPLACE FUNCTION public.event_system_shown(rows text, kept text[], hidden text[]) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN cardinality(hidden) = 0 THEN rows
    ELSE format('(SELECT %1$s FROM %2$s) AS %2$s',
        (SELECT string_agg(quote_ident(k), ', ') FROM unnest(kept) AS k), rows) END
$$;
CREATE OR REPLACE FUNCTION public.event_system_statement_update(
    table_name text, company text, count_skipped text, unmoved text, old_key_exists text, new_key text,
    old_key text, kept text[], hidden text[]
) RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format($body$
BEGIN
    %1$s
    IF %2$s AND %3$s THEN
        %4$s
    END IF;
    IF (%5$s AND %6$s) OR (%7$s AND %8$s) THEN
        %9$s
    END IF;
    RETURN NULL;
END $body$,
        CASE WHEN count_skipped = '' THEN '' ELSE format(
            'IF EXISTS (SELECT FROM event_system_new WHERE %s IS NULL) THEN'
            ' PERFORM %s FROM %s WHERE (%s) IS TRUE AND after.company IS NULL'
            ' AND before.r OPERATOR(pg_catalog.*<>) after.r; END IF;',
            public.event_system_company_of('event_system_new', company), count_skipped,
            public.event_system_pairs(company, '{}', '{}'), unmoved) END,
        public.event_system_wanted(table_name, 'statement', 'UPDATE', NULL),
        public.event_system_any_wanted(table_name, 'UPDATE', 'event_system_new', company),
        public.event_system_tell(table_name, '''UPDATE''', 'after.company', new_key,
            'pg_catalog.row_to_json(after.r)', 'pg_catalog.row_to_json(before.r)',
            format('%s WHERE (%s) IS TRUE AND %s AND %s AND %s',
                public.event_system_pairs(company, kept, hidden), unmoved,
                CASE WHEN company IS NULL THEN 'true' ELSE 'after.company IS NOT NULL' END,
                'before.r OPERATOR(pg_catalog.*<>) after.r', public.event_system_wanted_of(table_name, 'UPDATE', 'after.company'))),
        public.event_system_wanted(table_name, 'statement', 'DELETE', NULL),
        public.event_system_any_wanted(table_name, 'DELETE', 'event_system_old', company),
        public.event_system_wanted(table_name, 'statement', 'INSERT', NULL),
        public.event_system_any_wanted(table_name, 'INSERT', 'event_system_new', company),
        public.event_system_tell(table_name,
            'CASE WHEN told.is_gone THEN ''DELETE'' ELSE ''INSERT'' END',
            'CASE WHEN told.is_gone THEN before.company ELSE after.company END',
            format('CASE WHEN told.is_gone THEN %s ELSE %s END', old_key, new_key),
            'CASE WHEN told.is_gone THEN NULL ELSE pg_catalog.row_to_json(after.r) END',
            'CASE WHEN told.is_gone THEN pg_catalog.row_to_json(before.r) END',
            format('%s CROSS JOIN (VALUES (true), (false)) AS told (is_gone)'
                ' WHERE (%s) IS NOT TRUE AND CASE WHEN told.is_gone'
                ' THEN %s AND %s AND NOT %s ELSE %s AND %s END',
                public.event_system_pairs(company, kept, hidden), unmoved,
                CASE WHEN company IS NULL THEN 'true' ELSE 'before.company IS NOT NULL' END,
                public.event_system_wanted_of(table_name, 'DELETE', 'before.company'), old_key_exists,
                CASE WHEN company IS NULL THEN 'true' ELSE 'after.company IS NOT NULL' END,
                public.event_system_wanted_of(table_name, 'INSERT', 'after.company'))))
$$;
CREATE OR REPLACE FUNCTION public.event_system_generate_rows(
    relation regclass, suffix text, company_column text, exclude text[], capture text, skipped regclass
) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $generate$
DECLARE
    table_name CONSTANT text := public.event_system_table_name(relation);
    outbox_owner CONSTANT regrole := (
        SELECT relowner FROM pg_class WHERE oid = 'public.event_system_event'::regclass);
    keys CONSTANT text[] := public.event_system_key_columns(relation);
    hidden text[];
    new_company text; old_company text; new_key text; old_key text; unmoved text; old_key_exists text;
    prepare_new text := ''; prepare_old text := ''; new_json text; old_json text;
    changed text := 'true'; count_skipped text := '';
    operation text; body text; function_name text;
BEGIN
    -- A trigger sees NULL in a virtual generated column: better no value than a wrong one.
    SELECT exclude || COALESCE(array_agg(attname::text), '{}') INTO hidden
    FROM pg_attribute
    WHERE attrelid = relation AND attgenerated = 'v' AND NOT attisdropped AND attname <> ALL (exclude);
    new_company := CASE WHEN company_column IS NULL THEN 'NULL::pg_catalog.text'
        ELSE format('NEW.%I::pg_catalog.text', company_column) END;
    old_company := CASE WHEN company_column IS NULL THEN 'NULL::pg_catalog.text'
        ELSE format('OLD.%I::pg_catalog.text', company_column) END;
    new_key := public.event_system_key('NEW', keys);
    old_key := public.event_system_key('OLD', keys);
    unmoved := public.event_system_same_key(relation, 'NEW', 'OLD');
    IF company_column IS NOT NULL THEN  -- IS DISTINCT FROM would look its = up in the writer's search_path
        unmoved := concat(unmoved,
            ' AND (event_system.new_company OPERATOR(pg_catalog.=) event_system.old_company',
            ' OR (event_system.new_company IS NULL AND event_system.old_company IS NULL))');
    END IF;
    old_key_exists := public.event_system_key_exists(relation, company_column);
    IF cardinality(hidden) > 0 THEN
        SELECT string_agg(format('changed_new.%1$I := NULL; ', c), ''),
               string_agg(format('changed_old.%1$I := NULL; ', c), '')
        INTO prepare_new, prepare_old FROM unnest(hidden) AS c;
        prepare_new := 'changed_new := NEW; ' || prepare_new;
        prepare_old := 'changed_old := OLD; ' || prepare_old;
        changed := 'changed_new OPERATOR(pg_catalog.*<>) changed_old';
        new_json := format('public.event_system_without(pg_catalog.row_to_json(changed_new), %L::pg_catalog.text[])', hidden);
        old_json := format('public.event_system_without(pg_catalog.row_to_json(changed_old), %L::pg_catalog.text[])', hidden);
    ELSE
        new_json := 'pg_catalog.row_to_json(NEW)';
        old_json := 'pg_catalog.row_to_json(OLD)';
    END IF;
    IF skipped IS NOT NULL THEN
        count_skipped := format(
            'PERFORM pg_catalog.nextval(%L::pg_catalog.regclass); RETURN NULL;',
            (SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c
             JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = skipped));
    END IF;

    FOREACH operation IN ARRAY ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE'] LOOP
        body := CASE operation
        WHEN 'INSERT' THEN public.event_system_body_insert(
            table_name, capture, new_company, count_skipped, prepare_new, new_key, new_json)
        WHEN 'DELETE' THEN public.event_system_body_delete(
            table_name, capture, old_company, count_skipped, prepare_old, old_key, old_json)
        WHEN 'UPDATE' THEN public.event_system_body_update(
            table_name, capture, new_company, old_company, count_skipped, prepare_new || prepare_old,
            new_key, old_key, new_json, old_json, unmoved, old_key_exists, changed)
        ELSE public.event_system_body_truncate(table_name, capture) END;
        function_name := format('event_system_%s_%s', lower(operation), suffix);
        EXECUTE format(
            'CREATE OR REPLACE FUNCTION public.%I() RETURNS pg_catalog.trigger'
            ' LANGUAGE plpgsql SECURITY DEFINER AS %L', function_name, body);
        EXECUTE format('ALTER FUNCTION public.%I() OWNER TO %s', function_name, outbox_owner);
    END LOOP;
END $generate$;
CREATE OR REPLACE FUNCTION public.event_system_generate(
    relation regclass, suffix text, company_column text, exclude text[], capture text, skipped regclass
) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF capture = 'statement' THEN
        PERFORM public.event_system_generate_statements(relation, suffix, company_column, exclude, skipped);
    ELSE
        PERFORM public.event_system_generate_rows(
            relation, suffix, company_column, exclude, capture, skipped);
    END IF;
END $$;
CREATE OR REPLACE FUNCTION public.event_system_install(
    relation regclass, company text, exclude text[], capture text,
    interceptors text[], before_calls oid[], after_interceptors text[], after_calls oid[]
) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    w public.event_system_watch;
BEGIN
    PERFORM public.event_system_require_watchable(relation, capture);
    PERFORM public.event_system_install_rows(
        relation, company, exclude, CASE capture WHEN 'statement' THEN 'row' ELSE capture END,
        interceptors, before_calls, after_interceptors, after_calls);
    UPDATE public.event_system_watch AS u
    SET suffix = public.event_system_suffix(u.relation), capture = event_system_install.capture
    WHERE u.relation = event_system_install.relation RETURNING * INTO w;
    IF capture = 'statement' THEN
        PERFORM public.event_system_generate(
            relation, w.suffix, w.company, w.exclude, w.capture, w.null_company_rows);
        PERFORM public.event_system_exchange_triggers(relation, w.suffix);
    END IF;
END $$;
DROP FUNCTION public.event_system_require_watchable(regclass, text);
ALTER FUNCTION public.event_system_require_kind(regclass, text)
    RENAME TO event_system_require_watchable;

CREATE OR REPLACE FUNCTION public.event_system_install_interceptors(
    relation regclass, table_name text, moment text, function_name text, calls oid[]
) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    statements text;
BEGIN
    IF cardinality(calls) = 0 THEN
        RETURN;
    END IF;
    SELECT string_agg(format('    PERFORM %I.%I(%L::pg_catalog.text, TG_OP, new_row, old_row);',
        n.nspname, p.proname, table_name), E'\n' ORDER BY c.position)
    INTO statements
    FROM unnest(calls) WITH ORDINALITY AS c (function_oid, position)
    JOIN pg_proc p ON p.oid = c.function_oid JOIN pg_namespace n ON n.oid = p.pronamespace;
    EXECUTE format('CREATE OR REPLACE FUNCTION public.%I() RETURNS pg_catalog.trigger LANGUAGE plpgsql AS %L',
        function_name, format($body$
DECLARE
    new_row CONSTANT pg_catalog.jsonb := CASE TG_OP WHEN 'DELETE' THEN NULL ELSE pg_catalog.to_jsonb(NEW) END;
    old_row CONSTANT pg_catalog.jsonb := CASE TG_OP WHEN 'INSERT' THEN NULL ELSE pg_catalog.to_jsonb(OLD) END;
BEGIN
%s
    IF TG_OP OPERATOR(pg_catalog.=) 'DELETE' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
END $body$, statements));
    EXECUTE format('CREATE TRIGGER %I %s INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION public.%I()',
        'event_system_interceptors_' || moment, upper(moment), relation, function_name);
END $$;
CREATE OR REPLACE FUNCTION public.event_system_table_altered() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    w record;
    company_now text;
    exclude_now text[];
BEGIN
    FOR w IN
        SELECT DISTINCT ON (e.relation) e.* FROM pg_event_trigger_ddl_commands() d
        JOIN public.event_system_watch e ON e.relation = d.objid AND d.classid = 'pg_class'::regclass
        WHERE public.event_system_suffix(e.relation) IS NOT NULL
    LOOP
        company_now := public.event_system_column_now(w.relation, w.relation_oid, w.company, w.company_attnum);
        IF w.company IS NOT NULL AND company_now IS NULL THEN
            RAISE EXCEPTION 'column %.% holds the company of a watched table', w."table", w.company
                USING ERRCODE = 'dependent_objects_still_exist',
                      HINT = format('SELECT detach_event_trigger(%L) first.', w."table");
        END IF;
        SELECT COALESCE(array_agg(c.now) FILTER (WHERE c.now IS NOT NULL), '{}') INTO exclude_now
        FROM (SELECT public.event_system_column_now(w.relation, w.relation_oid, e.name, e.attnum) AS now
              FROM unnest(w.exclude, w.exclude_attnums) AS e (name, attnum)) AS c;
        UPDATE public.event_system_watch u
        SET company = company_now, exclude = exclude_now,
            "table" = public.event_system_table_name(w.relation),
            key_columns = public.event_system_key_columns(w.relation),
            exclude_attnums = ARRAY(
                SELECT a.attnum FROM unnest(exclude_now) WITH ORDINALITY AS n (name, position)
                JOIN pg_attribute a ON a.attrelid = w.relation AND a.attname = n.name ORDER BY n.position)
        WHERE u.relation = w.relation;
        PERFORM public.event_system_generate(
            w.relation, public.event_system_suffix(w.relation), company_now, exclude_now, w.capture, w.null_company_rows);
    END LOOP;
END $$;
CREATE OR REPLACE FUNCTION public.event_system_subscription_interest() RETURNS trigger
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
CREATE OR REPLACE FUNCTION public.event_system_subscription_revise() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM public.event_system_interest WHERE "table" <> '';
    END IF;
    UPDATE public.event_system_revision SET revision = revision + 1;
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION public.event_system_subscription_gate() RETURNS trigger
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
-- The triggers that ask a sequence, as they were.
DO $$
DECLARE
    w record;
    operation text;
BEGIN
    FOR w IN SELECT u.* FROM public.event_system_watch u
        WHERE pg_catalog.to_regclass(public.event_system_asked_name(u.suffix)) IS NOT NULL
    LOOP
        FOREACH operation IN ARRAY ARRAY['INSERT', 'UPDATE', 'DELETE'] LOOP
            EXECUTE pg_catalog.format(
                'CREATE OR REPLACE TRIGGER event_system_capture_%s AFTER %s ON %s FOR EACH ROW %s'
                ' EXECUTE FUNCTION public.%I()', lower(operation), operation, w.relation,
                CASE operation WHEN 'UPDATE' THEN 'WHEN (OLD.* OPERATOR(pg_catalog.*<>) NEW.*)' ELSE '' END,
                pg_catalog.format('event_system_%s_%s', lower(operation), w.suffix));
        END LOOP;
        EXECUTE pg_catalog.format('DROP SEQUENCE %s', public.event_system_asked_name(w.suffix));
    END LOOP;
END $$;

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
END $$;
CREATE OR REPLACE FUNCTION public.event_system_forget(forgotten regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    skipped regclass;
BEGIN
    DELETE FROM public.event_system_watch w WHERE w.relation = forgotten
    RETURNING w.null_company_rows INTO skipped;
    IF skipped IS NOT NULL THEN
        EXECUTE format('DROP SEQUENCE IF EXISTS %s', skipped);
    END IF;
END $$;
DROP FUNCTION public.event_system_is_complete(regclass, text);
DROP FUNCTION public.event_system_heed_interest(regclass, text);
DROP FUNCTION public.event_system_ask(text);
DROP FUNCTION public.event_system_asked_name(text);
DROP FUNCTION public.event_system_require_subscriptions(oid);
DROP FUNCTION public.event_system_require_own_code(regclass, text[]);
DROP FUNCTION public.event_system_foreign_code(regclass, text[]);
DROP FUNCTION public.event_system_revoke(text[]);

-- The functions of watched tables, as they were.
DO $$
DECLARE
    w record;
BEGIN
    FOR w IN SELECT u.* FROM public.event_system_watch u JOIN pg_catalog.pg_class c ON c.oid = u.relation
        WHERE u.suffix IS NOT NULL
    LOOP
        PERFORM public.event_system_generate(
            w.relation, w.suffix, w.company, w.exclude, w.capture, w.null_company_rows);
    END LOOP;
END $$;
DROP FUNCTION public.event_system_give_way(text, jsonb, text);
DROP FUNCTION public.event_system_changed(text[]);
DROP FUNCTION public.event_system_row_json(text, text[]);
