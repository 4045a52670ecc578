"""Every setting, typed and checked: a value that can't be used stops the start with a sentence that names it.

The environment wins over `.env`, and `.env` over what `make up` keeps for its embedded servers. `os.environ` is read
nowhere else. A fact of one source (its addresses, its limits) stands in the source's module, not here.
"""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
import psycopg2
from django.core.exceptions import ImproperlyConfigured
from psycopg2.extensions import make_dsn

from cryptoetl.local.environment import embedded_environment, given
from cryptoetl.local.own_servers import REDIS_FORM, is_redis_address
from cryptoetl.local.trouble import Trouble
from ingestion.half_open import WatchedConnection, WatchedCursor

BASE_DIR = Path(__file__).resolve().parent.parent
VERSION = "0.1.0"

# --------------------------------------------------------------------------------------------- reading and checking

try:
    os.environ.update(given())  # an empty variable counts as unset, here as everywhere
except Trouble as trouble:
    raise ImproperlyConfigured(str(trouble)) from None
VAR = Path(os.environ.get("VAR") or BASE_DIR / ".var").absolute()
for _name, _value in embedded_environment(VAR).items():
    os.environ[_name] = os.environ.get(_name) or _value

env = environ.Env()


def setting(name: str, cast: Callable[[str], Any], default: Any, demand: str, ok: Callable[[Any], bool]) -> Any:
    """The variable's value. An empty one counts as unset; one that can't be used raises with the demand it fails."""
    text = env.str(name, default="").strip()
    if not text:
        return default
    try:
        value = cast(text)
    except (ValueError, ImproperlyConfigured):
        value = None
    if value is None or not ok(value):
        # A secret is never shown; nothing else that fails its check is one.
        shown = "" if "KEY" in name or "URL" in name or "://" in text else f" (it is {text[:60]!r})"
        raise ImproperlyConfigured(f"{name} must be {demand}{shown}.")
    return value


def whole(name: str, default: int | None, low: int, high: int) -> Any:
    return setting(name, int, default, f"a whole number from {low} to {high}", lambda value: low <= value <= high)


def choice(name: str, default: str, *choices: str, cast: Callable[[str], str] = str.lower) -> str:
    demand = "one of " + ", ".join(choice or "(empty)" for choice in choices)
    return str(setting(name, cast, default, demand, lambda value: value in choices))


def switch(name: str, default: bool) -> bool:
    words = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    return bool(
        setting(name, lambda text: words.get(text.lower()), default, "true or false", lambda value: value is not None)
    )


def address(name: str, default: str, *schemes: str) -> str:
    def usable(url: str) -> bool:
        try:
            parts = urlsplit(url)
            return parts.scheme in schemes and bool(parts.netloc or parts.path.strip("/")) and parts.port != 0
        except ValueError:
            return False

    begins = " or ".join(f"{scheme}://" for scheme in schemes)
    demand = f"an address that begins with {begins}, with a port from 1 to 65535 if it names one"
    return str(setting(name, str, default, demand, usable))


def base_url(name: str) -> str:
    """Where a source is asked. It stands beside every payload, for everyone to see."""

    def usable(url: str) -> bool:
        parts = urlsplit(url)
        return bool(parts.hostname) and "@" not in parts.netloc and not re.search(r"[\s?#]", url)

    address(name, "", "http", "https")
    return str(setting(name, str, "", "an address without a user, a password, a query or blanks", usable))


def words(name: str, default: list[str], demand: str = "", ok: Callable[[str], bool] = bool) -> list[str]:
    """What is separated by commas."""

    def separated(text: str) -> list[str]:
        return [word.strip() for word in text.split(",") if word.strip()]

    return list(setting(name, separated, default, demand, lambda found: all(map(ok, found))) or default)


def secret(name: str) -> str:
    return str(
        setting(
            name,
            str,
            "",
            "printable and without spaces",
            lambda value: re.fullmatch(r"[\x21-\x7e]+", value) is not None,
        )
    )


# ------------------------------------------------------------------------------------------------------ the system

DEBUG = switch("DEBUG", False)
DEMO = switch("CRYPTOETL_DEMO", False)
PORT = whole("PORT", 8000, 1, 65535)
LOG_LEVEL = choice("LOG_LEVEL", "INFO", "DEBUG", "INFO", "WARNING", "ERROR", cast=str.upper)
LOG_FORMAT = choice("LOG_FORMAT", "json", "json", "console")

