-- What the generated functions do: rows without their excluded columns are put together from the columns that are
-- kept (one of a domain that is NOT NULL cannot be emptied), and a key that changes hands is told as gone first.

-- Return the SQL of a row's kept columns as JSON.
CREATE FUNCTION public.event_system_row_json(row_name text, kept text[]) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('(SELECT pg_catalog.row_to_json(event_system_kept) FROM (SELECT %s) AS event_system_kept)',
        (SELECT string_agg(format('%s.%I', row_name, k), ', ') FROM unnest(kept) AS k))
$$;

-- Return the SQL that asks whether a kept column has changed, by the stored bytes. Without the cast of the one
-- side, *<> would be asked of each pair of columns.
CREATE FUNCTION public.event_system_changed(kept text[]) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('ROW(%s)::pg_catalog.record OPERATOR(pg_catalog.*<>) ROW(%s)::pg_catalog.record',
        (SELECT string_agg(format('NEW.%I', k), ', ') FROM unnest(kept) AS k),
        (SELECT string_agg(format('OLD.%I', k), ', ') FROM unnest(kept) AS k))
$$;

CREATE OR REPLACE FUNCTION public.event_system_generate_rows(
    relation regclass, suffix text, company_column text, exclude text[], capture text, skipped regclass
) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $generate$
DECLARE
    table_name CONSTANT text := public.event_system_table_name(relation);
    outbox_owner CONSTANT regrole := (
        SELECT relowner FROM pg_class WHERE oid = 'public.event_system_event'::regclass);
    keys CONSTANT text[] := public.event_system_key_columns(relation);
    asked CONSTANT regclass := to_regclass(public.event_system_asked_name(suffix));
    kept text[]; hides boolean;
    new_company text; old_company text; new_key text; old_key text; unmoved text; old_key_exists text;
    new_json text; old_json text; changed text; count_skipped text := ''; give_way text := '';
    operation text; body text; function_name text;
BEGIN
    -- A trigger sees NULL in a virtual generated column: better no value than a wrong one.
    SELECT COALESCE(array_agg(attname::text ORDER BY attnum) FILTER (WHERE is_kept), '{}'), NOT bool_and(is_kept)
    INTO kept, hides
    FROM (SELECT a.*, attname <> ALL (exclude) AND attgenerated <> 'v' AS is_kept FROM pg_attribute a
          WHERE attrelid = relation AND attnum > 0 AND NOT attisdropped) AS columns;
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
    changed := CASE WHEN hides THEN public.event_system_changed(kept) ELSE 'true' END;
    new_json := CASE WHEN hides THEN public.event_system_row_json('NEW', kept) ELSE 'pg_catalog.row_to_json(NEW)' END;
    old_json := CASE WHEN hides THEN public.event_system_row_json('OLD', kept) ELSE 'pg_catalog.row_to_json(OLD)' END;
    IF skipped IS NOT NULL THEN
        count_skipped := format(
            'PERFORM pg_catalog.nextval(%L::pg_catalog.regclass); RETURN NULL;',
            (SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c
             JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = skipped));
    END IF;
    -- Two rows have one key for a while only where the key may be deferred.
    IF company_column IS NOT NULL AND EXISTS (
        SELECT FROM pg_index WHERE indrelid = relation AND indisprimary AND NOT indimmediate)
    THEN
        give_way := format('PERFORM public.event_system_give_way(%L::pg_catalog.text, %s, event_system.old_company);',
            table_name, old_key);
    END IF;

    IF asked IS NOT NULL AND NOT public.event_system_is_complete(relation, company_column) THEN
        PERFORM setval(asked, 2);  -- from now on there may be rows to be counted
    END IF;

    FOREACH operation IN ARRAY ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE'] LOOP
        body := CASE operation
        WHEN 'INSERT' THEN public.event_system_body_insert(
            table_name, capture, new_company, count_skipped, '', new_key, new_json)
        WHEN 'DELETE' THEN public.event_system_body_delete(
            table_name, capture, old_company, count_skipped, '', old_key, old_json)
        WHEN 'UPDATE' THEN public.event_system_body_update(
            table_name, CASE WHEN asked IS NULL THEN capture ELSE 'asked' END, new_company, old_company, count_skipped, give_way,
            new_key, old_key, new_json, old_json, unmoved, old_key_exists, changed)
        ELSE public.event_system_body_truncate(table_name, capture) END;
        function_name := format('event_system_%s_%s', lower(operation), suffix);
        EXECUTE format(
            'CREATE OR REPLACE FUNCTION public.%I() RETURNS pg_catalog.trigger'
            ' LANGUAGE plpgsql SECURITY DEFINER AS %L', function_name, body);
        EXECUTE format('ALTER FUNCTION public.%I() OWNER TO %s', function_name, outbox_owner);
    END LOOP;
END $generate$;

