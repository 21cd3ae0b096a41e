-- Find steps whose moment has come: a retry that is due, a message that was lost, a lease that ran out.
-- Each is put off by the resend interval, so that a long queue is not filled with repeats.
UPDATE jobs_steprun AS s
SET wake_at = clock_timestamp() + %(resend)s
FROM (
    SELECT id FROM jobs_steprun
    WHERE status IN ('ready', 'running') AND wake_at <= clock_timestamp()
    ORDER BY wake_at LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
) AS due
WHERE s.id = due.id
RETURNING s.id, s.run_id, s.step, s.queue, s.phase
