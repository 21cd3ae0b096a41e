"""Histories of random workflows under kills, lost messages and restarts, checked from the tables.

`shapes`, `behaviours`, `timeline` and `mischief` derive everything from a seed; `history` plays it
on real processes, `records` reads what is left, `invariants` judges it.
"""
