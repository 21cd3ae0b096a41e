"""Events from outside: JSON on SQS queues, read by `manage.py ingest`.

`queue` speaks to SQS, `message` is what it gave, `strict_json` and `envelopes` read it, `filing`
writes a batch into inbox, outbox and dead letters, `receiving` is a thread that does all of that,
over and over, and `process` the threads of one process.
"""
