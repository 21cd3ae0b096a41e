-- Events to be published later. A table of its own: these rows may wait for a year, the outbox is kept
-- for days.

CREATE TABLE public.event_system_scheduled_event (
    id uuid PRIMARY KEY DEFAULT public.event_system_uuidv7(),
    company text,
    type text NOT NULL,
    version integer,
    payload json NOT NULL,
    key text CHECK (key OPERATOR(pg_catalog.<>) ''),
    due_at timestamptz NOT NULL,
    correlation_id text DEFAULT NULLIF(
        pg_catalog.current_setting('counterpoint.correlation_id', true), ''),
    depth integer NOT NULL DEFAULT CASE
        WHEN pg_catalog.current_setting('counterpoint.depth', true)
            OPERATOR(pg_catalog.~) '^[0-9]{1,6}$'
        THEN pg_catalog.current_setting('counterpoint.depth', true)::integer ELSE 0 END,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    -- Not every timestamp of PostgreSQL is one of Python's.
    CONSTRAINT scheduled_within_years_1900_to_9000 CHECK (
        pg_catalog.tstzrange('1900-01-01Z', '9000-01-01Z') OPERATOR(pg_catalog.@>) due_at)
);
-- What a key moves and cancels; without one an event stands for itself.
CREATE UNIQUE INDEX unique_scheduled_event_per_key
    ON public.event_system_scheduled_event (company, type, key) NULLS NOT DISTINCT
    WHERE key IS NOT NULL;
CREATE INDEX event_system_scheduled_event_due
    ON public.event_system_scheduled_event (due_at, id);  -- the sweep, and the admin's list
