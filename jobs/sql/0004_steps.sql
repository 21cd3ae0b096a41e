-- The engine's statements on steps, as functions: one round trip each, and what is read after a lock was waited
-- for is read by a fresh statement. Locks go from the leaf to the root: step, join, outer join, run.

-- Make nodes ready, and the joins of the groups entered with them. p_entry is
-- {"nodes": [{"node", "step", "kind", "queue", "needs", "unsent"}], "joins": [{"name", "live"}]}. Returned is what to
-- send; nodes with "unsent" are sent, or taken, when workers come to others of the run.
CREATE OR REPLACE FUNCTION jobs_enter(
    p_run uuid, p_generation int, p_phase text, p_entry jsonb, p_priority int, p_due timestamptz, p_wake timestamptz
) RETURNS TABLE (id bigint, node text, step text, kind text, queue text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    IF jsonb_array_length(p_entry -> 'joins') > 0 THEN
        -- A rollback that is resumed meets its own joins again; otherwise they are new.
        INSERT INTO jobs_join AS j (run_id, generation, name, live, cut)
        SELECT p_run, p_generation, g.name, g.live, false
        FROM jsonb_to_recordset(p_entry -> 'joins') AS g (name text, live int)
        ON CONFLICT (run_id, generation, name) DO UPDATE SET live = excluded.live, cut = false WHERE j.live = 0;
    END IF;
    RETURN QUERY
    WITH entered AS (
        INSERT INTO jobs_steprun AS s (run_id, generation, node, step, kind, phase, status, queue, priority, needs,
                                       attempts, fence, due_at, wake_at, created_at, unsent)
        SELECT p_run, p_generation, n.node, n.step, n.kind, p_phase, 'ready', n.queue, p_priority, n.needs, 0, 0,
               p_due, p_wake, clock_timestamp(), coalesce(n.unsent, false)
        FROM jsonb_to_recordset(p_entry -> 'nodes')
             AS n (node text, step text, kind text, queue text, needs jsonb, unsent boolean)
        ON CONFLICT (run_id, generation, node) DO UPDATE
            SET status = 'ready', spent = s.attempts, error = NULL, finished_at = NULL, due_at = excluded.due_at,
                wake_at = excluded.wake_at
            WHERE s.phase = 'compensation' AND s.status = 'failed'
        RETURNING s.id, s.node::text, s.step::text, s.kind::text, s.queue::text, s.unsent
    )
    SELECT e.id, e.node, e.step, e.kind, e.queue FROM entered AS e WHERE NOT e.unsent;
END $$;

-- The outputs that a step needs and its worker does not have; of a compensation, its step's undo data or output.
CREATE OR REPLACE FUNCTION jobs_outputs(p_run uuid, p_generation int, p_phase text, p_needs jsonb, p_have text[]) RETURNS jsonb
LANGUAGE sql STABLE AS $$
    SELECT jsonb_object_agg(o.node, CASE WHEN p_phase = 'compensation' THEN coalesce(o.undo, o.output) ELSE o.output END)
    FROM jobs_steprun AS o
    WHERE o.run_id = p_run AND o.generation = p_generation
      AND o.node = ANY (ARRAY(SELECT jsonb_array_elements_text(p_needs))) AND o.node <> ALL (p_have)
$$;

-- Choose a step that was not sent yet to be sent now: an item of the `each` p_each, as long as that has room, else
-- one of a wide group, of the queue p_queue.
CREATE OR REPLACE FUNCTION jobs_one_more(p_run uuid, p_generation int, p_each text, p_queue text, p_wake interval)
RETURNS TABLE (id bigint, node text, step text, kind text, queue text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    now_is timestamptz := clock_timestamp();
    found_id bigint;
BEGIN
    IF p_each IS NULL THEN
        RETURN QUERY
        UPDATE jobs_steprun AS t SET unsent = false, wake_at = now_is + p_wake
        WHERE t.id = (
            SELECT p.id FROM jobs_steprun AS p
            WHERE p.run_id = p_run AND p.generation = p_generation AND p.unsent AND p.status = 'ready'
              AND p.queue = p_queue AND p.due_at <= now_is
            ORDER BY p.id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED)
        RETURNING t.id, t.node::text, t.step::text, t.kind::text, t.queue::text;
        RETURN;
    END IF;
    SELECT p.id INTO found_id FROM jobs_steprun AS p
    WHERE p.run_id = p_run AND p.generation = p_generation AND p.each = p_each AND p.status = 'ready' AND p.wake_at IS NULL
      AND EXISTS (SELECT FROM jobs_join AS t WHERE t.run_id = p_run AND t.generation = p_generation
                                               AND t.name = p_each AND t.live < t.most)
    ORDER BY p.item LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN RETURN; END IF;
    -- The token of whoever asks keeps the join open meanwhile.
    UPDATE jobs_join AS t SET live = t.live + 1
    WHERE t.run_id = p_run AND t.generation = p_generation AND t.name = p_each AND t.live < t.most;
    IF NOT FOUND THEN RETURN; END IF;
    RETURN QUERY
    UPDATE jobs_steprun AS t SET due_at = now_is, wake_at = now_is + p_wake WHERE t.id = found_id
    RETURNING t.id, t.node::text, t.step::text, t.kind::text, t.queue::text;
END $$;

-- Take a step for one attempt: a ready or waiting one that is due, or one whose worker let its lease expire.
-- Where another run of higher priority is ready on the queue, that one is taken, and the first is sent again.
-- A message that brought a worker says that workers are free: one more is sent of a wide group, or of an `each`.
CREATE OR REPLACE FUNCTION jobs_claim(p_id bigint, p_worker text, p_lease interval) RETURNS TABLE (
    verdict text, id bigint, run_id uuid, generation int, node text, step text, kind text, phase text, attempts int,
    spent int, fence bigint, resumed boolean, each text, value jsonb, output jsonb, queue text, definition_id text,
    workflow text, company text, env text, run_queue text, input jsonb, correlation_id text, depth int, pivoted boolean,
    rollback_plan jsonb, outputs jsonb
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    s jobs_steprun; better jobs_steprun; r jobs_run;
    now_is timestamptz;
    was text;
BEGIN
    SELECT * INTO s FROM jobs_steprun AS t WHERE t.id = p_id FOR NO KEY UPDATE;
    now_is := clock_timestamp();
    IF NOT FOUND OR NOT (
        s.status IN ('ready', 'waiting') AND s.due_at <= now_is AND s.wake_at IS NOT NULL
        OR s.status = 'running' AND s.lease_until <= now_is
    ) THEN RETURN; END IF;
    IF s.status = 'ready' AND EXISTS (
        SELECT FROM jobs_steprun AS t WHERE t.queue = s.queue AND t.status = 'ready' AND t.priority > 0
    ) THEN
        SELECT * INTO better FROM jobs_steprun AS t
        WHERE t.queue = s.queue AND t.status = 'ready' AND t.priority > 0 AND t.priority > s.priority
          AND t.due_at <= now_is AND t.wake_at IS NOT NULL
          AND NOT (t.phase = 'forward' AND EXISTS (SELECT FROM jobs_run AS x WHERE x.id = t.run_id AND x.stop IS NOT NULL))
        ORDER BY t.priority DESC, t.id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;
        IF FOUND THEN
            RETURN QUERY SELECT 'displaced', s.id, s.run_id, s.generation::int, s.node::text, s.step::text,
                s.kind::text, s.phase::text, NULL::int, NULL::int, NULL::bigint, false, NULL::text, NULL::jsonb,
                NULL::jsonb, s.queue::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::jsonb,
                NULL::text, NULL::int, NULL::boolean, NULL::jsonb, NULL::jsonb;
            s := better;
        END IF;
    END IF;
    SELECT * INTO r FROM jobs_run AS t WHERE t.id = s.run_id;
    IF s.status = 'running' THEN
        INSERT INTO jobs_attempt (step_run_id, number, outcome, worker, started_at, finished_at, error)
        VALUES (s.id, s.attempts, 'lost', s.worker, s.started_at, now_is,
                jsonb_build_object('type', 'WorkerLost', 'message', 'the lease of ' || s.worker || ' expired'));
    END IF;
    -- A stopping run starts nothing, but hears how the child runs end that it started. What its worker lost is given
    -- back, and the sweep ends it with the others that must not start.
    IF s.phase = 'forward' AND r.stop IS NOT NULL
       AND NOT (s.kind = 'child' AND EXISTS (SELECT FROM jobs_run AS c WHERE c.parent_id = s.id)) THEN
        UPDATE jobs_steprun AS t
        SET status = 'ready', fence = t.fence + 1, due_at = now_is, wake_at = now_is, lease_until = NULL
        WHERE t.id = s.id AND t.status = 'running';
        RETURN;
    END IF;
    IF s.status = 'ready' AND s.attempts = s.spent AND (s.phase <> 'forward' OR r.stop IS NULL) THEN
        RETURN QUERY SELECT 'ready', m.id, s.run_id, s.generation::int, m.node, m.step, m.kind, s.phase::text, NULL::int,
            NULL::int, NULL::bigint, false, NULL::text, NULL::jsonb, NULL::jsonb, m.queue, NULL::text, NULL::text,
            r.company::text, NULL::text, NULL::text, NULL::jsonb, NULL::text, NULL::int, NULL::boolean, NULL::jsonb,
            NULL::jsonb
        FROM jobs_one_more(s.run_id, s.generation, s.each, s.queue, p_lease) AS m;
    END IF;
    IF r.status IN ('queued', 'waiting') AND s.phase = 'forward' THEN
        UPDATE jobs_run AS t SET status = 'running', waiting_for = NULL, started_at = coalesce(t.started_at, now_is)
        WHERE t.id = s.run_id AND t.status IN ('queued', 'waiting');
    END IF;
    was := s.status;
    UPDATE jobs_steprun AS t
    SET status = 'running',
        -- One that waited for its code or a place was given its attempt back.
        attempts = t.attempts + CASE WHEN was = 'waiting' AND t.waiting_for IN ('time', 'event', 'child') THEN 0 ELSE 1 END,
        fence = t.fence + 1, worker = p_worker, started_at = now_is, lease_until = now_is + p_lease,
        wake_at = now_is + p_lease, limit_name = NULL, limit_key = NULL,
        -- Of a sleep or a wait it says that this is over, also to the one who comes after a worker that was lost.
        waiting_for = CASE WHEN t.kind IN ('sleep', 'wait') THEN t.waiting_for END
    WHERE t.id = s.id RETURNING * INTO s;
    RETURN QUERY SELECT 'claimed', s.id, s.run_id, s.generation::int, s.node::text, s.step::text, s.kind::text,
        s.phase::text, s.attempts, s.spent, s.fence, was = 'waiting' OR s.waiting_for IS NOT NULL, s.each::text,
        s.value, s.output, s.queue::text, r.definition_id::text, r.workflow::text, r.company::text, r.env::text, r.queue::text, r.input,
        r.correlation_id::text, r.depth::int, r.pivoted,
        CASE WHEN s.phase = 'compensation' THEN r.rollback_plan END,
        jobs_outputs(s.run_id, s.generation, s.phase, s.needs, '{}');
END $$;

-- Write a step's one outcome under the fencing token of its claim, and move its token on: to what follows it, or
-- to the joins around it, as far as it goes. p_way is {"entry", "joins": [{"name", "entry"}]}: of an item of an
-- `each`, that of the `each`; with "waits" the plan has nodes that wait, with "lane" it has groups whose steps are
-- not all sent, and that is the queue of those that p_worker may take. An entry with "in_place" is one node, which
-- p_worker (not NULL) takes at once.
-- p_dies: nothing behind it is to run; p_cut: nor behind the groups around it; p_stop: the run is to stop.
-- Without p_fence it is for a step that waits for its start, which is not to start any more.
-- Verdicts: lost, left (others of its group are live), ready and claimed (the steps that follow), ended (the run
-- has succeeded), turn (the run's end or its rollback's is to be worked out).
CREATE OR REPLACE FUNCTION jobs_advance(
    p_id bigint, p_fence bigint, p_status text, p_output jsonb, p_undo jsonb, p_error jsonb, p_outcome text, p_way jsonb,
    p_dies boolean, p_cut boolean, p_stop text, p_pivot boolean, p_known boolean, p_result jsonb, p_have text[],
    p_worker text, p_lease interval, p_resend interval
) RETURNS TABLE (
    verdict text, id bigint, node text, step text, kind text, queue text, each text, attempts int, spent int, fence bigint,
    value jsonb, outputs jsonb
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    s record; r record; j record; n record; level jsonb;
    entry jsonb := p_way -> 'entry';
    dies boolean := p_dies;
    cut_ boolean := p_cut;
    now_is timestamptz := clock_timestamp();
BEGIN
    UPDATE jobs_steprun AS t
    SET status = p_status, output = p_output, undo = coalesce(p_undo, t.undo), error = p_error, finished_at = now_is,
        lease_until = NULL, wake_at = NULL, waiting_for = NULL
    WHERE t.id = p_id
      AND (t.fence = p_fence AND t.status = 'running'
           OR p_fence IS NULL AND t.status IN ('ready', 'waiting') AND t.wake_at IS NOT NULL)
    RETURNING t.run_id, t.generation, t.phase, t.attempts, t.worker, t.started_at, t.each INTO s;
    IF NOT FOUND THEN
        verdict := 'lost'; RETURN NEXT; RETURN;
    END IF;
    IF p_outcome IS NOT NULL THEN
        INSERT INTO jobs_attempt (step_run_id, number, outcome, error, worker, started_at, finished_at)
        VALUES (p_id, s.attempts, p_outcome, p_error, s.worker, s.started_at, now_is);
    END IF;
    IF s.phase = 'on_failure' THEN RETURN; END IF;
    IF p_stop IS NOT NULL OR p_pivot THEN
        UPDATE jobs_run AS t
        SET stop = coalesce(t.stop, p_stop), pivoted = t.pivoted OR p_pivot,
            error = CASE WHEN p_stop IS NULL THEN t.error ELSE coalesce(t.error, p_error) END
        WHERE t.id = s.run_id AND t.status IN ('queued', 'running', 'waiting');
    END IF;
    -- A token that goes to rest looks at its run behind its joins, and one that stops the run has it before them.
    IF p_way -> 'waits' = 'true' AND s.phase = 'forward' AND jsonb_array_length(p_way -> 'joins') > 0 THEN
        PERFORM FROM jobs_run AS t WHERE t.id = s.run_id FOR NO KEY UPDATE;
    END IF;
    SELECT t.stop, t.priority INTO r FROM jobs_run AS t WHERE t.id = s.run_id;
    dies := dies OR s.phase = 'forward' AND r.stop IS NOT NULL;

    IF s.each IS NOT NULL THEN
        IF cut_ THEN
            UPDATE jobs_join AS t SET cut = true
            WHERE t.run_id = s.run_id AND t.generation = s.generation AND t.name = s.each;
        END IF;
        IF s.phase <> 'forward' OR r.stop IS NULL THEN
            -- Another's row that is skipped here is in the hands of one who will come for the next itself.
            UPDATE jobs_steprun AS t
            SET status = CASE WHEN p_worker IS NULL THEN 'ready' ELSE 'running' END,
                attempts = t.attempts + CASE WHEN p_worker IS NULL THEN 0 ELSE 1 END,
                fence = t.fence + CASE WHEN p_worker IS NULL THEN 0 ELSE 1 END,
                worker = p_worker, started_at = CASE WHEN p_worker IS NULL THEN NULL ELSE now_is END,
                due_at = now_is, lease_until = now_is + CASE WHEN p_worker IS NULL THEN NULL ELSE p_lease END,
                wake_at = now_is + CASE WHEN p_worker IS NULL THEN p_resend ELSE p_lease END
            WHERE t.id = (
                SELECT p.id FROM jobs_steprun AS p
                WHERE p.run_id = s.run_id AND p.generation = s.generation AND p.each = s.each
                  AND p.status = 'ready' AND p.wake_at IS NULL
                ORDER BY p.item LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED)
            RETURNING t.id, t.node::text, t.step::text, t.kind::text, t.queue::text, t.attempts, t.spent, t.fence, t.value,
                t.needs INTO n;
            IF FOUND THEN
                RETURN QUERY SELECT CASE WHEN p_worker IS NULL THEN 'ready' ELSE 'claimed' END, n.id, n.node, n.step,
                    n.kind, n.queue, s.each::text, n.attempts, n.spent, n.fence, n.value,
                    CASE WHEN p_worker IS NOT NULL
                         THEN jobs_outputs(s.run_id, s.generation, s.phase, n.needs, p_have) END;
                RETURN;
            END IF;
        END IF;
        UPDATE jobs_join AS t SET live = t.live - 1
        WHERE t.run_id = s.run_id AND t.generation = s.generation AND t.name = s.each
        RETURNING t.live, t.cut INTO j;
        IF j.live > 0 THEN
            verdict := 'left'; RETURN NEXT; RETURN;
        END IF;
        cut_ := j.cut;
        SELECT t.stop, t.priority INTO r FROM jobs_run AS t WHERE t.id = s.run_id;
        dies := cut_ OR s.phase = 'forward' AND r.stop IS NOT NULL;
        UPDATE jobs_steprun AS t SET status = 'stopped', finished_at = now_is
        WHERE t.run_id = s.run_id AND t.generation = s.generation AND t.each = s.each AND t.status = 'ready';
        UPDATE jobs_steprun AS t
        SET status = CASE WHEN dies AND NOT cut_ THEN 'stopped'
                          WHEN s.phase <> 'forward' AND EXISTS (
                              SELECT FROM jobs_steprun AS f
                              WHERE f.run_id = s.run_id AND f.generation = s.generation AND f.each = s.each
                                AND f.status = 'failed') THEN 'failed'
                          ELSE 'succeeded' END,
            finished_at = now_is,
            output = (SELECT jsonb_agg(o.output ORDER BY o.item) FROM jobs_steprun AS o
                      WHERE o.run_id = s.run_id AND o.generation = s.generation AND o.each = s.each)
        WHERE t.run_id = s.run_id AND t.generation = s.generation AND t.node = s.each;
    END IF;

    IF jsonb_typeof(entry) = 'object' AND NOT dies THEN
        RETURN QUERY SELECT * FROM jobs_go_on(s.run_id, s.generation, s.phase, entry, r.priority, p_have, p_worker,
                                              p_lease, p_resend);
        RETURN;
    END IF;
    FOR level IN SELECT * FROM jsonb_array_elements(p_way -> 'joins') LOOP
        UPDATE jobs_join AS t SET live = t.live - 1, cut = t.cut OR cut_
        WHERE t.run_id = s.run_id AND t.generation = s.generation AND t.name = level ->> 'name'
        RETURNING t.live, t.cut INTO j;
        IF j.live > 0 THEN
            IF p_way ->> 'lane' IS NOT NULL AND (s.phase <> 'forward' OR r.stop IS NULL) THEN
                RETURN QUERY SELECT * FROM jobs_take_unsent(s.run_id, s.generation, s.phase, p_way ->> 'lane', p_have,
                                                            p_worker, p_lease, p_resend);
                IF FOUND THEN RETURN; END IF;
            END IF;
            IF p_way -> 'waits' = 'true' AND s.phase = 'forward' THEN
                PERFORM jobs_rest(s.run_id, s.generation, (
                    SELECT t.waiting_for FROM jobs_steprun AS t
                    WHERE t.run_id = s.run_id AND t.generation = s.generation AND t.waiting_for IS NOT NULL LIMIT 1));
            END IF;
            verdict := 'left'; RETURN NEXT; RETURN;
        END IF;
        -- The lock on the join was waited for: a fresh statement sees what the siblings did before.
        SELECT t.stop, t.priority INTO r FROM jobs_run AS t WHERE t.id = s.run_id;
        cut_ := j.cut;
        IF jsonb_typeof(level -> 'entry') = 'object' AND NOT cut_ AND (s.phase <> 'forward' OR r.stop IS NULL) THEN
            RETURN QUERY SELECT * FROM jobs_go_on(s.run_id, s.generation, s.phase, level -> 'entry', r.priority, p_have,
                                                  p_worker, p_lease, p_resend);
            RETURN;
        END IF;
    END LOOP;
    IF s.phase = 'forward' AND p_known THEN
        UPDATE jobs_run AS t
        SET status = 'succeeded', output = p_result, finished_at = now_is, expires_at = now_is + t.retention,
            waiting_for = NULL
        WHERE t.id = s.run_id AND t.stop IS NULL AND t.status IN ('queued', 'running', 'waiting') AND t.parent_id IS NULL
          AND NOT EXISTS (SELECT FROM jobs_pendingevent AS e WHERE e.run_id = s.run_id);
        IF FOUND THEN
            verdict := 'ended'; RETURN NEXT; RETURN;
        END IF;
    END IF;
    UPDATE jobs_run AS t SET turn_at = now_is WHERE t.id = s.run_id;
    verdict := 'turn'; RETURN NEXT;
END $$;

-- A branch has ended and others are live: take one that was not sent yet, or send it where there is no p_worker.
CREATE OR REPLACE FUNCTION jobs_take_unsent(
    p_run uuid, p_generation int, p_phase text, p_lane text, p_have text[], p_worker text, p_lease interval,
    p_resend interval
) RETURNS TABLE (
    verdict text, id bigint, node text, step text, kind text, queue text, each text, attempts int, spent int, fence bigint,
    value jsonb, outputs jsonb
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    now_is timestamptz := clock_timestamp();
BEGIN
    IF p_worker IS NULL THEN
        RETURN QUERY SELECT 'ready', m.id, m.node, m.step, m.kind, m.queue, NULL::text, NULL::int, NULL::int, NULL::bigint,
            NULL::jsonb, NULL::jsonb
        FROM jobs_one_more(p_run, p_generation, NULL, p_lane, p_resend) AS m;
        RETURN;
    END IF;
    RETURN QUERY
    UPDATE jobs_steprun AS t
    SET status = 'running', unsent = false, attempts = t.attempts + 1, fence = t.fence + 1, worker = p_worker,
        started_at = now_is, lease_until = now_is + p_lease, wake_at = now_is + p_lease
    WHERE t.id = (
        SELECT p.id FROM jobs_steprun AS p
        WHERE p.run_id = p_run AND p.generation = p_generation AND p.unsent AND p.status = 'ready' AND p.phase = p_phase
          AND p.queue = p_lane AND p.due_at <= now_is
        ORDER BY p.id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED)
    RETURNING 'claimed', t.id, t.node::text, t.step::text, t.kind::text, t.queue::text, t.each::text, t.attempts, t.spent,
        t.fence, t.value, jobs_outputs(p_run, p_generation, p_phase, t.needs, p_have);
END $$;

-- What follows a step: taken at once where it is one node that may run in place, else made ready.
CREATE OR REPLACE FUNCTION jobs_go_on(
    p_run uuid, p_generation int, p_phase text, p_entry jsonb, p_priority int, p_have text[], p_worker text,
    p_lease interval, p_resend interval
) RETURNS TABLE (
    verdict text, id bigint, node text, step text, kind text, queue text, each text, attempts int, spent int, fence bigint,
    value jsonb, outputs jsonb
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    n jsonb;
    new_id bigint;
    now_is timestamptz := clock_timestamp();
BEGIN
    IF p_worker IS NULL OR NOT p_entry ? 'in_place' THEN
        RETURN QUERY SELECT 'ready', e.id, e.node, e.step, e.kind, e.queue, NULL::text, NULL::int, NULL::int, NULL::bigint,
            NULL::jsonb, NULL::jsonb
        FROM jobs_enter(p_run, p_generation, p_phase, p_entry, p_priority, now_is, now_is + p_resend) AS e;
        RETURN;
    END IF;
    n := p_entry -> 'nodes' -> 0;
    INSERT INTO jobs_steprun AS s (run_id, generation, node, step, kind, phase, status, queue, priority, needs, attempts,
                                   fence, worker, due_at, wake_at, lease_until, created_at, started_at)
    VALUES (p_run, p_generation, n ->> 'node', n ->> 'step', n ->> 'kind', p_phase, 'running', n ->> 'queue', p_priority,
            n -> 'needs', 1, 1, p_worker, now_is, now_is + p_lease, now_is + p_lease, now_is, now_is)
    ON CONFLICT (run_id, generation, node) DO UPDATE
        SET status = 'running', spent = s.attempts, attempts = s.attempts + 1, fence = s.fence + 1, error = NULL,
            finished_at = NULL, worker = excluded.worker, wake_at = excluded.wake_at,
            lease_until = excluded.lease_until, started_at = excluded.started_at
        WHERE s.phase = 'compensation' AND s.status = 'failed'
    RETURNING s.id INTO new_id;
    RETURN QUERY SELECT 'claimed', s.id, s.node::text, s.step::text, s.kind::text, s.queue::text, s.each::text,
        s.attempts, s.spent, s.fence, s.value,
        CASE WHEN jsonb_array_length(s.needs) > 0
             THEN jobs_outputs(p_run, p_generation, p_phase, s.needs, p_have) END
    FROM jobs_steprun AS s WHERE s.id = new_id;
END $$;

-- Record a failed attempt and make the step ready again after its backoff; says whether its run is stopping.
CREATE OR REPLACE FUNCTION jobs_postpone(p_id bigint, p_fence bigint, p_outcome text, p_error jsonb, p_delay interval)
RETURNS TABLE (stopping boolean) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    s record;
    now_is timestamptz := clock_timestamp();
BEGIN
    UPDATE jobs_steprun AS t
    SET status = 'ready', due_at = now_is + p_delay, wake_at = now_is + p_delay, lease_until = NULL, error = p_error
    WHERE t.id = p_id AND t.fence = p_fence AND t.status = 'running'
    RETURNING t.run_id, t.attempts, t.worker, t.started_at, t.phase INTO s;
    IF NOT FOUND THEN RETURN; END IF;
    INSERT INTO jobs_attempt (step_run_id, number, outcome, error, worker, started_at, finished_at)
    VALUES (p_id, s.attempts, p_outcome, p_error, s.worker, s.started_at, now_is);
    RETURN QUERY SELECT r.stop IS NOT NULL AND s.phase = 'forward' FROM jobs_run AS r WHERE r.id = s.run_id;
END $$;

-- Let a claimed step wait without a lease for p_after, or until p_due; false if the lease was lost. The run waits
-- with its last live step. p_refund gives the attempt back; with p_extend the deadlines of the run and of those
-- that wait for it as their child move by the wait.
CREATE OR REPLACE FUNCTION jobs_wait(
    p_id bigint, p_fence bigint, p_after interval, p_due timestamptz, p_for text, p_limit_name text, p_limit_key text,
    p_refund boolean, p_extend boolean
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    s record;
    now_is timestamptz := clock_timestamp();
    due timestamptz := coalesce(p_due, now_is + p_after);
    waiting_run uuid;
BEGIN
    UPDATE jobs_steprun AS t
    SET status = 'waiting', waiting_for = p_for, due_at = due, wake_at = due, lease_until = NULL,
        limit_name = p_limit_name, limit_key = p_limit_key,
        attempts = t.attempts - CASE WHEN p_refund THEN 1 ELSE 0 END
    WHERE t.id = p_id AND t.fence = p_fence AND t.status = 'running'
    RETURNING t.run_id, t.generation, t.phase INTO s;
    IF NOT FOUND THEN RETURN false; END IF;
    IF s.phase = 'forward' THEN
        IF p_extend THEN
            waiting_run := s.run_id;
            WHILE waiting_run IS NOT NULL LOOP
                UPDATE jobs_run AS t SET deadline_at = t.deadline_at + (due - now_is) WHERE t.id = waiting_run;
                SELECT p.run_id INTO waiting_run
                FROM jobs_run AS t JOIN jobs_steprun AS p ON p.id = t.parent_id WHERE t.id = waiting_run;
            END LOOP;
        END IF;
        PERFORM jobs_rest(s.run_id, s.generation, p_for);
    END IF;
    RETURN true;
END $$;

-- Show the run as waiting if nothing of it is ready or running; two that go to rest at once are in line for the row.
CREATE OR REPLACE FUNCTION jobs_rest(p_run uuid, p_generation int, p_for text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM jobs_run AS t WHERE t.id = p_run AND t.status = 'running' FOR NO KEY UPDATE;
    IF FOUND AND p_for IS NOT NULL AND NOT EXISTS (
        SELECT FROM jobs_steprun AS t
        WHERE t.run_id = p_run AND t.generation = p_generation
          -- A pooled item waits for the others.
          AND (t.status = 'running' OR t.status = 'ready' AND t.wake_at IS NOT NULL)
    ) THEN
        UPDATE jobs_run AS t SET status = 'waiting', waiting_for = p_for WHERE t.id = p_run;
    END IF;
END $$;

-- Turn a claimed `each` into its items, in order; the first p_first are sent, the others pooled. Each worker that a
-- message brings has another sent, until p_parallel are live. Items that were done before (a retried run) stay. No
-- row: the lease was lost. An `each` of nothing to do returns 'empty'.
CREATE OR REPLACE FUNCTION jobs_expand(
    p_id bigint, p_fence bigint, p_items jsonb, p_step text, p_kind text, p_queue text, p_needs jsonb, p_parallel int,
    p_first int, p_resend interval
) RETURNS TABLE (verdict text, id bigint, node text, step text, kind text, queue text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    s record;
    now_is timestamptz := clock_timestamp();
    live_ int;
BEGIN
    SELECT t.run_id, t.generation, t.phase, t.node, t.priority INTO s FROM jobs_steprun AS t
    WHERE t.id = p_id AND t.fence = p_fence AND t.status = 'running' FOR NO KEY UPDATE;
    IF NOT FOUND THEN RETURN; END IF;
    IF s.phase = 'compensation' THEN
        INSERT INTO jobs_steprun AS n (run_id, generation, node, step, kind, phase, status, queue, priority, needs,
                                       attempts, fence, due_at, created_at, each, item)
        SELECT s.run_id, s.generation, f.node || '.compensate', f.step, f.kind, s.phase, 'ready', f.queue, s.priority,
               jsonb_build_array(f.node), 0, 0, now_is, now_is, s.node,
               row_number() OVER (ORDER BY f.item DESC) - 1
        FROM jobs_steprun AS f
        WHERE f.run_id = s.run_id AND f.generation = s.generation AND f.phase = 'forward' AND NOT f.inherited
          AND f.each = left(s.node, -length('.compensate'))
          AND (f.status = 'succeeded' OR f.status <> 'skipped' AND f.undo IS NOT NULL)
        ORDER BY f.item DESC
        ON CONFLICT (run_id, generation, node) DO UPDATE
            SET status = 'ready', spent = n.attempts, error = NULL, finished_at = NULL, wake_at = NULL
            WHERE n.status = 'failed';
    ELSE
        INSERT INTO jobs_steprun (run_id, generation, node, step, kind, phase, status, queue, priority, needs, attempts,
                                  fence, due_at, created_at, each, item, value)
        SELECT s.run_id, s.generation, s.node || '[' || i.number - 1 || ']', p_step, p_kind, s.phase, 'ready', p_queue,
               s.priority, p_needs, 0, 0, now_is, now_is, s.node, i.number - 1, i.value
        FROM jsonb_array_elements(p_items) WITH ORDINALITY AS i (value, number)
        ORDER BY i.number
        ON CONFLICT (run_id, generation, node) DO NOTHING;
    END IF;
    RETURN QUERY
    UPDATE jobs_steprun AS t SET wake_at = now_is + p_resend
    FROM (SELECT p.id FROM jobs_steprun AS p
          WHERE p.run_id = s.run_id AND p.generation = s.generation AND p.each = s.node AND p.status = 'ready'
          ORDER BY p.item LIMIT least(p_first, p_parallel)) AS first
    WHERE t.id = first.id
    RETURNING 'ready', t.id, t.node::text, t.step::text, t.kind::text, t.queue::text;
    GET DIAGNOSTICS live_ = ROW_COUNT;
    IF live_ = 0 THEN
        verdict := 'empty'; RETURN NEXT; RETURN;
    END IF;
    INSERT INTO jobs_join AS j (run_id, generation, name, live, most, cut)
    VALUES (s.run_id, s.generation, s.node, live_, p_parallel, false)
    ON CONFLICT (run_id, generation, name) DO UPDATE SET live = excluded.live, most = excluded.most, cut = false;
    UPDATE jobs_steprun AS t SET status = 'waiting', lease_until = NULL, wake_at = NULL WHERE t.id = p_id;
END $$;

-- Find steps whose moment has come: a retry or a sleep that is due, a message that was lost, a lease that ran out.
-- Each is put off by the resend interval; what is ready for longer, whose message may stand in a long queue, by as
-- long again as it has waited, up to eight intervals, so that the queue is not filled with repeats.
CREATE OR REPLACE FUNCTION jobs_due(p_resend interval, p_limit int)
RETURNS TABLE (id bigint, run_id uuid, step text, kind text, queue text, phase text, company text)
LANGUAGE sql AS $$
    UPDATE jobs_steprun AS s
    SET unsent = false, wake_at = clock_timestamp() + CASE WHEN s.status = 'ready'
        THEN greatest(p_resend, least(clock_timestamp() - s.due_at, 8 * p_resend)) ELSE p_resend END
    FROM (
        SELECT d.id FROM jobs_steprun AS d
        WHERE d.status IN ('ready', 'running', 'waiting') AND d.wake_at <= statement_timestamp()
        ORDER BY d.wake_at LIMIT p_limit
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS due, jobs_run AS r
    WHERE s.id = due.id AND r.id = s.run_id
    RETURNING s.id, s.run_id, s.step::text, s.kind::text, s.queue::text, s.phase::text, r.company::text
$$;
