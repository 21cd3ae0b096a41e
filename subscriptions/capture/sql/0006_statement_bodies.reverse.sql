DROP EVENT TRIGGER IF EXISTS event_system_table_dropped;
DROP EVENT TRIGGER IF EXISTS event_system_schema_altered;
DO $$
DECLARE
    w record;
BEGIN
    FOR w IN SELECT * FROM public.event_system_watch WHERE capture = 'statement' LOOP
        PERFORM public.attach_event_trigger(w."table", w.interceptors, COALESCE(w.company, ''), w.exclude, 'row',
            w.after_interceptors);
    END LOOP;
END $$;
DROP TRIGGER watch_renamed ON public.event_system_watch;
DROP FUNCTION public.event_system_watch_renamed();
DROP FUNCTION public.event_system_retitle_interceptors(text, text, text);
DROP FUNCTION public.event_system_has_unread(text);
DROP FUNCTION public.event_system_schema_altered();
DROP FUNCTION public.event_system_table_dropped();
DROP FUNCTION public.detach_event_trigger(text);
ALTER FUNCTION public.event_system_detach(text) RENAME TO detach_event_trigger;
DROP FUNCTION public.event_system_discard(text, regclass);
DROP FUNCTION public.event_system_exchange_triggers(regclass, text);
DROP FUNCTION public.event_system_require_watchable(regclass, text);
DROP FUNCTION public.event_system_install(regclass, text, text[], text, text[], oid[], text[], oid[]);
ALTER FUNCTION public.event_system_install_rows(regclass, text, text[], text, text[], oid[], text[], oid[])
    RENAME TO event_system_install;
DROP FUNCTION public.event_system_pair_key_exists(regclass, text);
DROP FUNCTION public.event_system_generate_statements(regclass, text, text, text[], regclass);
DROP FUNCTION public.event_system_generate(regclass, text, text, text[], text, regclass);
ALTER FUNCTION public.event_system_generate_rows(regclass, text, text, text[], text, regclass)
    RENAME TO event_system_generate;
DROP FUNCTION public.event_system_body_update(
    text, text, text, text, text, text, text, text, text, text, text, text, text);
ALTER FUNCTION public.event_system_body_update_exists(
    text, text, text, text, text, text, text, text, text, text, text, text, text)
    RENAME TO event_system_body_update;
ALTER TABLE public.event_system_watch DROP COLUMN suffix, DROP COLUMN former_names;
DROP FUNCTION public.event_system_statement_update(
    text, text, text, text, text, text, text, text[], text[]);
DROP FUNCTION public.event_system_any_wanted(text, text, text, text);
DROP FUNCTION public.event_system_statement_of_rows(text, text, text, text[], text, text, text[], text[]);
DROP FUNCTION public.event_system_tell(text, text, text, text, text, text, text);
DROP FUNCTION public.event_system_pairs(text, text[], text[]);
DROP FUNCTION public.event_system_company_of(text, text);
DROP FUNCTION public.event_system_shown(text, text[], text[]);
DROP FUNCTION public.event_system_wanted_of(text, text, text);
