-- Record a failed attempt and make the step ready again after its backoff, under the fencing token.
WITH failed AS (
    UPDATE jobs_steprun
    SET status = 'ready', due_at = clock_timestamp() + %(delay)s, wake_at = clock_timestamp() + %(delay)s,
        lease_until = NULL, error = %(error)s::jsonb
    WHERE id = %(id)s AND fence = %(fence)s AND status = 'running'
    RETURNING id, attempts, worker, started_at
)
INSERT INTO jobs_attempt (step_run_id, number, outcome, error, worker, started_at, finished_at)
SELECT id, attempts, 'failed', %(error)s::jsonb, worker, started_at, clock_timestamp() FROM failed
RETURNING id
