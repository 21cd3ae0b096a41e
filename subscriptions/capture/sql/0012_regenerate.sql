-- The tables watched before, too.
DO $$
DECLARE
    w record;
    f record;
BEGIN
    FOR w IN SELECT u.* FROM public.event_system_watch u JOIN pg_catalog.pg_class c ON c.oid = u.relation
        WHERE u.suffix IS NOT NULL
    LOOP
        PERFORM public.event_system_generate(
            w.relation, w.suffix, w.company, w.exclude, w.capture, w.null_company_rows);
        FOR f IN SELECT p.oid::regprocedure AS signature, p.proname, p.prosrc FROM pg_catalog.pg_proc p
            WHERE p.pronamespace = 'public'::regnamespace
                AND p.proname IN ('event_system_before_' || w.suffix, 'event_system_after_' || w.suffix)
        LOOP
            EXECUTE pg_catalog.format(
                'CREATE OR REPLACE FUNCTION %s RETURNS pg_catalog.trigger LANGUAGE plpgsql AS %L', f.signature,
                pg_catalog.regexp_replace(f.prosrc, 'CASE TG_OP WHEN (''\w+'')',
                    'CASE WHEN TG_OP OPERATOR(pg_catalog.=) \1', 'g'));
            EXECUTE pg_catalog.format('ALTER FUNCTION %s OWNER TO %s', f.signature,
                (SELECT relowner::regrole FROM pg_catalog.pg_class
                 WHERE oid = 'public.event_system_event'::regclass));
            PERFORM public.event_system_revoke(ARRAY[f.proname::text]);
        END LOOP;
    END LOOP;
END $$;
