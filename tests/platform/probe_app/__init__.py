"""A Django app as a user would add one by EXTRA_APPS, with a task to see workers by."""
