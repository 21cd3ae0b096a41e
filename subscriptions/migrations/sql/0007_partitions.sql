-- Partitions of a day, in UTC, made while others write: CREATE TABLE … PARTITION OF would wait for them, and all
-- that come after it would wait too; ATTACH locks no writer out, but the DEFAULT partition, which it looks through.

CREATE FUNCTION public.event_system_partition_name(parent text, day date) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN parent OPERATOR(pg_catalog.||) '_'::text OPERATOR(pg_catalog.||) pg_catalog.to_char(
    day::timestamp, 'YYYYMMDD'::text);

-- Returns whether the partition is there now. It is not made while the DEFAULT partition has rows of that day.
CREATE FUNCTION public.event_system_make_partition(parent text, day date) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    partition CONSTANT text := public.event_system_partition_name(parent, day);
    begins CONSTANT timestamptz := day::timestamp AT TIME ZONE 'UTC';
    ends CONSTANT timestamptz := (day + 1)::timestamp AT TIME ZONE 'UTC';
    keyed_by CONSTANT text := CASE parent
        WHEN 'event_system_event' THEN 'recorded_at'
        WHEN 'event_system_delivery' THEN 'event_at'
        WHEN 'event_system_delivery_attempt' THEN 'started_at' END;
    is_there boolean;
BEGIN
    IF keyed_by IS NULL THEN
        RAISE EXCEPTION '% has no partitions of a day', quote_literal(parent)
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF to_regclass(format('public.%I', partition)) IS NOT NULL THEN
        RETURN true;
    END IF;
    -- Asked before anything is locked.
    EXECUTE format('SELECT EXISTS (SELECT FROM public.%I WHERE %I >= $1 AND %I < $2)',
        parent || '_default', keyed_by, keyed_by) INTO is_there USING begins, ends;
    IF is_there THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE public.%I (LIKE public.%I INCLUDING ALL)', partition, parent);
    EXECUTE format('ALTER TABLE public.%I ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
        parent, partition, begins, ends);
    RETURN true;
END $$;

-- The first ones, so that a new installation has nothing in DEFAULT; the relay makes those after them.
SELECT public.event_system_make_partition(parent, days.day)
FROM pg_catalog.unnest(ARRAY['event_system_event', 'event_system_delivery', 'event_system_delivery_attempt'])
        AS parent,
    (SELECT (pg_catalog.now() AT TIME ZONE 'UTC')::date OPERATOR(pg_catalog.+) n AS day
     FROM pg_catalog.generate_series(0, 1) AS n) AS days;

-- Which part of the outbox a cursor stands for: events with shard % shards = its shard.
ALTER TABLE public.event_system_relay_cursor
    ADD COLUMN shards integer NOT NULL DEFAULT 1,
    -- After a change of `shards`, until the first snapshot is read: what the cursors before had read.
    ADD COLUMN earlier jsonb;
