"""What an operator does with messages that could not become events: look, replay, discard, and the
same for the dead-letter queue of SQS, where messages go that no ingest could file.
"""
