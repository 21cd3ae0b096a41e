"""Counterpoint's settings: what a process reads from its environment.

`.env.example` lists every variable.
"""

from datetime import timedelta
from typing import Any
from urllib.parse import unquote, urlsplit

from counterpoint import env, logging, queues

SECRET_KEY = env.text("SECRET_KEY")
DEBUG = env.flag("DEBUG", default=False)
ALLOWED_HOSTS = env.names("ALLOWED_HOSTS") or ["localhost", "127.0.0.1"]
CSRF_TRUSTED_ORIGINS = env.names("CSRF_TRUSTED_ORIGINS")
SALT_KEY = env.text("SALT_KEY", SECRET_KEY)

# Services -----------------------------------------------------------------------------------------

DATABASE_URL = env.url("DATABASE_URL", schemes=("postgres", "postgresql"))
REDIS_URL = env.url("REDIS_URL", schemes=("redis", "rediss"))
SQS_ENDPOINT_URL = env.url("SQS_ENDPOINT_URL", schemes=("http", "https"), default="")
SQS_QUEUE_PREFIX = env.text("SQS_QUEUE_PREFIX", "counterpoint-")
AWS_REGION = env.text("AWS_REGION", "eu-central-1")


def database(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    name = unquote(parts.path.lstrip("/"))
    if not name:
        raise env.SettingError(
            "DATABASE_URL", "names no database: postgresql://user@host:port/NAME"
        )
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or 5432),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            "connect_timeout": 5,
            # Of the engine's statements; Django's own are never prepared.
            "prepare_threshold": 5 if env.flag("DATABASE_PREPARED", default=True) else None,
        },
    }


DATABASES = {"default": database(DATABASE_URL)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "OPTIONS": {"socket_connect_timeout": 0.5, "socket_timeout": 0.5},
    }
}

# Applications -------------------------------------------------------------------------------------

EXTRA_APPS = env.names("EXTRA_APPS")
INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "ninja",  # for the pages of /api/v1/docs
    "django_celery_beat",
    "django_celery_results",
    "counterpoint",
    "jobs",
    "subscriptions",
    "jobs.workflows.restock",
    "jobs.workflows.bookings",
    "jobs.workflows.billing",
    *EXTRA_APPS,
]

MIDDLEWARE = [
    "counterpoint.health.HealthMiddleware",
    "counterpoint.monitoring.endpoint.MetricsMiddleware",
    "counterpoint.problems.ProblemMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "counterpoint.urls"
WSGI_APPLICATION = "counterpoint.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

STATIC_URL = "static/"
WHITENOISE_USE_FINDERS = True  # one image, no collectstatic step to forget
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-us"
UNFOLD = {"SITE_TITLE": "Counterpoint", "SITE_HEADER": "Counterpoint"}

logging.configure()
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"nowhere": {"class": "logging.NullHandler"}},
    "loggers": {
        # It tells with every client where the credentials came from.
        "botocore": {"level": "WARNING"},
        # They tell the whole URL of every request, and that may be a secret.
        "httpx": {"level": "WARNING"},
        "httpcore": {"level": "WARNING"},
        "urllib3": {"level": "WARNING"},
        # What it says of a failure is the delivery's error, without the secrets of its URL.
        "apprise": {"level": "WARNING", "handlers": ["nowhere"], "propagate": False},
    },
}

# Queues and Celery (its settings are in counterpoint.celery) --------------------------------------

# Whose the messages of a queue, or of an AWS principal, are, whatever their bodies say.
INGEST_QUEUE_COMPANIES = env.pairs("INGEST_QUEUE_COMPANIES")
INGEST_SENDER_COMPANIES = env.pairs("INGEST_SENDER_COMPANIES")

QUEUES = queues.declared(env.names("EXTRA_QUEUES"), of_events=INGEST_QUEUE_COMPANIES)

# How many messages a worker takes for each of its pool processes: one request to SQS brings them,
# and what waits behind a long step is sent to another worker after JOBS_RESEND_AFTER.
WORKER_PREFETCH = int(env.number("WORKER_PREFETCH", default=4, minimum=1, maximum=100))

# The engine ---------------------------------------------------------------------------------------

