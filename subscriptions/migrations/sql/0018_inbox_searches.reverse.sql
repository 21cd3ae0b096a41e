DROP INDEX public.event_system_dead_letter_source_id;
DROP INDEX public.event_system_dead_letter_type;
DROP INDEX public.event_system_inbox_company;
ALTER TABLE public.event_system_inbox DROP CONSTRAINT unique_inbox_entry_per_source;
ALTER TABLE public.event_system_inbox ADD CONSTRAINT unique_inbox_entry_per_source
    UNIQUE NULLS NOT DISTINCT (company, source, source_id);
