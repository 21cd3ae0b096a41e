-- The partitions stay: they hold rows, and are partitions without these functions too. One cursor goes on from
-- the least advanced place; what it reads again has its deliveries already.
DELETE FROM public.event_system_relay_cursor c USING public.event_system_relay_cursor o
WHERE (pg_catalog.pg_snapshot_xmax(o.seen), o.shard) OPERATOR(pg_catalog.<)
    (pg_catalog.pg_snapshot_xmax(c.seen), c.shard);
UPDATE public.event_system_relay_cursor SET shard = 0, last_seq = CASE shards WHEN 1 THEN last_seq ELSE 0 END;
ALTER TABLE public.event_system_relay_cursor DROP COLUMN shards, DROP COLUMN earlier;
DROP FUNCTION public.event_system_make_partition(text, date);
DROP FUNCTION public.event_system_partition_name(text, date);