JOBS_LEASE = timedelta(
    seconds=env.number("JOBS_LEASE_SECONDS", default=60, minimum=1, maximum=3600)
)
# How long a ready step may wait for a worker before the sweep sends its message again.
JOBS_RESEND_AFTER = timedelta(
    seconds=env.number("JOBS_RESEND_AFTER_SECONDS", default=60, minimum=1, maximum=3600)
)

# How long a worker goes on with the steps that follow, in place, on one message.
JOBS_IN_PLACE = timedelta(
    seconds=env.number("JOBS_IN_PLACE_SECONDS", default=30, minimum=0, maximum=3600)
)
# The largest input or output, in bytes of JSON.
JOBS_MAX_VALUE_BYTES = int(
    env.number("JOBS_MAX_VALUE_BYTES", default=1024 * 1024, minimum=1024, maximum=64 * 1024 * 1024)
)
# Of a request's body; JSON as sent may be longer than as stored.
DATA_UPLOAD_MAX_MEMORY_SIZE = max(2_621_440, 2 * JOBS_MAX_VALUE_BYTES)

# The relay and deliveries -------------------------------------------------------------------------

RELAY_POLL = timedelta(
    milliseconds=env.number("RELAY_POLL_MILLISECONDS", default=25, minimum=1, maximum=60_000)
)
# How long a delivery may wait for a worker before the sweep sends its message again.
DELIVERY_RESEND_AFTER = timedelta(
    seconds=env.number("DELIVERY_RESEND_AFTER_SECONDS", default=60, minimum=1, maximum=3600)
)
# How long events are kept with their deliveries, in whole days, and for how many days to come the
# relay makes partitions.
EVENT_RETENTION = timedelta(
    days=int(env.number("EVENT_RETENTION_DAYS", default=7, minimum=1, maximum=3650))
)
EVENT_PARTITIONS_AHEAD = int(
    env.number("EVENT_PARTITIONS_AHEAD_DAYS", default=7, minimum=1, maximum=60)
)
# Threads of one ingest process that receive from a queue.
INGEST_THREADS = int(env.number("INGEST_THREADS", default=4, minimum=1, maximum=32))
# How long the ids of events from outside are remembered: a message may be 14 days old, and then be
# moved out of a dead-letter queue.
INBOX_RETENTION = timedelta(
    days=int(env.number("INBOX_RETENTION_DAYS", default=30, minimum=15, maximum=3650))
)
# Mail, by Django's own settings. Without EMAIL_URL none goes out, and EMAIL is refused at save.
EMAIL_URL = env.url("EMAIL_URL", schemes=("smtp", "smtp+tls", "smtps"), default="")
EMAIL_TIMEOUT = 10  # seconds, for each answer of the server
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.mail_address(
    "DEFAULT_FROM_EMAIL", default="counterpoint@localhost"
)

_mail = urlsplit(EMAIL_URL)
EMAIL_HOST = _mail.hostname or "localhost"
EMAIL_PORT = _mail.port or {"smtp+tls": 587, "smtps": 465}.get(_mail.scheme, 25)
EMAIL_HOST_USER = unquote(_mail.username or "")
EMAIL_HOST_PASSWORD = unquote(_mail.password or "")
EMAIL_USE_TLS = _mail.scheme == "smtp+tls"
EMAIL_USE_SSL = _mail.scheme == "smtps"
# Where the admin is, for links in mails.
SITE_URL = env.url("SITE_URL", schemes=("http", "https"), default="http://localhost:8000")
# Mail addresses of those who are told what no owner of a subscription is there for.
OPERATORS = env.names("OPERATORS")
# An SMS service as Apprise writes it, without recipients; without it no SMS goes out.
SMS_URL = env.text("SMS_URL", "")
# Where a failed payment is tried again: see docs/workflows.md. Without it only people are told.
PAYMENT_GATEWAY_URL = env.url("PAYMENT_GATEWAY_URL", schemes=("http", "https"), default="")
PAYMENT_GATEWAY_TOKEN = env.text("PAYMENT_GATEWAY_TOKEN", "")
# CIDRs that webhooks may reach although they are private; empty in production.
WEBHOOK_ALLOWED_NETWORKS = env.networks("WEBHOOK_ALLOWED_NETWORKS")

