"""gunicorn's settings: `gunicorn --config python:counterpoint.web counterpoint.wsgi`.

gunicorn reads this before it forks, so a wrong setting ends it here, in one line; found by the
workers it would make gunicorn start them again for ever. How many workers there are says
WEB_CONCURRENCY, which is gunicorn's own.
"""

import os

from django.conf import settings

from counterpoint.exits import one_line_errors

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "counterpoint.settings")
with one_line_errors():
    settings.DATABASES  # noqa: B018 - reading it is what loads and checks the settings

wsgi_app = "counterpoint.wsgi"
worker_class = "gthread"
threads = 4
timeout = 60
graceful_timeout = 10
