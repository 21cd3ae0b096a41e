-- What becomes of a watched table that is dropped, renamed, or moved to another schema.

-- Drop what watching made; the triggers go with the table.
CREATE FUNCTION public.event_system_discard(suffix text, skipped regclass) RETURNS void
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

ALTER FUNCTION public.detach_event_trigger(text) RENAME TO event_system_detach;

-- Stop watching; a table that is gone, or was not watched, is no error.
CREATE FUNCTION public.detach_event_trigger("table" text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    w record;
BEGIN
    PERFORM public.event_system_detach("table");
EXCEPTION WHEN undefined_table THEN
    DELETE FROM public.event_system_watch AS d
    WHERE d."table" OPERATOR(pg_catalog.=) detach_event_trigger."table"
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.=) d.relation)
    RETURNING d.suffix, d.null_company_rows INTO w;
    IF NOT FOUND THEN
        RAISE NOTICE 'there is no table %, and none is watched by that name', "table";
    ELSE
        PERFORM public.event_system_discard(w.suffix, w.null_company_rows);
    END IF;
END $$;

-- Refuse to drop a watched table that somebody listens to; else stop watching it. Columns are dropped by
-- ALTER TABLE (event_system_table_altered follows that), or refused: DROP TYPE ... CASCADE says nothing.
CREATE FUNCTION public.event_system_table_dropped() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    w record;
    listening bigint;
    names text;
BEGIN
    IF to_regclass('public.event_system_watch') IS NULL
        OR to_regclass('public.event_system_subscription') IS NULL
    THEN
        RETURN;  -- the event system itself is being removed
    END IF;
    FOR w IN
        SELECT e."table", e.suffix, e.null_company_rows, e.relation, d.objsubid, d.object_identity
        FROM pg_event_trigger_dropped_objects() d
        JOIN public.event_system_watch e ON e.relation::oid = d.objid
        WHERE d.classid = 'pg_class'::regclass
    LOOP
        IF w.objsubid <> 0 THEN
            CONTINUE WHEN TG_TAG = 'ALTER TABLE' OR NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = w.relation);
            RAISE EXCEPTION '% would drop column % of a watched table', TG_TAG, w.object_identity
                USING ERRCODE = 'dependent_objects_still_exist', HINT = 'ALTER TABLE ... DROP COLUMN first.';
        END IF;
        SELECT count(*), string_agg(format('%s of %s', s.name, COALESCE(s.company, 'the platform')), ', '
                ORDER BY s.id) FILTER (WHERE s.place <= 5)
        INTO listening, names
        FROM (SELECT row_number() OVER (ORDER BY id) AS place, * FROM public.event_system_subscription
              WHERE "table" = w."table" AND active) AS s;
        IF listening > 0 THEN
            RAISE EXCEPTION 'table % is watched, and % active subscriptions listen to it: %',
                w."table", listening, names || CASE WHEN listening > 5 THEN ', ...' ELSE '' END
                USING ERRCODE = 'dependent_objects_still_exist', HINT = format(
                    'Delete or deactivate them, or say that they shall hear nothing: '
                    'SELECT detach_event_trigger(%L); in a migration DetachEventTrigger(%L).',
                    w."table", w."table");
        END IF;
        PERFORM public.event_system_discard(w.suffix, w.null_company_rows);
        DELETE FROM public.event_system_watch AS d WHERE d."table" = w."table";
        RAISE NOTICE 'table % is dropped and not watched any more', w."table";
    END LOOP;
END $$;

-- ALTER SCHEMA ... RENAME names no table, yet each of its tables has another name from now on.
CREATE FUNCTION public.event_system_schema_altered() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    w record;
BEGIN
    FOR w IN
        UPDATE public.event_system_watch AS u SET "table" = public.event_system_table_name(u.relation)
        WHERE u."table" <> public.event_system_table_name(u.relation) RETURNING u.*
    LOOP
        PERFORM public.event_system_generate(
            w.relation, w.suffix, w.company, w.exclude, w.capture, w.null_company_rows);
    END LOOP;
END $$;

-- Subscriptions follow a table to its new name. Events that bear the old one must have been read before:
-- they would find no subscription.
CREATE FUNCTION public.event_system_watch_renamed() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM public.event_system_subscription WHERE "table" = OLD."table" AND active)
        AND public.event_system_has_unread(OLD."table")
    THEN
        RAISE EXCEPTION 'table: % has events that the relay has not read; by another name they would reach nobody',
            OLD."table" USING ERRCODE = 'object_in_use',
            HINT = 'Rename it in a transaction that writes no rows of it, while manage.py relay runs, and try again.';
    END IF;
    UPDATE public.event_system_subscription SET "table" = NEW."table" WHERE "table" = OLD."table";
    UPDATE public.event_system_watch
    SET former_names = array_append(array_remove(former_names, NEW."table"), OLD."table")
    WHERE relation = NEW.relation;
    PERFORM public.event_system_retitle_interceptors(NEW.suffix, OLD."table", NEW."table");
    RETURN NULL;
END $$;

-- Whether some relay has still to read an event of the table.
CREATE FUNCTION public.event_system_has_unread(table_name text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM public.event_system_event e
        LEFT JOIN public.event_system_relay_cursor c ON true
        WHERE e."table" = table_name
            AND e.xid >= COALESCE((SELECT pg_snapshot_xmin(seen) AS xmin FROM public.event_system_relay_cursor
                WHERE system_identifier = (SELECT system_identifier FROM pg_control_system())
                ORDER BY xmin LIMIT 1), '0'::xid8)
            AND (c.shard IS NULL
                OR c.system_identifier <> (SELECT system_identifier FROM pg_control_system())
                OR NOT (pg_visible_in_snapshot(e.xid, c.seen)
                    OR (pg_visible_in_snapshot(e.xid, c.reading) AND e.seq <= c.last_seq))))
$$;

-- Interceptors are told the table's name: event_system_install_interceptors has written it into their calls.
CREATE FUNCTION public.event_system_retitle_interceptors(suffix text, old_name text, new_name text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    call CONSTANT text := '(%L::pg_catalog.text, TG_OP';
    f record;
BEGIN
    FOR f IN
        SELECT proname, replace(prosrc, format(call, old_name), format(call, new_name)) AS body FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace
            AND proname IN ('event_system_before_' || suffix, 'event_system_after_' || suffix)
    LOOP
        EXECUTE format('CREATE OR REPLACE FUNCTION public.%I() RETURNS pg_catalog.trigger LANGUAGE plpgsql AS %L',
            f.proname, f.body);
    END LOOP;
END $$;

CREATE TRIGGER watch_renamed AFTER UPDATE OF "table" ON public.event_system_watch
    FOR EACH ROW WHEN (OLD."table" OPERATOR(pg_catalog.<>) NEW."table")
    EXECUTE FUNCTION public.event_system_watch_renamed();

DO $$
BEGIN
    CREATE EVENT TRIGGER event_system_table_dropped ON sql_drop
        EXECUTE FUNCTION public.event_system_table_dropped();
    CREATE EVENT TRIGGER event_system_schema_altered ON ddl_command_end
        WHEN TAG IN ('ALTER SCHEMA') EXECUTE FUNCTION public.event_system_schema_altered();
EXCEPTION WHEN insufficient_privilege THEN
    RAISE WARNING 'no right to create event triggers: manage.py watched shows watched tables that were dropped';
END $$;
