DROP TRIGGER watch_renamed_records ON public.event_system_watch;
DROP FUNCTION public.event_system_watch_renamed_records();

-- What could not be before: of two tables' records of one key, and of two organisations' things of one
-- id, the one that was synced last stays as it is.
DELETE FROM public.event_system_external_mapping AS m
USING public.event_system_external_mapping AS other
WHERE m.company IS NOT DISTINCT FROM other.company
    AND (m.provider, m.entity, m.record_id) = (other.provider, other.entity, other.record_id)
    AND (COALESCE(m.last_synced_at, '-infinity'), m.id)
        < (COALESCE(other.last_synced_at, '-infinity'), other.id);
UPDATE public.event_system_external_mapping AS m SET external_id = NULL, synced_hash = ''
FROM public.event_system_external_mapping AS other
WHERE m.company IS NOT DISTINCT FROM other.company
    AND (m.provider, m.entity, m.external_id) = (other.provider, other.entity, other.external_id)
    AND (COALESCE(m.last_synced_at, '-infinity'), m.id)
        < (COALESCE(other.last_synced_at, '-infinity'), other.id);

DROP INDEX public.unique_external_id_per_entity;
CREATE UNIQUE INDEX unique_external_id_per_entity
    ON public.event_system_external_mapping (company, provider, entity, external_id)
    NULLS NOT DISTINCT
    WHERE external_id IS NOT NULL;
ALTER TABLE public.event_system_external_mapping
    DROP CONSTRAINT unique_external_mapping_per_record,
    ADD CONSTRAINT unique_external_mapping_per_record
        UNIQUE NULLS NOT DISTINCT (company, provider, entity, record_id);
ALTER TABLE public.event_system_external_mapping DROP COLUMN "table";
