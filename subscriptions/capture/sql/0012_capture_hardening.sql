-- Capture that nobody can turn against the platform: who may attach its functions to tables, whose code they
-- run, which tables they watch; and what a restored database knows of its columns.

-- A table of the attacker's own with one of these triggers on it would silence capture, or forge events:
-- CREATE TRIGGER asks for EXECUTE, a trigger that is there does not.
CREATE FUNCTION public.event_system_revoke(functions text[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    function_oid oid;
BEGIN
    FOR function_oid IN
        SELECT oid FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND proname = ANY (functions)
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', function_oid::regprocedure);
    END LOOP;
END $$;

SELECT public.event_system_revoke(ARRAY(
    SELECT proname::text FROM pg_catalog.pg_proc
    WHERE pronamespace OPERATOR(pg_catalog.=) 'public'::regnamespace
        AND proname OPERATOR(pg_catalog.~) '^event_system_'
        AND prorettype OPERATOR(pg_catalog.=) ANY (
            ARRAY['pg_catalog.trigger'::regtype, 'pg_catalog.event_trigger'::regtype])));

-- Write the table's four functions, anew if they are there.
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
    PERFORM public.event_system_revoke(ARRAY(
        SELECT format('event_system_%s_%s', part, suffix)
        FROM unnest(ARRAY['insert', 'update', 'delete', 'truncate']) AS part));
END $$;

-- What must not be watched ------------------------------------------------------------------------------

ALTER FUNCTION public.event_system_require_watchable(regclass, text)
    RENAME TO event_system_require_kind;

CREATE FUNCTION public.event_system_require_watchable(relation regclass, capture text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    table_name CONSTANT text := public.event_system_table_name(relation);
BEGIN
    PERFORM public.event_system_require_kind(relation, capture);
    -- What an event sets going writes here: its event would set the same going, for ever.
    IF table_name ~ '^(jobs|django_celery_results)_' THEN
        RAISE EXCEPTION 'table: % is the platform''s own; what its events start would write to it again', table_name
            USING ERRCODE = 'wrong_object_type',
                  HINT = 'Watch the table that the work is about; to hear of runs, subscribe to their event types.';
    END IF;
END $$;

-- Return what of a watched table would run others' code with the rights of the outbox's owner; NULL if nothing.
-- Types bring their casts along, and whoever owns a type may make one at any time; a cast or an operator in SQL
-- that fixes no search_path runs what the writer puts into his. Row security asks its owner's functions.
CREATE FUNCTION public.event_system_foreign_code(relation regclass, exclude text[]) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH RECURSIVE outbox AS (
        SELECT relowner AS owner FROM pg_class WHERE oid = 'public.event_system_event'::regclass
    ), shown (name, type) AS (
        SELECT attname, atttypid FROM pg_attribute
        WHERE attrelid = relation AND attnum > 0 AND NOT attisdropped
            AND attgenerated <> 'v' AND attname <> ALL (exclude)
        UNION
        SELECT s.name, p.type FROM shown s JOIN pg_type t ON t.oid = s.type CROSS JOIN LATERAL (
            SELECT t.typelem UNION ALL SELECT t.typbasetype
            UNION ALL SELECT r.rngsubtype FROM pg_range r WHERE t.oid IN (r.rngtypid, r.rngmultitypid)
            UNION ALL SELECT a.atttypid FROM pg_attribute a
            WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) AS p (type)
        WHERE p.type <> 0
    ), called (what, function_oid) AS (
        SELECT format('column %s: the cast of %s to %s', s.name, s.type::regtype, c.casttarget::regtype), c.castfunc
        FROM shown s JOIN pg_cast c ON c.castsource = s.type
        WHERE c.casttarget IN ('json'::regtype, 'text'::regtype) AND c.castfunc <> 0
        UNION ALL
        SELECT format('primary key: operator %s', o.oid::regoperator), o.oprcode
        FROM pg_index i CROSS JOIN LATERAL unnest(i.indclass::oid[]) AS k (opclass)
        JOIN pg_opclass oc ON oc.oid = k.opclass
        JOIN pg_amop am ON am.amopfamily = oc.opcfamily AND am.amopstrategy = 3
            AND am.amoplefttype = oc.opcintype AND am.amoprighttype = oc.opcintype
        JOIN pg_operator o ON o.oid = am.amopopr
        WHERE i.indrelid = relation AND i.indisprimary
    ), problems (problem) AS (
        SELECT format('column %s: type %s belongs to %s, who has not the rights of %s',
            s.name, s.type::regtype, t.typowner::regrole, b.owner::regrole)
        FROM shown s JOIN pg_type t ON t.oid = s.type CROSS JOIN outbox b
        WHERE NOT pg_has_role(t.typowner, b.owner, 'MEMBER')
        UNION ALL
        SELECT format('%s calls %s, which fixes no search_path', c.what, c.function_oid::regprocedure)
        FROM called c JOIN pg_proc f ON f.oid = c.function_oid JOIN pg_language l ON l.oid = f.prolang
        WHERE l.lanname NOT IN ('internal', 'c') AND f.oid >= 16384
            AND NOT EXISTS (SELECT FROM unnest(f.proconfig) AS s WHERE starts_with(s, 'search_path='))
        UNION ALL
        SELECT format('row security: its owner %s has not the rights of %s', r.relowner::regrole, b.owner::regrole)
        FROM pg_class r CROSS JOIN outbox b
        WHERE r.oid = relation AND r.relrowsecurity AND NOT pg_has_role(r.relowner, b.owner, 'MEMBER')
    )
    SELECT problem FROM problems ORDER BY problem LIMIT 1
$$;

CREATE FUNCTION public.event_system_require_own_code(relation regclass, exclude text[]) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    problem CONSTANT text := public.event_system_foreign_code(relation, exclude);
BEGIN
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION 'table: capture of % would run others'' code with the platform''s rights: %',
            public.event_system_table_name(relation), problem
            USING ERRCODE = 'insufficient_privilege', HINT =
                'Exclude the column, or give what it names a trusted owner and a fixed search_path.';
    END IF;
END $$;

CREATE OR REPLACE FUNCTION public.event_system_install(
    relation regclass, company text, exclude text[], capture text,
    interceptors text[], before_calls oid[], after_interceptors text[], after_calls oid[]
) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    w public.event_system_watch;
BEGIN
    -- No subscription comes while it is noted whether there are any.
    PERFORM pg_advisory_xact_lock('public.event_system_interest'::regclass::oid::integer, 0);
    PERFORM public.event_system_require_watchable(relation, capture);
    PERFORM public.event_system_require_own_code(relation, exclude);
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
    ELSIF capture = 'row' AND public.event_system_is_complete(relation, w.company) THEN
        PERFORM public.event_system_heed_interest(relation, w.suffix);
        PERFORM public.event_system_generate(
            relation, w.suffix, w.company, w.exclude, w.capture, w.null_company_rows);
    END IF;
END $$;

-- Interceptors run as the writer, but the functions that call them belong to the platform: whoever renames the
-- table writes them anew.
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
    new_row CONSTANT pg_catalog.jsonb := CASE WHEN TG_OP OPERATOR(pg_catalog.=) 'DELETE' THEN NULL
        ELSE pg_catalog.to_jsonb(NEW) END;
    old_row CONSTANT pg_catalog.jsonb := CASE WHEN TG_OP OPERATOR(pg_catalog.=) 'INSERT' THEN NULL
        ELSE pg_catalog.to_jsonb(OLD) END;
BEGIN
%s
    IF TG_OP OPERATOR(pg_catalog.=) 'DELETE' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
END $body$, statements));
    EXECUTE format('ALTER FUNCTION public.%I() OWNER TO %s', function_name,
        (SELECT relowner::regrole FROM pg_class WHERE oid = 'public.event_system_event'::regclass));
    PERFORM public.event_system_revoke(ARRAY[function_name]);
    EXECUTE format('CREATE TRIGGER %I %s INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION public.%I()',
        'event_system_interceptors_' || moment, upper(moment), relation, function_name);
END $$;

-- After a restore ---------------------------------------------------------------------------------------

-- A restored database has other oids, and columns may have other numbers: both are noted anew before the first
-- ALTER TABLE, while the names are still those that were watched.
CREATE FUNCTION public.event_system_table_altering() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF to_regclass('public.event_system_watch') IS NULL THEN
        RETURN;  -- the event system itself is being removed
    END IF;
    UPDATE public.event_system_watch w
    SET relation_oid = w.relation::oid,
        company_attnum = (
            SELECT attnum FROM pg_attribute a WHERE a.attrelid = w.relation AND a.attname = w.company),
        exclude_attnums = ARRAY(
            SELECT a.attnum FROM unnest(w.exclude) WITH ORDINALITY AS n (name, position)
            JOIN pg_attribute a ON a.attrelid = w.relation AND a.attname = n.name ORDER BY n.position)
    WHERE w.relation_oid <> w.relation::oid
        AND (SELECT count(*) FROM unnest(w.exclude || w.company) AS n (name)
             JOIN pg_attribute a ON a.attrelid = w.relation AND a.attname = n.name AND NOT a.attisdropped)
            = cardinality(w.exclude) + CASE WHEN w.company IS NULL THEN 0 ELSE 1 END;
END $$;
REVOKE ALL ON FUNCTION public.event_system_table_altering() FROM PUBLIC;

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
        -- Dropped or renamed: without the numbers nobody knows, and a renamed one would be shown.
        IF w.relation_oid <> w.relation::oid AND cardinality(exclude_now) < cardinality(w.exclude) THEN
            RAISE EXCEPTION 'table: % was watched before this database was restored; which of its columns are excluded'
                ' is not known after this ALTER TABLE', w."table"
                USING ERRCODE = 'object_not_in_prerequisite_state', HINT = format(
                    'Watch it again first (SELECT attach_event_trigger(%L, ...)), then alter it.', w."table");
        END IF;
        PERFORM public.event_system_require_own_code(w.relation, exclude_now);
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

DO $$
BEGIN
    CREATE EVENT TRIGGER event_system_table_altering ON ddl_command_start
        WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION public.event_system_table_altering();
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'no right to create event triggers: after a restore watch the tables again before ALTER TABLE';
END $$;
