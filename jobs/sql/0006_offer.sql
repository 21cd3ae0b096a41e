-- As before, with the waits of each event found by their index: a join on IS NOT DISTINCT FROM read all of them, for
-- each page of events that the relay routes. With an "at", an event older than a run does not meet its waits: a relay
-- that is behind routes it after the wait has begun.
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
