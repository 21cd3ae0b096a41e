"""A user's app (EXTRA_APPS) whose step waits inside, so that it can be killed there."""
