-- Watching a table. attach_event_trigger generates one static function per operation: no EXECUTE, no SET
-- clause (both cost more than the check itself), so every name and operator in them is qualified.

CREATE TABLE public.event_system_watch (
    relation regclass PRIMARY KEY,
    "table" text NOT NULL UNIQUE,
    company text,
    key_columns text[] NOT NULL,
    exclude text[] NOT NULL,
    -- Where renamed columns are found again. After a restore the numbers are others: relation_oid, which
    -- then is not the relation's any more, says so.
    relation_oid oid NOT NULL,
    company_attnum smallint,
    exclude_attnums smallint[] NOT NULL,
    capture text NOT NULL,
    interceptors text[] NOT NULL,
    after_interceptors text[] NOT NULL,
    null_company_rows regclass,
    attached_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
);

CREATE VIEW public.event_system_trigger AS
SELECT
    w."table", w.company, w.interceptors, w.capture,
    COALESCE((
        SELECT pg_catalog.bool_and(t.tgenabled IN ('O', 'A')) AND pg_catalog.count(*) >= 4
        FROM pg_catalog.pg_trigger t
        WHERE t.tgrelid = w.relation AND t.tgname LIKE 'event\_system\_%' AND NOT t.tgisinternal
    ), false) AS enabled,
    w.after_interceptors, w.exclude, w.key_columns,
    -- Rows without a company are not sent to anybody; this is how many writes there were.
    COALESCE(pg_catalog.pg_sequence_last_value(w.null_company_rows), 0) AS null_company_rows,
    w.attached_at
FROM public.event_system_watch w
JOIN pg_catalog.pg_class c ON c.oid = w.relation;

-- Return the JSON object without some of its keys, whose values the caller has set to null. Escapes that
-- json holds and text cannot (\u0000, lone surrogates) would fail the writer: then the nulls stay.
CREATE FUNCTION public.event_system_without(row_json json, hidden text[]) RETURNS json
LANGUAGE sql IMMUTABLE
RETURN CASE
    WHEN row_json::text OPERATOR(pg_catalog.~*) '\\u(0000|d[89a-f])' THEN row_json
    ELSE (
        SELECT pg_catalog.json_object_agg(e.key, e.value)
        FROM pg_catalog.json_each(row_json) AS e
        WHERE e.key OPERATOR(pg_catalog.<>) ALL (hidden))
    END;

-- Find a table by the name a person writes: salesOrder, sales.order, "salesOrder".
CREATE FUNCTION public.event_system_relation(name text) RETURNS regclass
LANGUAGE plpgsql STABLE AS $$
DECLARE
    found regclass := pg_catalog.to_regclass(pg_catalog.quote_ident(name));
BEGIN
    IF found IS NULL AND pg_catalog.strpos(name, '.') OPERATOR(pg_catalog.>) 0 THEN
        found := pg_catalog.to_regclass(pg_catalog.format('%I.%I',
            pg_catalog.split_part(name, '.', 1),
            pg_catalog.substr(name, pg_catalog.strpos(name, '.') OPERATOR(pg_catalog.+) 1)));
    END IF;
    IF found IS NULL AND pg_catalog.strpos(name, '"') OPERATOR(pg_catalog.>) 0 THEN
        found := pg_catalog.to_regclass(name);
    END IF;
    IF found IS NULL THEN
        RAISE EXCEPTION 'table: there is no table %', pg_catalog.quote_literal(name)
            USING ERRCODE = 'undefined_table',
                  HINT = 'Write the name as the catalogue has it, in its case; outside public: schema.table.';
    END IF;
    RETURN found;
END $$;

-- Return the name that events and subscriptions use: no schema for public.
CREATE FUNCTION public.event_system_table_name(relation regclass) RETURNS text
LANGUAGE sql STABLE
RETURN (
    SELECT CASE n.nspname WHEN 'public' THEN c.relname::text
           ELSE pg_catalog.concat(n.nspname, '.', c.relname) END
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = relation
);