-- A key changes hands: another company's row has taken it, and said so, before the row that had it is told as gone.
-- Whoever sees both companies would be left with a record that is removed; so what was told of the newcomer is
-- told after it. These are rows of this very transaction, which nobody has seen.
CREATE FUNCTION public.event_system_give_way(table_name text, taken jsonb, leaving text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    WITH told AS (
        SELECT e.company, max(e.seq) FILTER (WHERE e.operation = 'INSERT') AS came_at,
            max(e.seq) FILTER (WHERE e.operation = 'DELETE') AS went_at
        FROM public.event_system_event e
        WHERE e.xid = pg_current_xact_id() AND e."table" = table_name AND e.record_id = taken AND e.company <> leaving
        GROUP BY e.company
    ), moved AS (
        DELETE FROM public.event_system_event e USING told t
        WHERE e.xid = pg_current_xact_id() AND e."table" = table_name AND e.record_id = taken
            AND e.company = t.company AND e.seq >= t.came_at AND (t.went_at IS NULL OR t.went_at < t.came_at)
        RETURNING e.*
    )
    INSERT INTO public.event_system_event (
        id, "timestamp", source, company, "table", operation, record_id, new, old, correlation_id, depth)
    SELECT id, "timestamp", source, company, "table", operation, record_id, new, old, correlation_id, depth
    FROM moved ORDER BY seq;
END $$;

-- A row that keeps key and company is an UPDATE. One that changes either leaves one place and arrives in
-- another: the old company is told DELETE with the old row only, the new one INSERT with the new row only.
-- Where no WHEN clause has asked it ('asked'), first of all whether anybody listens to the table, by the shortest
-- search. PERFORM with FOUND has one plan node less to start, for every row, than IF EXISTS.
DROP FUNCTION public.event_system_body_update_exists(
    text, text, text, text, text, text, text, text, text, text, text, text, text);
DROP FUNCTION public.event_system_body_update(
    text, text, text, text, text, text, text, text, text, text, text, text, text);
CREATE FUNCTION public.event_system_body_update(
    table_name text, capture text, new_company text, old_company text, count_skipped text, give_way text,
    new_key text, old_key text, new_json text, old_json text, unmoved text, old_key_exists text, changed text
) RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format($body$
BEGIN
    %16$s
<<event_system>>
DECLARE
    new_company CONSTANT pg_catalog.text := %1$s;
    old_company CONSTANT pg_catalog.text := %2$s;
BEGIN
    IF %3$s THEN
        %4$s
        %5$s IF %7$s THEN
                %8$s
            END IF;
        END IF;
        RETURN NULL;
    END IF;
    IF %9$s AND %10$s AND NOT %11$s THEN
        %12$s
        %6$s
    END IF;
    IF %13$s AND %14$s THEN
        %15$s
    END IF;
    RETURN NULL;
END;
END $body$,
        new_company, old_company, unmoved,
        CASE WHEN count_skipped = '' THEN '' ELSE format('IF event_system.new_company IS NULL THEN %s END IF;', count_skipped) END,
        CASE capture WHEN 'always' THEN 'IF true THEN' ELSE regexp_replace(
            public.event_system_wanted(table_name, capture, 'UPDATE', 'event_system.new_company'),
            '^EXISTS \(SELECT (.*)\)$', 'PERFORM \1; IF FOUND THEN') END,
        give_way, changed,
        public.event_system_record(table_name, 'UPDATE', 'event_system.new_company', new_key, new_json, old_json),
        CASE WHEN count_skipped = '' THEN 'true' ELSE 'event_system.old_company IS NOT NULL' END,
        public.event_system_wanted(table_name, capture, 'DELETE', 'event_system.old_company'),
        old_key_exists,
        public.event_system_record(table_name, 'DELETE', 'event_system.old_company', old_key, 'NULL', old_json),
        CASE WHEN count_skipped = '' THEN 'true' ELSE 'event_system.new_company IS NOT NULL' END,
        public.event_system_wanted(table_name, capture, 'INSERT', 'event_system.new_company'),
        public.event_system_record(table_name, 'INSERT', 'event_system.new_company', new_key, new_json, 'NULL'),
        CASE WHEN capture IN ('always', 'asked') THEN '' ELSE format(
            'PERFORM FROM public.event_system_interest AS i'
            ' WHERE i."table" OPERATOR(pg_catalog.=) %L::pg_catalog.text LIMIT 1;'
            ' IF NOT FOUND AND %s THEN RETURN NULL; END IF;', table_name,
            CASE WHEN count_skipped = '' THEN 'true' ELSE format('%s IS NOT NULL', new_company) END) END)
$$;

-- Return the SQL of a transition table's rows without what is hidden: a wide column that is left out is not
-- read either. Without the table's name a column called found would be PL/pgSQL's variable.
CREATE OR REPLACE FUNCTION public.event_system_shown(rows text, kept text[], hidden text[]) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN cardinality(hidden) = 0 THEN rows
    ELSE format('(SELECT %1$s FROM %2$s) AS %2$s',
        (SELECT string_agg(format('%s.%I', rows, k), ', ') FROM unnest(kept) AS k), rows) END
$$;

-- UPDATE: rows that keep key and company first, then those that moved, all DELETEs before the first INSERT.
-- The looks at one side alone come before the rows are paired: most statements end there.
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
                ' THEN %s AND %s AND NOT %s ELSE %s AND %s END'
                ' ORDER BY told.is_gone DESC, before.place',
                public.event_system_pairs(company, kept, hidden), unmoved,
                CASE WHEN company IS NULL THEN 'true' ELSE 'before.company IS NOT NULL' END,
                public.event_system_wanted_of(table_name, 'DELETE', 'before.company'), old_key_exists,
                CASE WHEN company IS NULL THEN 'true' ELSE 'after.company IS NOT NULL' END,
                public.event_system_wanted_of(table_name, 'INSERT', 'after.company'))))
$$;
