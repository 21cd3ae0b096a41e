-- What staff look for among what came from outside: an event's own id, a type, a company's newest.

-- The same key with the id first: an id alone is found by it, too.
ALTER TABLE public.event_system_inbox DROP CONSTRAINT unique_inbox_entry_per_source;
ALTER TABLE public.event_system_inbox ADD CONSTRAINT unique_inbox_entry_per_source
    UNIQUE NULLS NOT DISTINCT (source_id, source, company);
CREATE INDEX event_system_inbox_company ON public.event_system_inbox (company, id);

CREATE INDEX event_system_dead_letter_type ON public.event_system_dead_letter (type, id);
CREATE INDEX event_system_dead_letter_source_id ON public.event_system_dead_letter (source_id);
