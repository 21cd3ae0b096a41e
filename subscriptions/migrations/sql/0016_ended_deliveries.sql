-- What ended lately without being delivered, for metrics and alerts; 'blocked' ones are so from the beginning.
CREATE INDEX event_system_delivery_ended
    ON public.event_system_delivery ((COALESCE(finished_at, created_at)))
    WHERE status IN ('dead', 'expired', 'canceled', 'blocked', 'superseded');