SECRET_KEY = secret("SECRET_KEY")
if not SECRET_KEY:
    if not DEBUG:
        raise ImproperlyConfigured(
            "SECRET_KEY is not set: `make up` makes one for its own servers; elsewhere set a random text of 50"
            " characters or more."
        )
    SECRET_KEY = "insecure-and-only-for-debug-" + "0" * 32
ALLOWED_HOSTS = [
    # This machine always asks, by these names: `make verify`, probes, a person in front of it.
    *("localhost", "127.0.0.1", "[::1]"),
    *words(
        "ALLOWED_HOSTS",
        ["*"] if DEBUG else [],
        "host names with commas between them, without http:// and port",
        lambda host: re.fullmatch(r"\*|\.?[\w.-]+|\[[0-9a-fA-F:.]+\]", host) is not None,
    ),
]
CSRF_TRUSTED_ORIGINS = words(
    "CSRF_TRUSTED_ORIGINS",
    [],
    "addresses such as https://crypto.example.org with commas between them",
    lambda origin: re.fullmatch(r"https?://[^/\s]+", origin) is not None,
)
HTTPS = switch("HTTPS", False)
ADMIN_PASSWORD_FILE = VAR / "admin-password"
HEARTBEAT_FILE = env.str("HEARTBEAT_FILE", default="").strip()

DATABASE_URL = address("DATABASE_URL", "", "postgres", "postgresql")
REDIS_URL = address("REDIS_URL", "", "redis", "rediss", "unix")
if not DATABASE_URL or not REDIS_URL:
    missing = "DATABASE_URL" if not DATABASE_URL else "REDIS_URL"
    raise ImproperlyConfigured(
        f"{missing} is not set, and no system was started in {VAR}: run `make up`, or name a server of your own."
    )
CELERY_BROKER_URL = address("CELERY_BROKER_URL", "", "redis", "rediss", "unix", "amqp", "amqps") or REDIS_URL
for _name, _value in (("REDIS_URL", REDIS_URL), ("CELERY_BROKER_URL", CELERY_BROKER_URL)):
    if not _value.startswith("amqp") and not is_redis_address(_value):
        raise ImproperlyConfigured(f"{_name} must be {REDIS_FORM}.")

DATABASES = {"default": env.db_url_config(DATABASE_URL)}
if DATABASES["default"].get("ENGINE") != "django.db.backends.postgresql":
    raise ImproperlyConfigured("DATABASE_URL must name a PostgreSQL database: postgres://user:password@host:5432/name.")
_options = DATABASES["default"].get("OPTIONS", {})
try:
    make_dsn(**_options)
except psycopg2.ProgrammingError as _error:
    raise ImproperlyConfigured(f"DATABASE_URL can't be used: {str(_error).strip()}.") from None
DATABASES["default"] |= {
    "ENGINE": "cryptoetl.postgresql",
    "CONN_MAX_AGE": None,
    "CONN_HEALTH_CHECKS": True,
    "DISABLE_SERVER_SIDE_CURSORS": False,
    "OPTIONS": {
        **_options,
        "application_name": "cryptoetl",
        # A server that is gone is noticed by the kernel within half a minute, a line that swallows bytes by the watch.
        "connect_timeout": 5,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 25_000,
        "connection_factory": WatchedConnection,
        "cursor_factory": WatchedCursor,
        # No transaction waits for anything but its statements: one that is idle has lost its client, and gives its
        # locks back in time for the takeover of its run.
        # Whatever the address asks for besides comes first, so that these hold.
        "options": f"{_options.get('options', '')} -c timezone=UTC -c idle_in_transaction_session_timeout=30000"
        " -c statement_timeout=300000 -c jit=off",
    },
}

# -------------------------------------------------------------------------------------------------------- ingestion

