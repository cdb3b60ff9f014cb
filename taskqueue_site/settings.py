"""Every setting of the product, read once from the environment.

Sources, strongest first: the process environment, `.env` in the project root, and
`stack.env` in STACK_DATA, which a running one-machine stack leaves for other commands.
docs/configuration.md lists the variables in one table.
"""

import os
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import environ
from django.urls import reverse_lazy

BASE_DIR = Path(__file__).resolve().parent.parent

# --- Environment ----------------------------------------------------------------------


def _read_env_file(path: Path) -> dict[str, str]:
    """Return the KEY=value lines of a file; an absent file is an empty one."""
    if not path.is_file():
        return {}
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    pairs = (line.partition("=") for line in lines if line and line[0] != "#")
    return {key.strip(): value.strip().strip("'\"") for key, _, value in pairs}


#: What the user set: the process environment over `.env`; an empty value is unset.
USER_ENV = {
    key: value
    for key, value in {**_read_env_file(BASE_DIR / ".env"), **os.environ}.items()
    if value
}
STACK_DATA = (
    Path(USER_ENV.get("STACK_DATA", BASE_DIR / ".stack")).expanduser().resolve()
)

env = environ.Env()
env.ENVIRON = {**_read_env_file(STACK_DATA / "stack.env"), **USER_ENV}

DEBUG = env.bool("DEBUG", default=False)
#: Without SECRET_KEY each process draws its own, so sign-ins end when it restarts.
SECRET_KEY = env.str("SECRET_KEY", default="") or secrets.token_urlsafe(50)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
ENVIRONMENT_NAME = env.str("ENVIRONMENT_NAME", default="")

LANGUAGE_CODE = "en-us"
#: Of the admin, the logs, the commands and the schedules; the API says UTC.
TIME_ZONE = env.str("TIME_ZONE", default="Asia/Kolkata")
USE_TZ = True

# --- Applications ---------------------------------------------------------------------

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "taskqueue_site.apps.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "taskqueue_site.apps.StaticFilesConfig",
    "django.contrib.postgres",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_prometheus",
    "django_celery_beat",
    "django_celery_results",
    "tenants",
    "quotas",
    "jobs",
    "ingestion",
    "reconciliation",
    "taskqueue_site",
]

MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "taskqueue_site.request_id.RequestIdMiddleware",
    "taskqueue_site.middleware.ActorMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "taskqueue_site.middleware.AdminScopeMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

ROOT_URLCONF = "taskqueue_site.urls"
WSGI_APPLICATION = "taskqueue_site.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
APPEND_SLASH = True

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- Database -------------------------------------------------------------------------
# https://docs.djangoproject.com/en/5.2/ref/databases/#postgresql-notes

#: Empty while no stack runs and none is named: then no server is asked by chance.
DATABASE_URL = env.str("DATABASE_URL", default="")
_NO_SERVER = f"postgresql:///dtq?host={quote(str(STACK_DATA))}"

DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        **env.db_url_config(DATABASE_URL or _NO_SERVER),
        "ENGINE": "django_prometheus.db.backends.postgresql",
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": True,
        "DISABLE_SERVER_SIDE_CURSORS": True,
    }
}
DATABASES["default"].setdefault("OPTIONS", {}).setdefault("connect_timeout", 5)
# `manage.py dbshell` looks at these alone: of `?host=` it would know nothing, and ask
# whichever server psql finds by itself.
for _name in ("host", "port"):
    if _name in DATABASES["default"]["OPTIONS"]:
        _value = DATABASES["default"]["OPTIONS"].pop(_name)
        DATABASES["default"][_name.upper()] = str(_value)

# --- Storage --------------------------------------------------------------------------
# Objects live under tenants/<slug>/ of one store: a folder, or an S3 bucket.


