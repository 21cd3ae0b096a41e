-- Events from outside: what was taken in, so that it is taken once, and what could not be.

CREATE TABLE public.event_system_inbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    company text,
    source text NOT NULL,
    source_id text NOT NULL,
    event_id uuid NOT NULL DEFAULT public.event_system_uuidv7(),
    queue text NOT NULL,
    message_id text NOT NULL,
    attempts integer,  -- the producer's figure; SQS's is receive_count
    receive_count integer NOT NULL DEFAULT 1,
    received_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    CONSTRAINT unique_inbox_entry_per_source UNIQUE NULLS NOT DISTINCT (company, source, source_id)
);
CREATE INDEX event_system_inbox_received ON public.event_system_inbox (received_at);  -- retention

CREATE TABLE public.event_system_dead_letter (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    company text,
    source text NOT NULL,
    source_id text NOT NULL,
    type text,
    queue text NOT NULL,
    message_id text NOT NULL,
    reason text NOT NULL,
    problem text NOT NULL DEFAULT '',
    body bytea NOT NULL,
    attributes json NOT NULL DEFAULT '{}',  -- json: jsonb refuses what a sender may put in
    receive_count integer NOT NULL DEFAULT 1,
    sent_at timestamptz NOT NULL,
    first_seen_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    last_seen_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'replayed', 'discarded')),
    replay_at timestamptz CHECK (replay_at IS NULL OR status OPERATOR(pg_catalog.=) 'open'),
    replayed_body bytea,  -- where it was edited
    event_id uuid,
    decided_by text NOT NULL DEFAULT '',
    decided_at timestamptz,
    decision text NOT NULL DEFAULT ''
);
-- The same message again is the same dead letter; another body under a used id is not.
CREATE UNIQUE INDEX unique_dead_letter_per_message ON public.event_system_dead_letter
    (source, source_id, pg_catalog.sha256(body));
CREATE INDEX event_system_dead_letter_open ON public.event_system_dead_letter (reason, id)
    WHERE status = 'open';  -- the admin's counts by reason
CREATE INDEX event_system_dead_letter_replay ON public.event_system_dead_letter (replay_at)
    WHERE replay_at IS NOT NULL;
CREATE INDEX event_system_dead_letter_company ON public.event_system_dead_letter (company, id);
