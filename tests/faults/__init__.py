"""Histories of random workflows under kills, lost messages and restarts, checked from the tables.

`shapes`, `drawing`, `behaviours`, `timeline` and `mischief` derive everything from a seed, `fixed`
holds what every history has; `history` plays it on real processes, in two acts: runs are started,
and then levers pulled on those that have ended. `records` reads what is left, `invariants` judges
it.
"""
