"""A user's app (EXTRA_APPS) whose step waits inside until it is told to go on, so that it can be killed."""
