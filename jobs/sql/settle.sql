-- Write a step's one outcome, under the fencing token of the claim; no row means the lease was lost.
WITH done AS (
    UPDATE jobs_steprun
    SET status = %(status)s, output = %(output)s::jsonb, undo = coalesce(%(undo)s::jsonb, undo),
        error = %(error)s::jsonb, finished_at = clock_timestamp(), lease_until = NULL, wake_at = NULL
    WHERE id = %(id)s AND fence = %(fence)s AND status = 'running'
    RETURNING id, attempts, worker, started_at, finished_at
)
INSERT INTO jobs_attempt (step_run_id, number, outcome, error, worker, started_at, finished_at)
SELECT id, attempts, %(status)s, %(error)s::jsonb, worker, started_at, finished_at FROM done
RETURNING id
