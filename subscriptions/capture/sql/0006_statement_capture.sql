-- capture => 'statement': the same events from one trigger call per statement. The functions of 0002 go on
-- doing the rows' part under another name.

ALTER TABLE public.event_system_watch
    ADD COLUMN suffix text,  -- what its functions' names end with; a dropped table cannot be asked any more
    ADD COLUMN former_names text[] NOT NULL DEFAULT '{}';  -- migrations declare it under one of these
UPDATE public.event_system_watch SET suffix = public.event_system_suffix(relation);

ALTER FUNCTION public.event_system_generate(regclass, text, text, text[], text, regclass)
    RENAME TO event_system_generate_rows;
ALTER FUNCTION public.event_system_install(regclass, text, text[], text, text[], oid[], text[], oid[])
    RENAME TO event_system_install_rows;

-- Write the table's four functions, anew if they are there.
CREATE FUNCTION public.event_system_generate(
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

CREATE FUNCTION public.event_system_generate_statements(
    relation regclass, suffix text, company_column text, exclude text[], skipped regclass
) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $generate$
DECLARE
    table_name CONSTANT text := public.event_system_table_name(relation);
    keys CONSTANT text[] := public.event_system_key_columns(relation);
    outbox_owner CONSTANT regrole := (
        SELECT relowner FROM pg_class WHERE oid = 'public.event_system_event'::regclass);
    kept text[]; hidden text[]; count_skipped text; unmoved text; operation text; body text; name text;
BEGIN
    -- Virtual generated columns are NULL in transition tables, too.
    SELECT COALESCE(array_agg(attname::text ORDER BY attnum) FILTER (WHERE is_kept), '{}'),
        COALESCE(array_agg(attname::text) FILTER (WHERE NOT is_kept), '{}')
    INTO kept, hidden
    FROM (SELECT a.*, attname <> ALL (exclude) AND attgenerated <> 'v' AS is_kept FROM pg_attribute a
          WHERE attrelid = relation AND attnum > 0 AND NOT attisdropped) AS columns;
    -- A column that cannot be NULL needs no look at the rows.
    SELECT CASE WHEN attnotnull THEN '' ELSE format('pg_catalog.nextval(%L::pg_catalog.regclass)',
        (SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c
         JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = skipped)) END
    INTO count_skipped FROM pg_attribute WHERE attrelid = relation AND attname = company_column;
    count_skipped := COALESCE(count_skipped, '');
    unmoved := public.event_system_same_key(relation, '(after.r)', '(before.r)');
    IF company_column IS NOT NULL THEN
        unmoved := concat(unmoved, ' AND (after.company OPERATOR(pg_catalog.=) before.company',
            ' OR (after.company IS NULL AND before.company IS NULL))');
    END IF;

    FOREACH operation IN ARRAY ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE'] LOOP
        body := CASE operation
        WHEN 'INSERT' THEN public.event_system_statement_of_rows(
            table_name, operation, 'event_system_new', keys, company_column, count_skipped, kept, hidden)
        WHEN 'DELETE' THEN public.event_system_statement_of_rows(
            table_name, operation, 'event_system_old', keys, company_column, count_skipped, kept, hidden)
        WHEN 'UPDATE' THEN public.event_system_statement_update(
            table_name, company_column, count_skipped, unmoved,
            public.event_system_pair_key_exists(relation, company_column),
            public.event_system_key('(after.r)', keys), public.event_system_key('(before.r)', keys),
            kept, hidden)
        ELSE public.event_system_body_truncate(table_name, 'statement') END;
        name := format('event_system_%s_%s', lower(operation), suffix);
        -- The plan made for a statement of one row is kept for one of a million: nothing but a hash join
        -- pairs those in time. A SET clause costs too much for each row, not for each statement.
        EXECUTE format(
            'CREATE OR REPLACE FUNCTION public.%I() RETURNS pg_catalog.trigger LANGUAGE plpgsql'
            ' SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_nestloop = off SET jit = off'
            ' AS %L', name, body);
        EXECUTE format('ALTER FUNCTION public.%I() OWNER TO %s', name, outbox_owner);
    END LOOP;
END $generate$;

-- As event_system_key_exists, of a pair of rows.
CREATE FUNCTION public.event_system_pair_key_exists(relation regclass, company text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE public.event_system_same_key(relation, 't', '(before.r)') WHEN 'true' THEN 'false'
    ELSE format('EXISTS (SELECT FROM %I.%I AS t WHERE %s%s)',
        n.nspname, c.relname, public.event_system_same_key(relation, 't', '(before.r)'),
        CASE WHEN company IS NULL THEN '' ELSE format(
            ' AND %s OPERATOR(pg_catalog.=) before.company', public.event_system_company_of('t', company)) END)
    END
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = relation
$$;

CREATE FUNCTION public.event_system_install(
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

CREATE FUNCTION public.event_system_require_watchable(relation regclass, capture text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    table_name CONSTANT text := public.event_system_table_name(relation);
BEGIN
    IF capture IS NULL OR capture NOT IN ('row', 'statement', 'always') THEN
        RAISE EXCEPTION 'capture: % is neither row, statement nor always', COALESCE(quote_literal(capture), 'NULL')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF table_name LIKE 'event\_system\_%' THEN
        RAISE EXCEPTION 'table: % is the event system''s own; its changes would be events of events', table_name
            USING ERRCODE = 'wrong_object_type';
    END IF;
    IF (SELECT relpersistence FROM pg_class WHERE oid = relation) = 't' THEN
        RAISE EXCEPTION 'table: % is temporary; only lasting tables are watched', table_name
            USING ERRCODE = 'wrong_object_type';
    END IF;
    -- The statement trigger that fires is that of the table the statement names, and of no other.
    IF capture = 'statement' AND ((SELECT relkind FROM pg_class WHERE oid = relation) = 'p'
        OR EXISTS (SELECT FROM pg_inherits WHERE relation IN (inhrelid, inhparent)))
    THEN
        RAISE EXCEPTION 'capture: statement would miss writes to partitions or inheriting tables of %', table_name
            USING ERRCODE = 'wrong_object_type', HINT = 'Use capture => ''row''.';
    END IF;
END $$;

CREATE FUNCTION public.event_system_exchange_triggers(relation regclass, suffix text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    operation text;
BEGIN
    FOREACH operation IN ARRAY ARRAY['INSERT', 'UPDATE', 'DELETE'] LOOP
        EXECUTE format('DROP TRIGGER event_system_capture_%s ON %s', lower(operation), relation);
        EXECUTE format(
            'CREATE TRIGGER event_system_capture_%s AFTER %s ON %s REFERENCING%s%s FOR EACH STATEMENT'
            ' EXECUTE FUNCTION public.%I()', lower(operation), operation, relation,
            CASE operation WHEN 'INSERT' THEN '' ELSE ' OLD TABLE AS event_system_old' END,
            CASE operation WHEN 'DELETE' THEN '' ELSE ' NEW TABLE AS event_system_new' END,
            format('event_system_%s_%s', lower(operation), suffix));
    END LOOP;
END $$;

-- What an UPDATE costs by row where nobody listens: first of all whether anybody asks for the table, by the
-- shortest search. PERFORM with FOUND has one plan node less to start, for every row, than IF EXISTS.
ALTER FUNCTION public.event_system_body_update(
    text, text, text, text, text, text, text, text, text, text, text, text, text)
    RENAME TO event_system_body_update_exists;
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

-- The tables watched before, too.
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
