-- The text of the functions that read a whole statement's rows from its transition tables, event_system_old
-- and event_system_new. Fragments are quoted by whoever made them; aliases are names that no table's column has.

-- Return the SQL that asks whether some subscription wants a row of this company. Both questions are asked
-- once a statement: behind OR, PostgreSQL hashes the companies instead of joining them.
CREATE FUNCTION public.event_system_wanted_of(table_name text, operation text, company text)
RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format(
        '(%3$s OPERATOR(pg_catalog.=) ANY (SELECT i.company FROM public.event_system_interest AS i'
        ' WHERE i."table" OPERATOR(pg_catalog.=) %1$L::pg_catalog.text'
        ' AND i.operation OPERATOR(pg_catalog.=) %2$L::pg_catalog.text) OR %4$s)',
        table_name, operation, company,
        public.event_system_wanted(table_name, 'statement', operation, 'NULL::pg_catalog.text'))
$$;

-- Return the SQL of a transition table's rows without what is hidden: a wide column that is left out is not
-- read either.
CREATE FUNCTION public.event_system_shown(rows text, kept text[], hidden text[]) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN cardinality(hidden) = 0 THEN rows
    ELSE format('(SELECT %1$s FROM %2$s) AS %2$s',
        (SELECT string_agg(quote_ident(k), ', ') FROM unnest(kept) AS k), rows) END
$$;

-- Return the SQL of a row's company, in the default collation as interest has it.
CREATE FUNCTION public.event_system_company_of(prefix text, company text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN company IS NULL THEN 'NULL::pg_catalog.text'
    ELSE format('(%s.%I::pg_catalog.text COLLATE pg_catalog."default")', prefix, company) END
$$;

-- Return the SQL of the rows before and after, side by side. Both transition tables are filled row by row in
-- one order (trigger.c, AfterTriggerSaveEvent), so their places pair them also where a key has changed or
-- there is none. *<> then compares the stored bytes: it knows every type.
CREATE FUNCTION public.event_system_pairs(company text, kept text[], hidden text[]) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format(
        '(SELECT pg_catalog.row_number() OVER () AS place, event_system_old AS r, %s AS company'
        ' FROM %s) AS before'
        ' JOIN (SELECT pg_catalog.row_number() OVER () AS place, event_system_new AS r, %s AS company'
        ' FROM %s) AS after ON after.place OPERATOR(pg_catalog.=) before.place',
        public.event_system_company_of('event_system_old', company),
        public.event_system_shown('event_system_old', kept, hidden),
        public.event_system_company_of('event_system_new', company),
        public.event_system_shown('event_system_new', kept, hidden))
$$;

CREATE FUNCTION public.event_system_tell(
    table_name text, operation text, company text, key text, new_json text, old_json text, source text
) RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format(
        'INSERT INTO public.event_system_event (source, company, "table", operation, record_id, new, old)'
        ' SELECT ''table'', %3$s, %1$L, %2$s, %4$s, %5$s, %6$s FROM %7$s;',
        table_name, operation, company, key, new_json, old_json, source)
$$;

-- INSERT and DELETE: `rows` is the one transition table there is.
CREATE FUNCTION public.event_system_statement_of_rows(
    table_name text, operation text, rows text, keys text[], company text, count_skipped text, kept text[],
    hidden text[]
) RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format($body$
BEGIN
    %1$s
    IF %2$s THEN
        %3$s
    END IF;
    RETURN NULL;
END $body$,
        CASE WHEN count_skipped = '' THEN '' ELSE format('PERFORM %s FROM %s WHERE %s IS NULL;',
            count_skipped, rows, public.event_system_company_of(rows, company)) END,
        public.event_system_wanted(table_name, 'statement', operation, NULL),
        public.event_system_tell(
            table_name, quote_literal(operation), public.event_system_company_of(rows, company),
            public.event_system_key(rows, keys),
            CASE operation WHEN 'INSERT' THEN format('pg_catalog.row_to_json(%s)', rows) ELSE 'NULL' END,
            CASE operation WHEN 'DELETE' THEN format('pg_catalog.row_to_json(%s)', rows) ELSE 'NULL' END,
            format('%s WHERE %s AND %s', public.event_system_shown(rows, kept, hidden),
                CASE WHEN company IS NULL THEN 'true'
                ELSE format('%s IS NOT NULL', public.event_system_company_of(rows, company)) END,
                public.event_system_wanted_of(
                    table_name, operation, public.event_system_company_of(rows, company)))))
$$;

CREATE FUNCTION public.event_system_any_wanted(table_name text, operation text, rows text, company text)
RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('EXISTS (SELECT FROM %s WHERE %s)', rows, public.event_system_wanted_of(
        table_name, operation, public.event_system_company_of(rows, company)))
$$;

-- UPDATE: rows that keep key and company first, then those that moved, each as DELETE and INSERT.
-- The looks at one side alone come before the rows are paired: most statements end there.
CREATE FUNCTION public.event_system_statement_update(
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
