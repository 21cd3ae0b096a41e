-- Give events, a JSON array of {"type", "company", "payload", "at"}, to the waits that they match: of one step, or of
-- all. The first event that matches a wait ends it. The waits of each event are found by their index: a join on IS NOT
-- DISTINCT FROM would read all of them for each page of events. With an "at", an event older than a run does not meet
-- its waits: a relay that is behind routes it after the wait has begun.
CREATE OR REPLACE FUNCTION jobs_offer(p_events jsonb, p_step bigint, p_resend interval)
RETURNS TABLE (id bigint, run_id uuid, step text, kind text, queue text, phase text, company text) LANGUAGE sql AS $$
    WITH met AS MATERIALIZED (
        SELECT DISTINCT ON (w.step_run_id) w.step_run_id, e.payload
        FROM ROWS FROM (jsonb_to_recordset(p_events) AS (type text, company text, payload jsonb, at timestamptz))
             WITH ORDINALITY AS e (type, company, payload, at, number)
        CROSS JOIN LATERAL (
            SELECT step_run_id, run_id, match FROM jobs_wait WHERE event_type = e.type AND company = e.company
            UNION ALL
            SELECT step_run_id, run_id, match FROM jobs_wait
            WHERE e.company IS NULL AND event_type = e.type AND company IS NULL
        ) AS w
        WHERE w.match <@ e.payload AND (p_step IS NULL OR w.step_run_id = p_step)
          AND (e.at IS NULL OR e.at >= (SELECT created_at FROM jobs_run AS b WHERE b.id = w.run_id))
        ORDER BY w.step_run_id, e.number
    ), gone AS (
        DELETE FROM jobs_wait AS w USING met WHERE w.step_run_id = met.step_run_id
    )
    UPDATE jobs_steprun AS s
    SET output = met.payload, due_at = clock_timestamp(), wake_at = clock_timestamp() + p_resend
    FROM met, jobs_run AS r
    WHERE s.id = met.step_run_id AND r.id = s.run_id AND s.status = 'waiting' AND s.output IS NULL
    RETURNING s.id, s.run_id, s.step::text, s.kind::text, s.queue::text, s.phase::text, r.company::text
$$;

-- Give each wait of a run the oldest matching event that was sent to the run and that no other wait took.
CREATE OR REPLACE FUNCTION jobs_take_signals(p_run uuid, p_resend interval)
RETURNS TABLE (id bigint, run_id uuid, step text, kind text, queue text, phase text, company text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    -- One after the other: two at once would give one signal to two waits. Not by the run's row, which the claim of
    -- a waiting step locks last.
    PERFORM pg_advisory_xact_lock(hashtextextended(p_run::text, 1));
    RETURN QUERY
    WITH met AS MATERIALIZED (
        SELECT DISTINCT ON (w.step_run_id) w.step_run_id, g.id, g.payload
        FROM jobs_wait AS w
        JOIN jobs_signal AS g ON g.run_id = w.run_id AND g.event_type = w.event_type AND g.taken_by_id IS NULL
                             AND w.match <@ g.payload
        -- A wait that was given up, of an earlier round, takes nothing.
        JOIN jobs_steprun AS s ON s.id = w.step_run_id AND s.status = 'waiting' AND s.output IS NULL
        WHERE w.run_id = p_run ORDER BY w.step_run_id, g.id
    ), once AS MATERIALIZED (
        SELECT DISTINCT ON (id) * FROM met ORDER BY id, step_run_id
    ), taken AS (
        UPDATE jobs_signal AS g SET taken_by_id = once.step_run_id FROM once WHERE g.id = once.id
    ), gone AS (
        DELETE FROM jobs_wait AS w USING once WHERE w.step_run_id = once.step_run_id
    )
    UPDATE jobs_steprun AS s
    SET output = once.payload, due_at = clock_timestamp(), wake_at = clock_timestamp() + p_resend
    FROM once, jobs_run AS r
    WHERE s.id = once.step_run_id AND r.id = s.run_id AND s.status = 'waiting' AND s.output IS NULL
    RETURNING s.id, s.run_id, s.step::text, s.kind::text, s.queue::text, s.phase::text, r.company::text;
END $$;