ETL_INTERVAL_SECONDS = whole("ETL_INTERVAL_SECONDS", 300, 1, 86_400 * 31)
ETL_BATCH_SIZE = whole("ETL_BATCH_SIZE", 1000, 1, 100_000)
ETL_RETRY_ATTEMPTS = whole("ETL_RETRY_ATTEMPTS", 3, 0, 100)
ETL_RATE_LIMIT_REQUESTS = whole("ETL_RATE_LIMIT_REQUESTS", None, 1, 1_000_000)
ETL_BACKOFF_SECONDS = setting(
    "ETL_BACKOFF_SECONDS", float, 2.0, "a number of seconds from 0 to 600", lambda value: 0 <= value <= 600
)
FAIL_AFTER_N_RECORDS = whole("FAIL_AFTER_N_RECORDS", None, 1, 10**12)
RAW_RETENTION_DAYS = whole("RAW_RETENTION_DAYS", 30, 1, 36_500)
HISTORY_RETENTION_DAYS = whole("HISTORY_RETENTION_DAYS", 730, 1, 36_500)
ALERT_WEBHOOK_URL = address("ALERT_WEBHOOK_URL", "", "http", "https")

COINGECKO_API_KEY = secret("COINGECKO_API_KEY")
COINGECKO_PLAN = choice("COINGECKO_PLAN", "demo" if COINGECKO_API_KEY else "public", "public", "demo", "pro")
COINGECKO_BASE_URL = base_url("COINGECKO_BASE_URL")
COINGECKO_COINS = whole("COINGECKO_COINS", 1000, 1, 100_000)
COINGECKO_MONTHLY_CALLS = whole("COINGECKO_MONTHLY_CALLS", None, 1, 10**9)
COINPAPRIKA_API_KEY = secret("COINPAPRIKA_API_KEY")
COINPAPRIKA_BASE_URL = base_url("COINPAPRIKA_BASE_URL")
COINPAPRIKA_MONTHLY_CALLS = whole("COINPAPRIKA_MONTHLY_CALLS", None, 1, 10**9)
CSV_SOURCE_PATH = env.str("CSV_SOURCE_PATH", default="").strip() or str(BASE_DIR / "data" / "sample_assets.csv")
if "\0" in CSV_SOURCE_PATH:
    raise ImproperlyConfigured("CSV_SOURCE_PATH must be a file, a glob or an address: it holds a NUL byte.")
if "://" in CSV_SOURCE_PATH:
    address("CSV_SOURCE_PATH", "", "http", "https", "s3", "gs", "gcs", "file")
    if not urlsplit(CSV_SOURCE_PATH).hostname and urlsplit(CSV_SOURCE_PATH).scheme != "file":
        raise ImproperlyConfigured("CSV_SOURCE_PATH must be a file, a glob or an address: it names no host.")
CSV_IS_SAMPLE = Path(CSV_SOURCE_PATH) == BASE_DIR / "data" / "sample_assets.csv"
if COINGECKO_PLAN != "public" and not COINGECKO_API_KEY:
    raise ImproperlyConfigured(f"COINGECKO_API_KEY is not set, and COINGECKO_PLAN={COINGECKO_PLAN} needs one.")

# ------------------------------------------------------------------------------------------------------------- API

API_PAGE_SIZE = whole("API_PAGE_SIZE", 50, 1, 100)
API_MAX_PAGE_SIZE = 100
API_KEY_REQUIRED = switch("API_KEY_REQUIRED", False)
API_LIMIT = whole("API_LIMIT", None, 1, 10**6)
API_KEY_LIMIT = whole("API_KEY_LIMIT", None, 1, 10**6)
API_TIMEOUT_SECONDS = whole("API_TIMEOUT_SECONDS", 15, 1, 300)
CORS_ORIGINS = words("CORS_ORIGINS", [])
PROXIES = whole("PROXIES", 1 if HTTPS else 0, 0, 10)

