-- Start a run with its first steps; one row 'definition' (pin it first) or 'conflict' (a key is taken) if it was not
-- inserted. p_hold keeps the first steps for that long, and then the sweep sends them.
CREATE OR REPLACE FUNCTION jobs_start(
    p_id uuid, p_workflow text, p_definition text, p_company text, p_env text, p_queue text, p_input jsonb, p_key text,
    p_correlation text, p_depth int, p_priority int, p_singleton text, p_debounce text, p_parent bigint,
    p_timeout interval, p_retention interval, p_hold interval, p_entry jsonb, p_resend interval
) RETURNS TABLE (verdict text, id bigint, step text, kind text, queue text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    now_is timestamptz := clock_timestamp();
BEGIN
    IF NOT EXISTS (SELECT FROM jobs_definition WHERE hash = p_definition) THEN
        verdict := 'definition'; RETURN NEXT; RETURN;
    END IF;
    INSERT INTO jobs_run (id, workflow, definition_id, company, env, queue, status, rollback, generation, input,
                          idempotency_key, correlation_id, depth, priority, singleton_key, debounce_key, parent_id,
                          pivoted, retention, created_at, deadline_at)
    VALUES (p_id, p_workflow, p_definition, p_company, p_env, p_queue, 'queued', 'not_needed', 1, p_input, p_key,
            p_correlation, p_depth, p_priority, p_singleton, p_debounce, p_parent, false, p_retention, now_is,
            now_is + p_hold + p_timeout)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        verdict := 'conflict'; RETURN NEXT; RETURN;
    END IF;
    RETURN QUERY
    SELECT CASE WHEN p_hold > interval '0' THEN 'held' ELSE 'ready' END, e.id, e.step, e.kind, e.queue
    FROM jobs_enter(p_id, 1, 'forward', p_entry, p_priority, now_is + p_hold,
                    now_is + CASE WHEN p_hold > interval '0' THEN p_hold ELSE p_resend END) AS e;
END $$;

-- Move a debounced run that has not begun to the newest input and put it off; the run's id, or no row.
CREATE OR REPLACE FUNCTION jobs_debounce(p_workflow text, p_company text, p_key text, p_input jsonb, p_hold interval, p_timeout interval)
RETURNS TABLE (id uuid) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    found_id uuid;
    now_is timestamptz;
BEGIN
    SELECT t.id INTO found_id FROM jobs_run AS t
    WHERE t.workflow = p_workflow AND t.company IS NOT DISTINCT FROM p_company AND t.debounce_key = p_key
      AND t.status = 'queued' AND t.stop IS NULL;
    PERFORM FROM jobs_steprun AS t WHERE t.run_id = found_id ORDER BY t.id FOR NO KEY UPDATE;
    now_is := clock_timestamp();
    RETURN QUERY
    UPDATE jobs_run AS t SET input = p_input, deadline_at = now_is + p_hold + p_timeout
    WHERE t.id = found_id AND t.status = 'queued' AND t.stop IS NULL RETURNING t.id;
    IF FOUND THEN
        UPDATE jobs_steprun AS t SET due_at = now_is + p_hold, wake_at = now_is + p_hold
        WHERE t.run_id = found_id AND t.status = 'ready';
    END IF;
END $$;

-- Ask for a place under the limits named p_name for a claimed step: NULL if it has one, else how long to wait.
-- A step's place counts while it runs under its fencing token on a lease that has not expired; a run's (p_of_run)
-- until the run has ended. In any window of p_per at most p_starts starts.
CREATE OR REPLACE FUNCTION jobs_admit(
    p_name text, p_key text, p_run uuid, p_id bigint, p_fence bigint, p_of_run boolean, p_places int, p_starts int,
    p_per interval, p_pause interval
) RETURNS interval LANGUAGE plpgsql AS $$
DECLARE
    now_is timestamptz;
    recent timestamptz[];
    in_line int;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(p_name || chr(1) || p_key, 0));
    now_is := clock_timestamp();
    IF p_places IS NOT NULL THEN
        DELETE FROM jobs_hold AS h
        WHERE h.name = p_name AND h.key = p_key AND NOT CASE WHEN h.step_run_id IS NULL
            THEN EXISTS (SELECT FROM jobs_run AS r WHERE r.id = h.run_id AND r.finished_at IS NULL)
            ELSE EXISTS (SELECT FROM jobs_steprun AS s WHERE s.id = h.step_run_id AND s.fence = h.fence
                         AND s.status = 'running' AND s.lease_until > now_is) END;
        IF (SELECT count(*) FROM jobs_hold AS h
            WHERE h.name = p_name AND h.key = p_key AND NOT (p_of_run AND h.run_id = p_run)) >= p_places THEN
            RETURN p_pause;
        END IF;
    END IF;
    IF p_starts IS NOT NULL THEN
        INSERT INTO jobs_ratewindow (name, key, starts) VALUES (p_name, p_key, '{}') ON CONFLICT DO NOTHING;
        SELECT array_agg(t ORDER BY t) INTO recent
        FROM jobs_ratewindow AS w, unnest(w.starts) AS t WHERE w.name = p_name AND w.key = p_key AND t > now_is - p_per;
        IF cardinality(recent) >= p_starts THEN
            -- Those in line are spread over the windows to come, so that they do not all return at once.
            SELECT count(*) INTO in_line FROM jobs_steprun AS s
            WHERE s.status = 'waiting' AND s.limit_name = p_name AND s.limit_key = p_key AND s.due_at > now_is;
            RETURN recent[1 + cardinality(recent) - p_starts] + p_per - now_is + p_per * (in_line / p_starts);
        END IF;
        UPDATE jobs_ratewindow AS w SET starts = array_append(recent, now_is) WHERE w.name = p_name AND w.key = p_key;
    END IF;
    IF p_places IS NOT NULL THEN
        INSERT INTO jobs_hold (name, key, run_id, step_run_id, fence)
        SELECT p_name, p_key, p_run, CASE WHEN p_of_run THEN NULL ELSE p_id END, p_fence
        WHERE NOT (p_of_run AND EXISTS (SELECT FROM jobs_hold AS h
                   WHERE h.name = p_name AND h.key = p_key AND h.run_id = p_run AND h.step_run_id IS NULL));
    END IF;
    RETURN NULL;
END $$;

-- A place was given back: wake the first in line.
CREATE OR REPLACE FUNCTION jobs_wake_limited(p_name text, p_key text, p_resend interval)
RETURNS TABLE (id bigint, run_id uuid, step text, kind text, queue text, phase text, company text) LANGUAGE sql AS $$
    UPDATE jobs_steprun AS s SET due_at = clock_timestamp(), wake_at = clock_timestamp() + p_resend
    FROM jobs_run AS r
    WHERE r.id = s.run_id AND s.id = (
        SELECT t.id FROM jobs_steprun AS t
        WHERE t.status = 'waiting' AND t.limit_name = p_name AND t.limit_key = p_key AND t.due_at > clock_timestamp()
        ORDER BY t.priority DESC, t.id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED)
    RETURNING s.id, s.run_id, s.step::text, s.kind::text, s.queue::text, s.phase::text, r.company::text
$$;
