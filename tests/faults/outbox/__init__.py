"""Writers that hold, roll back and prepare transactions, and a relay that is killed meanwhile.

As an app (EXTRA_APPS) it brings the handler type that the events go to. `writers` is the process of
one writer, `play` starts all and kills the relay, `judgement` reads what is left.
"""