# ---------------------------------------------------------------------------------------------------------- Django

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.postgres",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "corsheaders",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_celery_beat",
    "cryptoetl",
    "assets",
    "ingestion",
]
MIDDLEWARE = [
    "ingestion.middleware.RequestId",
    "cryptoetl.headers.Headers",
    "cryptoetl.headers.Cors",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "cryptoetl.packing.Packing",
    "cryptoetl.visitors.Sessions",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "cryptoetl.visitors.Authentication",
    "cryptoetl.visitors.Messages",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "cryptoetl.urls"
WSGI_APPLICATION = "cryptoetl.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "cryptoetl" / "templates"],
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
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
APPEND_SLASH = False
LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "static"
# Collected in the container image alone; elsewhere the files are found where they are, and whitenoise would warn.
warnings.filterwarnings("ignore", "No directory at", UserWarning)
WHITENOISE_USE_FINDERS = True
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 2000

# Pages of other origins may read, and operate with a key; never with this site's cookies, and never the admin.
CORS_ALLOW_ALL_ORIGINS = CORS_ORIGINS == ["*"]
CORS_ALLOWED_ORIGINS = [] if CORS_ALLOW_ALL_ORIGINS else CORS_ORIGINS
for _origin in CORS_ALLOWED_ORIGINS:
    if not re.fullmatch(r"https?://[\w.:\[\]-]+", _origin):
        raise ImproperlyConfigured(
            f"CORS_ORIGINS must be origins as https://app.example.org, or * alone (one is {_origin[:60]!r})."
        )
CORS_URLS_REGEX = r"^/(?!admin(/|$)|static/)"
CORS_ALLOW_METHODS = ("GET", "HEAD", "OPTIONS", "POST")
CORS_ALLOW_HEADERS = (
    *("accept", "authorization", "content-type", "if-modified-since", "if-none-match"),
    *("idempotency-key", "last-event-id", "x-api-key", "x-request-id"),
)
CORS_EXPOSE_HEADERS = (
    *("etag", "idempotency-replayed", "last-modified", "location", "ratelimit-limit", "ratelimit-policy"),
    *("ratelimit-remaining", "ratelimit-reset", "retry-after", "x-request-id"),
)
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin" if HTTPS else None
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_SSL_REDIRECT = HTTPS
# Asked from inside, past the proxy that speaks https, by health checks and Prometheus.
SECURE_REDIRECT_EXEMPT = [r"^(health|metrics)(/|$)"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS

REST_FRAMEWORK = {
    "DEFAULT_RENDERER_CLASSES": ["assets.renderers.JSONRenderer", "assets.renderers.BrowsableAPIRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_PERMISSION_CLASSES": ["cryptoetl.access.Scoped"],
    "DEFAULT_AUTHENTICATION_CLASSES": ["cryptoetl.access.Bearer"],
    "DEFAULT_THROTTLE_CLASSES": ["cryptoetl.limits.Limited"],
    "DEFAULT_SCHEMA_CLASS": "assets.schema.Schema",
    "EXCEPTION_HANDLER": "assets.errors.exception_handler",
    # `format` is read by assets.reading.Negotiation, which tells the caller what there is.
    "URL_FORMAT_OVERRIDE": None,
    "COERCE_DECIMAL_TO_STRING": False,
    # None leaves a time as it is, for the renderer, which writes every time alike.
    "DATETIME_FORMAT": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "cryptoetl (demo)" if DEMO else "cryptoetl",
    "DESCRIPTION": (
        "Crypto market data of many sources, unified: one identity per coin, every source's word, its history.\n\n"
        "Numbers are exact decimals: read them with a decimal parser where the last digit matters. "
        "`null` means that the source did not say, never zero. Times are ISO 8601 UTC."
        + ("\n\n**This is a demo: the sources are a local server with invented figures.**" if DEMO else "")
    ),
    "VERSION": VERSION,
    "LICENSE": {"name": "MIT"},
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "tryItOutEnabled": True, "displayRequestDuration": True},
    "REDOC_DIST": "SIDECAR",
    "PREPROCESSING_HOOKS": ["cryptoetl.documents.once_each"],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "cryptoetl.documents.empty_cursors",
    ],
    "SORT_OPERATIONS": False,
    "APPEND_COMPONENTS": {
        "securitySchemes": {
            "key": {
                "type": "http",
                "scheme": "bearer",
                "description": "An API key, as `manage.py apikey make` shows it.",
            },
            "header": {
                "type": "apiKey",
                "in": "header",
                "name": "X-API-Key",
                "description": "The same key in a header of its own.",
            },
        }
    },
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "ENUM_NAME_OVERRIDES": {
        "RunStatus": "ingestion.models.Run.Status",
        "Condition": ["healthy", "degraded", "unhealthy"],
        "Reachable": ["healthy", "unhealthy"],
    },
    "TAGS": [
        {"name": "data", "description": "One row for each source and asset."},
        {"name": "assets", "description": "One row for each real-world asset: consensus, quotes, history."},
        {"name": "operate", "description": "Start and cancel runs, with an API key that may."},
        {"name": "stats", "description": "What ingestion did, and how well."},
        {"name": "health", "description": "For people, orchestrators and Prometheus."},
        {"name": "system", "description": "Where everything is."},
    ],
}
UNFOLD = {
    "SITE_TITLE": "cryptoetl (demo)" if DEMO else "cryptoetl",
    "SITE_HEADER": "cryptoetl (demo)" if DEMO else "cryptoetl",
    "SITE_SUBHEADER": "crypto market data, unified",
    "SITE_SYMBOL": "layers",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": f"/{STATIC_URL}assets/icon.svg"}],
    "SITE_URL": "/",
    # The teal of the API's pages (`assets/page.html`): 600, on white and under it, can be read by everybody.
    "COLORS": {
        "primary": {
            "50": "#f0fdfa",
            "100": "#ccfbf1",
            "200": "#99f6e4",
            "300": "#5eead4",
            "400": "#2dd4bf",
            "500": "#0d9488",
            "600": "#0f766e",
            "700": "#115e59",
            "800": "#134e4a",
            "900": "#103f3c",
            "950": "#042f2e",
        }
    },
    "LOGIN": {"form": "cryptoetl.login.LoginForm"},
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "ENVIRONMENT": "ingestion.admin.menu.environment",
    "DASHBOARD_CALLBACK": "ingestion.admin.dashboard.dashboard",
    "STYLES": [f"/{STATIC_URL}cryptoetl/admin.css"],
    "SIDEBAR": {"navigation": "ingestion.admin.menu.navigation"},
}
LOGIN_REDIRECT_URL = "/admin/"
CSRF_FAILURE_VIEW = "assets.errors.forbidden"
FORMAT_MODULE_PATH = "cryptoetl.formats"

# ----------------------------------------------------------------------------------------------------------- Celery

CELERY_TASK_ACKS_LATE = True
CELERY_TASK_RETRY_ON_WORKER_LOST = True
CELERY_TASK_IGNORE_RESULT = True
# There are no results, so beat needs no schedule to clean them up.
CELERY_RESULT_EXPIRES = None
CELERY_TASK_TIME_LIMIT = 600
CELERY_TASK_SOFT_TIME_LIMIT = 540
CELERY_TASK_DEFAULT_QUEUE = "maintenance"
CELERY_TASK_ROUTES = {"ingestion.tasks.fetch": {"queue": "fetch"}, "ingestion.tasks.normalize": {"queue": "normalize"}}
CELERY_TASK_PUBLISH_RETRY_POLICY = {"max_retries": 1, "interval_start": 0.1, "interval_step": 0, "interval_max": 0.1}
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_MAX_TASKS_PER_CHILD = 500
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 20
CELERY_WORKER_ENABLE_SOFT_SHUTDOWN_ON_IDLE = True
# On Redis a cancelled task's message would stay unacknowledged for the whole visibility timeout; ours may be repeated.
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
if CELERY_BROKER_URL.startswith(("redis", "unix")):
    # The visibility timeout is longer than the hard time limit plus the longest countdown (60 s).
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "visibility_timeout": 900,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        # A line that swallows bytes: whoever waits gives up, and a worker that listens knocks and opens another.
        "socket_timeout": 5,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 5,
        "global_keyprefix": "cryptoetl:",
    }
CELERY_DB_REUSE_MAX = 1000
CELERY_BEAT_SCHEDULER = "cryptoetl.beat:Scheduler"
CELERY_BEAT_MAX_LOOP_INTERVAL = 5
CELERY_TIMEZONE = "UTC"
DJANGO_CELERY_BEAT_TZ_AWARE = True

# ---------------------------------------------------------------------------------------------------------- logging

#: Every source's that is read above. Cut out of whatever any source says: one may repeat another's.
SOURCE_KEYS = tuple(value for name, value in tuple(globals().items()) if name.endswith("_API_KEY") and value)
SECRETS = (*SOURCE_KEYS, SECRET_KEY)
LOGGING_CONFIG = "ingestion.logs.configure"
LOGGING: dict[str, Any] = {"level": getattr(logging, LOG_LEVEL), "format": LOG_FORMAT, "secrets": SECRETS}
