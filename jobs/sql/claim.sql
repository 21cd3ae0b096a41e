-- Take a step for one attempt: a ready one that is due, or one whose worker let its lease expire.
-- The lock in `held` makes the guard be read again after a wait, so two claimers never both win.
WITH held AS MATERIALIZED (
    SELECT s.id, s.status, s.attempts, s.worker, s.started_at, s.run_id
    FROM jobs_steprun AS s JOIN jobs_run AS r ON r.id = s.run_id
    WHERE s.id = %(id)s
      AND (   s.status = 'ready' AND s.due_at <= clock_timestamp()
                 AND (r.stop IS NULL OR s.phase = 'compensation')
           OR s.status = 'running' AND s.lease_until <= clock_timestamp())
    FOR UPDATE OF s
), lost AS (
    INSERT INTO jobs_attempt (step_run_id, number, outcome, worker, started_at, finished_at, error)
    SELECT id, attempts, 'lost', worker, started_at, clock_timestamp(),
           jsonb_build_object('type', 'WorkerLost', 'message', 'the lease of ' || worker || ' expired')
    FROM held WHERE status = 'running'
), begun AS (
    UPDATE jobs_run SET status = 'running', started_at = clock_timestamp()
    FROM held WHERE jobs_run.id = held.run_id AND jobs_run.status = 'queued'
)
UPDATE jobs_steprun AS s
SET status = 'running', attempts = s.attempts + 1, fence = s.fence + 1, worker = %(worker)s,
    started_at = clock_timestamp(), lease_until = clock_timestamp() + %(lease)s,
    wake_at = clock_timestamp() + %(lease)s
FROM held, jobs_run AS r
WHERE s.id = held.id AND r.id = held.run_id
RETURNING s.id, s.run_id, s.generation, s.node, s.step, s.phase, s.attempts, s.fence,
          r.definition_id, r.workflow, r.company, r.env, r.queue, r.input, r.correlation_id, r.depth,
          CASE WHEN s.phase = 'compensation' THEN r.rollback_plan END AS rollback_plan,
          (SELECT jsonb_object_agg(o.node, CASE WHEN s.phase = 'compensation'
                                             THEN coalesce(o.undo, o.output) ELSE o.output END)
           FROM jobs_steprun AS o
           WHERE o.run_id = s.run_id AND o.generation = s.generation
             AND o.node IN (SELECT jsonb_array_elements_text(s.needs)))
