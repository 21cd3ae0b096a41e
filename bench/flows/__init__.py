"""The Django app with the workflows that are measured; workers load it through EXTRA_APPS."""
