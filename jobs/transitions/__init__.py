"""Each state change as one guarded statement: the guard is in the WHERE, the rows returned say who
won.

Locks are always taken from the leaf to the root, step, join, outer join, run, so that no two
transactions wait for each other. Times are the database's clock. The statements of the hot path are
functions in the database (`jobs/sql/`), one round trip each.
"""
