"""Alerts: rules looked at every minute, incidents that last, one message at each end.

Postgres holds it all, so it does not matter which process looks, and two that look at once are one.
"""
