"""The web process's entry point: `gunicorn counterpoint.wsgi`."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "counterpoint.settings")

application = get_wsgi_application()
