-- Make nodes ready, and the joins of the groups entered with them. `ON CONFLICT` is for a repeat only.
WITH joined AS (
    INSERT INTO jobs_join (run_id, generation, name, live)
    SELECT %(run)s, %(generation)s, j.name, j.live
    FROM jsonb_to_recordset(%(joins)s::jsonb) AS j (name text, live int)
    ON CONFLICT (run_id, generation, name) DO NOTHING
)
INSERT INTO jobs_steprun (run_id, generation, node, step, phase, status, queue, needs, attempts, fence,
                          due_at, wake_at, created_at)
SELECT %(run)s, %(generation)s, n.node, n.step, %(phase)s, 'ready', n.queue, n.needs, 0, 0,
       clock_timestamp(), clock_timestamp() + %(resend)s, clock_timestamp()
FROM jsonb_to_recordset(%(nodes)s::jsonb)
     AS n (node text, step text, queue text, needs jsonb)
ON CONFLICT (run_id, generation, node) DO NOTHING
RETURNING id, step, queue