CREATE FUNCTION public.attach_event_trigger(
    "table" text,
    interceptors text[] DEFAULT '{}',
    company text DEFAULT NULL,
    exclude text[] DEFAULT '{}',
    capture text DEFAULT 'row',
    after_interceptors text[] DEFAULT '{}'
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    name text;
    before_calls text[] := '{}';
    after_calls text[] := '{}';
    found regprocedure;
BEGIN
    -- Names are looked up with the caller's search_path; all that follows has a fixed one.
    FOREACH name IN ARRAY interceptors LOOP
        found := public.event_system_interceptor(name);
        before_calls := pg_catalog.array_append(before_calls, found::oid::text);
    END LOOP;
    FOREACH name IN ARRAY after_interceptors LOOP
        found := public.event_system_interceptor(name);
        after_calls := pg_catalog.array_append(after_calls, found::oid::text);
    END LOOP;
    PERFORM public.event_system_install(
        public.event_system_relation("table"), company, exclude, capture,
        interceptors, before_calls::oid[], after_interceptors, after_calls::oid[]);
END $$;

CREATE FUNCTION public.event_system_interceptor(name text) RETURNS regprocedure
LANGUAGE plpgsql STABLE AS $$
DECLARE
    arguments CONSTANT text := '(text, text, jsonb, jsonb)';
    found regprocedure := COALESCE(
        pg_catalog.to_regprocedure(pg_catalog.concat(pg_catalog.quote_ident(name), arguments)),
        pg_catalog.to_regprocedure(pg_catalog.concat(name, arguments)));
BEGIN
    IF found IS NULL THEN
        RAISE EXCEPTION 'interceptors: there is no function %(table text, operation text, new jsonb, old jsonb)', name
            USING ERRCODE = 'undefined_function', HINT = 'Create it first; it raises to refuse a write.';
    END IF;
    RETURN found;
END $$;

CREATE FUNCTION public.event_system_install(
    relation regclass, company text, exclude text[], capture text,
    interceptors text[], before_calls oid[], after_interceptors text[], after_calls oid[]
) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $install$
DECLARE
    table_name CONSTANT text := public.event_system_table_name(relation);
    -- Random: names made from oids would meet each other again in a restored database.
    suffix CONSTANT text := left(md5(gen_random_uuid()::text), 16);
    outbox_owner CONSTANT oid := (
        SELECT relowner FROM pg_class WHERE oid = 'public.event_system_event'::regclass);
    columns text[];
    keys CONSTANT text[] := public.event_system_key_columns(relation);
    company_column text := company;
    skipped regclass;
    missing text;
    operation text;
BEGIN
    -- Checks ------------------------------------------------------------------------------------------
    IF (SELECT relkind FROM pg_class WHERE oid = relation) NOT IN ('r', 'p') THEN
        RAISE EXCEPTION 'table: % is not a table', table_name USING ERRCODE = 'wrong_object_type';
    END IF;
    IF (SELECT relispartition FROM pg_class WHERE oid = relation) THEN
        RAISE EXCEPTION 'table: % is a partition', table_name
            USING ERRCODE = 'wrong_object_type',
                  HINT = format('Watch its parent, %s.', pg_partition_root(relation));
    END IF;
    IF NOT pg_has_role((SELECT relowner FROM pg_class WHERE oid = relation), 'USAGE') THEN
        RAISE EXCEPTION 'table: only the owner of % may watch it', table_name
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF NOT pg_has_role(outbox_owner, 'USAGE') THEN
        RAISE EXCEPTION 'table: watching needs the rights of the role that owns the outbox, %',
            outbox_owner::regrole USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF NOT has_table_privilege(outbox_owner, relation, 'SELECT') THEN
        RAISE EXCEPTION 'table: % may not read %', outbox_owner::regrole, table_name
            USING ERRCODE = 'insufficient_privilege',
                  HINT = format('GRANT SELECT ON %s TO %s', relation, outbox_owner::regrole);
    END IF;
    IF capture NOT IN ('row', 'always') THEN
        RAISE EXCEPTION 'capture: % is neither row nor always', quote_literal(capture)
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT array_agg(attname::text ORDER BY attnum) INTO columns
    FROM pg_attribute WHERE attrelid = relation AND attnum > 0 AND NOT attisdropped;
    -- Without a word about it, the column is the one whose name says so; '' means that there is none.
    company_column := COALESCE(company, (
        SELECT c FROM unnest(ARRAY['company', 'company_id', 'companyId']) AS c
        WHERE c = ANY (columns) LIMIT 1));
    company_column := NULLIF(company_column, '');
    SELECT string_agg(c, ', ') INTO missing
    FROM unnest(exclude || company_column) AS c WHERE c IS NOT NULL AND c <> ALL (columns);
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION 'company, exclude: % has no column %', table_name, missing
            USING ERRCODE = 'undefined_column', HINT = 'Its columns: ' || array_to_string(columns, ', ');
    END IF;
    IF company_column = ANY (exclude) OR keys && exclude THEN
        RAISE EXCEPTION 'exclude: the company and the primary key cannot be left out'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM public.event_system_uninstall(relation);
    PERFORM public.event_system_forget(relation);
    IF company_column IS NOT NULL THEN
        EXECUTE format('CREATE SEQUENCE public.%I', 'event_system_skipped_' || suffix);
        EXECUTE format('ALTER SEQUENCE public.%I OWNER TO %s',
            'event_system_skipped_' || suffix, outbox_owner::regrole);
        skipped := format('public.%I', 'event_system_skipped_' || suffix)::regclass;
    END IF;

    -- Functions and triggers -----------------------------------------------------------------------------
    PERFORM public.event_system_generate(
        relation, suffix, company_column, exclude, capture, skipped);
    FOREACH operation IN ARRAY ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE'] LOOP
        EXECUTE format(
            'CREATE TRIGGER event_system_capture_%s AFTER %s ON %s FOR EACH %s %s EXECUTE FUNCTION public.%I()',
            lower(operation), operation, relation,
            CASE operation WHEN 'TRUNCATE' THEN 'STATEMENT' ELSE 'ROW' END,
            -- *<> compares the stored bytes: it knows every type, json too, which has no equality.
            CASE operation WHEN 'UPDATE' THEN 'WHEN (OLD.* OPERATOR(pg_catalog.*<>) NEW.*)' ELSE '' END,
            format('event_system_%s_%s', lower(operation), suffix));
    END LOOP;
    PERFORM public.event_system_install_interceptors(
        relation, table_name, 'before', format('event_system_before_%s', suffix), before_calls);
    PERFORM public.event_system_install_interceptors(
        relation, table_name, 'after', format('event_system_after_%s', suffix), after_calls);

    DELETE FROM public.event_system_watch w WHERE w."table" = table_name;
    INSERT INTO public.event_system_watch (relation, "table", company, key_columns, exclude, capture,
        interceptors, after_interceptors, null_company_rows, relation_oid, company_attnum, exclude_attnums)
    VALUES (relation, table_name, company_column, keys, exclude, capture,
        interceptors, after_interceptors, skipped, relation::oid,
        (SELECT attnum FROM pg_attribute WHERE attrelid = relation AND attname = company_column),
        ARRAY(SELECT a.attnum FROM unnest(exclude) WITH ORDINALITY AS n (name, position)
              JOIN pg_attribute a ON a.attrelid = relation AND a.attname = n.name ORDER BY n.position));
END $install$;

CREATE FUNCTION public.event_system_key_columns(relation regclass) RETURNS text[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT COALESCE(array_agg(a.attname::text ORDER BY k.position), '{}')
    FROM pg_index i
    CROSS JOIN LATERAL unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (attnum, position)
    JOIN pg_attribute a ON a.attrelid = relation AND a.attnum = k.attnum
    WHERE i.indrelid = relation AND i.indisprimary AND k.position <= i.indnkeyatts
$$;

-- Write the table's four functions, anew if they are there: open sessions take them up at their next call.
CREATE FUNCTION public.event_system_generate(
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

-- Return what the names of the table's functions end with; NULL if its triggers were dropped by hand.
CREATE FUNCTION public.event_system_suffix(relation regclass) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT substr(p.proname, length('event_system_truncate_') + 1)
    FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE t.tgrelid = relation AND t.tgname = 'event_system_capture_truncate'
$$;

-- After ALTER TABLE the functions are written anew: a session that has run one before would fail on a column
-- of another type, and all on a renamed one.
CREATE FUNCTION public.event_system_table_altered() RETURNS event_trigger
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

-- Return the column's present name; NULL if it was dropped.
CREATE FUNCTION public.event_system_column_now(relation regclass, known_oid oid, name text, number smallint)
RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT a.attname::text FROM pg_attribute a
    WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
        AND (a.attname = name OR (a.attnum = number AND known_oid = relation::oid))
    ORDER BY a.attname = name DESC LIMIT 1
$$;

DO $$
BEGIN
    CREATE EVENT TRIGGER event_system_table_altered ON ddl_command_end
        WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION public.event_system_table_altered();
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'no right to create event triggers: after ALTER TABLE of a watched table, attach it again';
END $$;

CREATE FUNCTION public.event_system_uninstall(relation regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    installed record;
BEGIN
    FOR installed IN
        SELECT t.tgname, t.tgfoid FROM pg_trigger t
        WHERE t.tgrelid = relation AND t.tgname LIKE 'event\_system\_%' AND NOT t.tgisinternal
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', installed.tgname, relation);
        EXECUTE format('DROP FUNCTION %s', installed.tgfoid::regprocedure);
    END LOOP;
END $$;

CREATE FUNCTION public.detach_event_trigger("table" text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    relation CONSTANT regclass := public.event_system_relation("table");
BEGIN
    PERFORM public.event_system_uninstall(relation);
    PERFORM public.event_system_forget(relation);
END $$;

CREATE FUNCTION public.event_system_forget(forgotten regclass) RETURNS void
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
