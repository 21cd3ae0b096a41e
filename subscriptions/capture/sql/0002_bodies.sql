-- The text of the generated functions. Each takes finished SQL fragments: identifiers and literals are
-- quoted by whoever made them (event_system_install), and format() fills them in in one pass.

-- Return the SQL for record_id: a JSON string, or a JSON object if the key has several columns.
CREATE FUNCTION public.event_system_key(prefix text, keys text[]) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE cardinality(keys)
        WHEN 0 THEN 'NULL::pg_catalog.jsonb'
        WHEN 1 THEN format('pg_catalog.to_jsonb(%s.%I::pg_catalog.text)', prefix, keys[1])
        ELSE (SELECT format('pg_catalog.jsonb_build_object(%s)',
                string_agg(format('%L, %s.%I', k, prefix, k), ', ')) FROM unnest(keys) AS k)
    END
$$;

-- Return the SQL that compares two rows' keys with the operators of the primary key's index, which may
-- hold 1.0 = 1.00; 'true' without a key.
CREATE FUNCTION public.event_system_same_key(relation regclass, one text, other text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT COALESCE(string_agg(
        format('%s.%I OPERATOR(%I.%s) %s.%I', one, a.attname, n.nspname, o.oprname, other, a.attname),
        ' AND ' ORDER BY k.position), 'true')
    FROM pg_index i
    CROSS JOIN LATERAL unnest(i.indkey::smallint[], i.indclass::oid[])
        WITH ORDINALITY AS k (attnum, opclass, position)
    JOIN pg_attribute a ON a.attrelid = relation AND a.attnum = k.attnum
    JOIN pg_opclass oc ON oc.oid = k.opclass
    JOIN pg_amop am ON am.amopfamily = oc.opcfamily AND am.amopstrategy = 3
        AND am.amoplefttype = oc.opcintype AND am.amoprighttype = oc.opcintype
    JOIN pg_operator o ON o.oid = am.amopopr
    JOIN pg_namespace n ON n.oid = o.oprnamespace
    WHERE i.indrelid = relation AND i.indisprimary AND k.position <= i.indnkeyatts
$$;

-- Return the SQL that asks whether some row of the old company has the old key now (swapped keys).
CREATE FUNCTION public.event_system_key_exists(relation regclass, company text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE public.event_system_same_key(relation, 't', 'OLD') WHEN 'true' THEN 'false'
    ELSE format('EXISTS (SELECT FROM %I.%I AS t WHERE %s%s)',
        n.nspname, c.relname, public.event_system_same_key(relation, 't', 'OLD'),
        CASE WHEN company IS NULL THEN '' ELSE format(
            ' AND t.%I::pg_catalog.text OPERATOR(pg_catalog.=) event_system.old_company', company) END)
    END
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = relation
$$;

-- Return the SQL that asks whether any subscription wants this; it comes before any JSON is built.
CREATE FUNCTION public.event_system_wanted(table_name text, capture text, operation text, companies text)
RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE capture WHEN 'always' THEN 'true' ELSE format(
        'EXISTS (SELECT FROM public.event_system_interest AS i'
        ' WHERE i."table" OPERATOR(pg_catalog.=) %1$L::pg_catalog.text'
        ' AND i.operation OPERATOR(pg_catalog.=) %2$L::pg_catalog.text%3$s)',
        table_name, operation, CASE WHEN companies IS NULL THEN '' ELSE
            format(' AND i.company OPERATOR(pg_catalog.=) ANY (ARRAY[%s, ''*''::pg_catalog.text])', companies) END)
    END
$$;

CREATE FUNCTION public.event_system_record(
    table_name text, operation text, company text, key text, new_json text, old_json text
) RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format(
        'INSERT INTO public.event_system_event (source, company, "table", operation, record_id, new, old)'
        ' VALUES (''table'', %3$s, %1$L, %2$L, %4$s, %5$s, %6$s);',
        table_name, operation, company, key, new_json, old_json)
$$;

CREATE FUNCTION public.event_system_body_insert(
    table_name text, capture text, new_company text, count_skipped text, prepare text, key text, new_json text
) RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format($body$
<<event_system>>
DECLARE
    new_company CONSTANT pg_catalog.text := %1$s;
    changed_new pg_catalog.record;
BEGIN
    %2$s
    IF %3$s THEN
        %4$s
        %5$s
    END IF;
    RETURN NULL;
END $body$,
        new_company,
        CASE WHEN count_skipped = '' THEN '' ELSE format('IF event_system.new_company IS NULL THEN %s END IF;', count_skipped) END,
        public.event_system_wanted(table_name, capture, 'INSERT', 'event_system.new_company'),
        prepare,
        public.event_system_record(table_name, 'INSERT', 'event_system.new_company', key, new_json, 'NULL'))
$$;

CREATE FUNCTION public.event_system_body_delete(
    table_name text, capture text, old_company text, count_skipped text, prepare text, key text, old_json text
) RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format($body$
<<event_system>>
DECLARE
    old_company CONSTANT pg_catalog.text := %1$s;
    changed_old pg_catalog.record;
BEGIN
    %2$s
    IF %3$s THEN
        %4$s
        %5$s
    END IF;
    RETURN NULL;
END $body$,
        old_company,
        CASE WHEN count_skipped = '' THEN '' ELSE format('IF event_system.old_company IS NULL THEN %s END IF;', count_skipped) END,
        public.event_system_wanted(table_name, capture, 'DELETE', 'event_system.old_company'),
        prepare,
        public.event_system_record(table_name, 'DELETE', 'event_system.old_company', key, 'NULL', old_json))
$$;

-- A row that keeps key and company is an UPDATE. One that changes either leaves one place and arrives in
-- another: the old company is told DELETE with the old row only, the new one INSERT with the new row only.
CREATE FUNCTION public.event_system_body_update(
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

CREATE FUNCTION public.event_system_body_truncate(table_name text, capture text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT format('BEGIN IF %s THEN %s END IF; RETURN NULL; END',
        public.event_system_wanted(table_name, capture, 'TRUNCATE', NULL),
        public.event_system_record(table_name, 'TRUNCATE', 'NULL', 'NULL', 'NULL', 'NULL'))
$$;

-- Interceptors run as the writer: SECURITY INVOKER, in the order given; raising refuses the write.
CREATE FUNCTION public.event_system_install_interceptors(
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
