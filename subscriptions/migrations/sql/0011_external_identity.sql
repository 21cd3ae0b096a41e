-- A record is one of a table, and an id is one of an organisation: two tables may have the same keys,
-- and the organisation that a company connects next may give the same ids again.

ALTER TABLE public.event_system_external_mapping ADD COLUMN "table" text NOT NULL DEFAULT '';
UPDATE public.event_system_external_mapping AS m SET "table" = s."table"
FROM public.event_system_subscription AS s
WHERE s.id OPERATOR(pg_catalog.=) m.subscription_id AND s."table" IS NOT NULL;
-- Of examples, which are no deliveries.
UPDATE public.event_system_external_mapping SET delivery_id = NULL
WHERE delivery_id OPERATOR(pg_catalog.=) 0;

ALTER TABLE public.event_system_external_mapping
    DROP CONSTRAINT unique_external_mapping_per_record,
    ADD CONSTRAINT unique_external_mapping_per_record
        UNIQUE NULLS NOT DISTINCT (company, provider, entity, "table", record_id);
DROP INDEX public.unique_external_id_per_entity;
CREATE UNIQUE INDEX unique_external_id_per_entity
    ON public.event_system_external_mapping (company, provider, tenant_id, entity, external_id)
    NULLS NOT DISTINCT
    WHERE external_id IS NOT NULL;

-- What stands for a table's records follows it to its new name, as its subscriptions do before.
CREATE FUNCTION public.event_system_watch_renamed_records() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE public.event_system_external_mapping SET "table" = NEW."table" WHERE "table" = OLD."table";
    UPDATE public.event_system_search_entry AS e SET "table" = NEW."table"
    FROM public.event_system_subscription AS s
    WHERE s."table" = NEW."table" AND e.subscription_id = s.id AND e."table" = OLD."table";
    RETURN NULL;
END $$;
CREATE TRIGGER watch_renamed_records AFTER UPDATE OF "table" ON public.event_system_watch
    FOR EACH ROW WHEN (OLD."table" OPERATOR(pg_catalog.<>) NEW."table")
    EXECUTE FUNCTION public.event_system_watch_renamed_records();
