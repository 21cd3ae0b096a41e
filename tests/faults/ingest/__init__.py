"""Messages from outside, some broken, some sent or handed out twice, and ingest killed meanwhile.

As an app (EXTRA_APPS) it brings the type of the good ones. `posts` makes the messages, `postman`
stands before SQS and forgets deletions, `play` starts and kills, `judgement` reads what is left.
"""