# Watching it --------------------------------------------------------------------------------------

# Who may read /metrics without being logged in as staff: "Authorization: Bearer <token>".
METRICS_TOKEN = env.text("METRICS_TOKEN", "")
# How many companies have metrics of their own; the others are counted together, as `_other`.
METRICS_COMPANIES = int(env.number("METRICS_COMPANIES", default=20, minimum=0, maximum=1000))
# Whether CloudWatch is asked for the age of each queue's oldest message, which SQS does not tell.
METRICS_CLOUDWATCH = env.flag("METRICS_CLOUDWATCH", default=True)
# How long a step may be due without anybody taking it before it counts as stuck.
ALERT_STUCK_AFTER = timedelta(
    minutes=env.number("ALERT_STUCK_AFTER_MINUTES", default=15, minimum=1, maximum=10_080)
)
# Whom alerts are told: mail addresses, and URLs as Apprise takes them.
ALERT_MAIL_TO = env.names("ALERT_MAIL_TO") or OPERATORS
ALERT_URLS = env.names("ALERT_URLS")
# How many looks in a row, one a minute, open an incident, and how many close it.
ALERT_AFTER = int(env.number("ALERT_AFTER", default=2, minimum=1, maximum=1440))
ALERT_CLEAR_AFTER = int(env.number("ALERT_CLEAR_AFTER", default=5, minimum=1, maximum=1440))
# Rules that are not looked at, and what each fires above: see counterpoint.monitoring.alerts.
ALERTS_OFF = env.names("ALERTS_OFF")
ALERT_FAILURES_LEAST = int(env.number("ALERT_FAILURES_LEAST", default=20, minimum=1))
ALERT_LIMITS = {
    "queues-away": 0,
    "dead-letter-queue": env.number("ALERT_DEAD_LETTER_QUEUE_MESSAGES", default=0),
    "queue-depth": env.number("ALERT_QUEUE_MESSAGES", default=10_000),
    "queue-age": env.number("ALERT_QUEUE_AGE_SECONDS", default=900),
    "failures": env.number("ALERT_FAILURES_PERCENT", default=50, maximum=100),
    "outbox-lag": env.number("ALERT_OUTBOX_LAG_SECONDS", default=60),
    "relay-silent": 0,
    "beat-silent": env.number("ALERT_BEAT_SILENT_SECONDS", default=180, minimum=30),
    "stuck-runs": env.number("ALERT_STUCK_STEPS", default=0),
    "default-partition": env.number("ALERT_DEFAULT_PARTITION_ROWS", default=0),
    "held-expired": env.number("ALERT_HELD_EXPIRED", default=0),
    "dead-letters": env.number("ALERT_DEAD_LETTERS", default=0),
    "unroutable": env.number("ALERT_UNROUTABLE_EVENTS", default=0),
}

# Accounting providers (SYNC) ----------------------------------------------------------------------

# The platform's own app at each provider; the companies' tokens are in the database. The URLs are
# others for a sandbox or a test.
XERO_CLIENT_ID = env.text("XERO_CLIENT_ID", "")
XERO_CLIENT_SECRET = env.text("XERO_CLIENT_SECRET", "")
XERO_API_URL = env.url(
    "XERO_API_URL", schemes=("http", "https"), default="https://api.xero.com/api.xro/2.0"
)
XERO_TOKEN_URL = env.url(
    "XERO_TOKEN_URL", schemes=("http", "https"), default="https://identity.xero.com/connect/token"
)
QUICKBOOKS_CLIENT_ID = env.text("QUICKBOOKS_CLIENT_ID", "")
QUICKBOOKS_CLIENT_SECRET = env.text("QUICKBOOKS_CLIENT_SECRET", "")
QUICKBOOKS_API_URL = env.url(
    "QUICKBOOKS_API_URL", schemes=("http", "https"), default="https://quickbooks.api.intuit.com"
)
QUICKBOOKS_TOKEN_URL = env.url(
    "QUICKBOOKS_TOKEN_URL",
    schemes=("http", "https"),
    default="https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer",
)
