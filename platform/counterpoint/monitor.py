"""The Celery application that watches the workers, over Redis: Flower and `celery inspect` use it.

    celery -A counterpoint.monitor inspect ping
    celery -A counterpoint.monitor flower

SQS carries neither worker events nor remote control, so each worker speaks both over Redis
(`counterpoint.control`). No task is ever sent through this application.
"""

from celery import Celery

from counterpoint.celery import exit_on_wrong_setting

app = Celery("counterpoint.monitor", set_as_current=False)
app.on_configure.connect(exit_on_wrong_setting)
app.config_from_object("counterpoint.monitorconfig")
