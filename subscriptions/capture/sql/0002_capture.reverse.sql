DROP EVENT TRIGGER IF EXISTS event_system_table_altered;
DO $$
DECLARE
    watched regclass;
BEGIN
    FOR watched IN SELECT w.relation FROM public.event_system_watch w
        JOIN pg_catalog.pg_class c ON c.oid = w.relation
    LOOP
        PERFORM public.event_system_uninstall(watched);
        PERFORM public.event_system_forget(watched);
    END LOOP;
END $$;
DROP FUNCTION public.event_system_forget(regclass);
DROP FUNCTION public.detach_event_trigger(text);
DROP FUNCTION public.event_system_uninstall(regclass);
DROP FUNCTION public.event_system_install_interceptors(regclass, text, text, text, oid[]);
DROP FUNCTION public.event_system_body_truncate(text, text);
DROP FUNCTION public.event_system_body_update(
    text, text, text, text, text, text, text, text, text, text, text, text, text);
DROP FUNCTION public.event_system_body_delete(text, text, text, text, text, text, text);
DROP FUNCTION public.event_system_body_insert(text, text, text, text, text, text, text);
DROP FUNCTION public.event_system_record(text, text, text, text, text, text);
DROP FUNCTION public.event_system_wanted(text, text, text, text);
DROP FUNCTION public.event_system_key_exists(regclass, text);
DROP FUNCTION public.event_system_same_key(regclass, text, text);
DROP FUNCTION public.event_system_key(text, text[]);
DROP FUNCTION public.event_system_install(regclass, text, text[], text, text[], oid[], text[], oid[]);
DROP FUNCTION public.event_system_table_altered();
DROP FUNCTION public.event_system_column_now(regclass, oid, text, smallint);
DROP FUNCTION public.event_system_generate(regclass, text, text, text[], text, regclass);
DROP FUNCTION public.event_system_suffix(regclass);
DROP FUNCTION public.event_system_key_columns(regclass);
DROP FUNCTION public.event_system_interceptor(text);
DROP FUNCTION public.attach_event_trigger(text, text[], text, text[], text, text[]);
DROP FUNCTION public.event_system_table_name(regclass);
DROP FUNCTION public.event_system_relation(text);
DROP FUNCTION public.event_system_without(json, text[]);
DROP VIEW public.event_system_trigger;
DROP TABLE public.event_system_watch;