def _object_store(url: str) -> dict[str, Any]:
    """Turn STORAGE_URL into a STORAGES entry.

    `file:///folder`, or `s3://key:secret@bucket?endpoint=http://host:port&region=x`;
    key and secret may come from the usual AWS_* variables instead.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        return {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": unquote(parts.path)},
        }
    if parts.scheme != "s3":
        raise environ.ImproperlyConfigured(
            f"STORAGE_URL must start with file:// or s3://, not {parts.scheme}://"
        )
    query = dict(parse_qsl(parts.query))
    options = {
        "bucket_name": parts.hostname,
        "access_key": parts.username and unquote(parts.username),
        "secret_key": parts.password and unquote(parts.password),
        "endpoint_url": query.get("endpoint"),
        "region_name": query.get("region", "us-east-1"),
        "addressing_style": query.get("addressing", "path"),
        # Version 2, a default in places, is refused by many servers.
        "signature_version": "s3v4",
        "file_overwrite": True,
    }
    return {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": {key: value for key, value in options.items() if value is not None},
    }


STORAGE_URL = env.str("STORAGE_URL", default=(STACK_DATA / "objects").as_uri())
STORAGES = {
    "default": _object_store(STORAGE_URL),
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage",
    },
}
#: How producers and browsers reach the S3 server, if not by STORAGE_URL's endpoint.
STORAGE_PUBLIC_ENDPOINT = env.str("STORAGE_PUBLIC_ENDPOINT", default="")
#: Most bytes of a file that is uploaded; what S3 takes in one piece.
UPLOAD_MAX_BYTES = env.int("UPLOAD_MAX_BYTES", default=5 * 1024**3)
STATIC_URL = "/static/"
STATIC_ROOT = STACK_DATA / "static"

# --- Redis ----------------------------------------------------------------------------
# Wakes and live counters only: losing it costs latency, never work.

REDIS_URL = env.str("REDIS_URL", default="redis://127.0.0.1:6379/0")

# --- Celery ---------------------------------------------------------------------------
# https://docs.celeryq.dev/en/stable/userguide/configuration.html
# The broker's message is a hint that carries an attempt id. Retries, delays, deadlines
# and dead letters belong to the ledger, so Celery's own are switched off here.

CELERY_BROKER_URL = env.str("BROKER_URL", default=REDIS_URL)
CELERY_RESULT_BACKEND = "django-db"
CELERY_RESULT_EXTENDED = True
CELERY_RESULT_EXPIRES = 7 * 24 * 3600
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_RESULT_ACCEPT_CONTENT = ["json"]
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_ACKS_ON_FAILURE_OR_TIMEOUT = True
CELERY_TASK_REJECT_ON_WORKER_LOST = False
CELERY_TASK_CREATE_MISSING_QUEUES = False
CELERY_TASK_DEFAULT_QUEUE = "maintenance"
CELERY_TASK_PUBLISH_RETRY = False
CELERY_WORKER_SEND_TASK_EVENTS = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_MAX_TASKS_PER_CHILD = env.int("WORKER_MAX_TASKS_PER_CHILD", default=5000)
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
# A message that comes again finds its attempt started: work goes on without its broker.
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_WORKER_CONSUMER = "jobs.workers.Consumer"
CELERY_BROKER_HEARTBEAT = 10
CELERY_BROKER_CONNECTION_TIMEOUT = 4
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_BROKER_CHANNEL_ERROR_RETRY = True
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = (
    {"confirm_publish": True, "read_timeout": 5, "write_timeout": 5}
    if CELERY_BROKER_URL.startswith("amqp")
    else {"visibility_timeout": 24 * 3600, "socket_timeout": 30}
)
CELERY_TIMEZONE = TIME_ZONE
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_BEAT_SCHEDULE = {
    "housekeeping": {"task": "jobs.tasks.housekeeping", "schedule": 60.0},
    "schedules": {
        "task": "reconciliation.tasks.decide_schedules",
        "schedule": 60.0,
    },
}
#: Celery closes the database connection around every task unless this is set; the
#: runner checks the connection itself (jobs/tasks.py).
CELERY_DB_REUSE_MAX = 1_000_000_000

# --- Jobs -----------------------------------------------------------------------------

#: Seconds a worker may hold an attempt without renewing it.
LEASE_SECONDS = env.int("LEASE_SECONDS", default=30)
#: Seconds until a published attempt that no free worker started is replaced.
START_TIMEOUT_SECONDS = env.int("START_TIMEOUT_SECONDS", default=15)
#: Seconds one step of a job may take before it counts as stuck.
STEP_TIMEOUT_SECONDS = env.int("STEP_TIMEOUT_SECONDS", default=900)
DRAIN_SECONDS = env.int("DRAIN_SECONDS", default=10)
#: Times a job's worker may vanish before the job counts as poison.
MAX_LOSSES = env.int("MAX_LOSSES", default=3)
#: Days that jobs are kept after their end, unless their tenant says otherwise.
RETENTION_DAYS = env.int("RETENTION_DAYS", default=90)
if RETENTION_DAYS < 1:
    raise environ.ImproperlyConfigured("RETENTION_DAYS must be at least 1")
#: Off behind a pooler that hands a connection on after each transaction.
PREPARE_STATEMENTS = env.bool("PREPARE_STATEMENTS", default=True)
#: Most tiny jobs of a tenant that travel in one message; 1 sends each by itself.
BUNDLE_JOBS = env.int("BUNDLE_JOBS", default=128)
#: Registers the `sleep` kind and its endpoint, for load tests.
SYNTHETIC_KINDS = env.bool("SYNTHETIC_KINDS", default=False)
#: Rows of a file written per transaction; a chunk also ends at `CHUNK_BYTES`.
INGEST_CHUNK_ROWS = env.int("INGEST_CHUNK_ROWS", default=12_000)
# A load uses a second core where there is one.
INGEST_LOADERS = env.int("INGEST_LOADERS", default=min(2, os.cpu_count() or 1))
#: Most bytes that a compressed file may unpack to.
INGEST_UNPACKED_MAX_BYTES = env.int("INGEST_UNPACKED_MAX_BYTES", default=10 * 1024**3)

# --- API ------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["tenants.auth.ApiKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": ["taskqueue_site.parsers.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "taskqueue_site.errors.problem_response",
    "DEFAULT_METADATA_CLASS": None,
    "UNAUTHENTICATED_USER": None,
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "distributed-task-queue",
    "DESCRIPTION": "Enqueue work for a tenant and follow it to its one end.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"persistAuthorization": False, "validatorUrl": None},
    "PREPROCESSING_HOOKS": ["taskqueue_site.openapi.without_synthetic_kinds"],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "taskqueue_site.openapi.with_problems",
    ],
    "ENUM_NAME_OVERRIDES": {
        "StateEnum": "jobs.serializers.STATES",
        "Outcome": "jobs.lifecycle.Outcome",
        "FileStateEnum": "ingestion.files_serializers.STATES",
    },
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024

# --- Security -------------------------------------------------------------------------
# The admin theme evaluates expressions in attributes, so its path alone is relaxed
# (taskqueue_site/middleware.py).

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "base-uri": ["'self'"],
        "frame-ancestors": ["'none'"],
        "form-action": ["'self'"],
    }
}
BEHIND_TLS = env.bool("BEHIND_TLS", default=False)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = BEHIND_TLS
SECURE_HSTS_SECONDS = 31_536_000 if BEHIND_TLS else 0
if BEHIND_TLS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_AGE = 12 * 3600
X_FRAME_OPTIONS = "DENY"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = reverse_lazy("admin:login")
LOGIN_REDIRECT_URL = reverse_lazy("admin:index")
#: Bearer token that may read /metrics; without it only signed-in staff may.
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")
PROMETHEUS_EXPORT_MIGRATIONS = False

# --- Admin ----------------------------------------------------------------------------
# https://unfoldadmin.com/docs/configuration/settings/

UNFOLD = {
    "SITE_TITLE": "Task queue",
    "SITE_HEADER": "Task queue",
    # Under the title of every page: no time in the admin names its zone.
    "SITE_SUBHEADER": f"Times in {TIME_ZONE}",
    "SITE_SYMBOL": "balance",
    "SITE_URL": None,
    "SITE_FAVICONS": [
        {
            "rel": "icon",
            "type": "image/svg+xml",
            "href": "taskqueue_site.navigation.favicon",
        },
    ],
    "ENVIRONMENT": "taskqueue_site.navigation.environment",
    "STYLES": ["taskqueue_site.navigation.stylesheet"],
    "SIDEBAR": {
        "show_search": True,
        "command_search": True,
        "navigation": "taskqueue_site.navigation.sidebar",
    },
    "COMMAND": {"search_callback": "taskqueue_site.palette.search"},
    "COLORS": {
        "primary": {
            "50": "oklch(98.4% .014 180.72)",
            "100": "oklch(95.3% .051 180.801)",
            "200": "oklch(91% .096 180.426)",
            "300": "oklch(85.5% .138 181.071)",
            "400": "oklch(77.7% .152 181.912)",
            "500": "oklch(70.4% .14 182.503)",
            "600": "oklch(52% .1 186)",
            "700": "oklch(46% .09 187)",
            "800": "oklch(43.7% .078 188.216)",
            "900": "oklch(38.6% .063 188.416)",
            "950": "oklch(27.7% .046 192.524)",
        },
    },
}

# --- Logs -----------------------------------------------------------------------------

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "{asctime} {levelname} {name} {message}", "style": "{"}
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {
        "handlers": ["console"],
        "level": env.str("LOG_LEVEL", default="INFO"),
    },
    "loggers": {
        "celery.app.trace": {"level": "WARNING"},
        "celery.worker.strategy": {"level": "WARNING"},
        "botocore": {"level": "WARNING"},
    },
}
