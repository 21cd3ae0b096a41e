DROP FUNCTION jobs_take_signals, jobs_offer, jobs_wake_limited, jobs_admit, jobs_debounce, jobs_start, jobs_due, jobs_expand, jobs_rest, jobs_wait,
    jobs_postpone, jobs_take_unsent, jobs_one_more, jobs_go_on, jobs_advance, jobs_claim, jobs_outputs, jobs_enter;
