"""The Django app that the histories' processes load through EXTRA_APPS."""
