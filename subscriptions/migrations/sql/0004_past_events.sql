-- Read when a run begins to wait for an event: was there one since the run's start? Rows of watched tables have
-- no type and cost nothing here.
CREATE INDEX event_system_event_type ON public.event_system_event (type, company, recorded_at, seq)
    WHERE type IS NOT NULL;
