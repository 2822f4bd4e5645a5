"""Settings shared by the demo, the tests and production; the environment has the last word.

DATABASE_URL         what web and worker connect with; without it the embedded PostgreSQL under LOCAL_DIR
DATABASE_OWNER_URL   what migrates; without it DATABASE_URL, and web and worker then SET ROLE to the application role
SITE_URL             where people reach it, for links in feeds and webhooks; else the first of ALLOWED_HOSTS
CELERY_BROKER_URL    redis:// or amqp://; without it files under LOCAL_DIR
SECRET_KEY           generated once under LOCAL_DIR in demo mode
LEDGER_SEAL_KEY      what the ledger is sealed with, generated once under LOCAL_DIR in demo mode; with LEDGER_SEAL_KEYS_BEFORE,
                     those that it was sealed with before, with commas between
PARITY_DEMO          1 (demo mode, the default here) or 0
PARITY_LOCALE        how numbers and days are written for people who chose nothing, such as en-US or de-DE; en (the default) is the house's
PARITY_EXPORT_DIR    where every night's files are written; without it no night is
PARITY_PROXIES       how many proxies stand before the web server, each adding to X-Forwarded-For where a request comes from: 0 in
                     demo mode, 1 in production
PARITY_APPROVAL_REMINDER_DAYS, PARITY_APPROVAL_ESCALATION_DAYS
                     business days after which whoever approves is reminded, and the manager above is told: 2 and 5
EMAIL_HOST           the mail server, with EMAIL_PORT, EMAIL_HOST_USER, EMAIL_HOST_PASSWORD, EMAIL_USE_TLS (0 or 1), DEFAULT_FROM_EMAIL;
                     without it the demo writes mails into LOCAL_DIR/mail, and production sends none and says so
"""

import os
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from csp.constants import NONE, SELF
from kombu.utils.url import parse_url

from config.databases import django_database, owner_database
from config.languages import offered_languages
from config.local import local_dir, local_secret

BASE_DIR = Path(__file__).resolve().parent.parent.parent
LOCAL_DIR = local_dir(BASE_DIR)

DEMO_MODE = os.environ.get("PARITY_DEMO", "1") == "1"
DEMO_TODAY: date | None = (
    date.fromisoformat(os.environ.get("DEMO_TODAY", "2026-08-14")) if DEMO_MODE else None
)
DISPUTE_ANSWER_DAYS = 5  # business days in which a dispute is answered
OPERATOR = {
    "name": os.environ.get("PARITY_OPERATOR", "Microsoft"),
    "slug": os.environ.get("PARITY_OPERATOR_SLUG", "microsoft"),
}

SITE_URL = os.environ.get("SITE_URL", "").rstrip("/") or (
    f"http://localhost:{os.environ.get('PORT') or 8000}"
    if DEMO_MODE
    else f"https://{os.environ.get('ALLOWED_HOSTS', 'localhost').split(',')[0]}"
)
WEBHOOKS_TO_LOOPBACK = DEMO_MODE  # a receiver on this machine, over plain http too; never in production

SECRET_KEY = os.environ.get("SECRET_KEY") or (local_secret(LOCAL_DIR) if DEMO_MODE else "")
LEDGER_SEAL_KEY = os.environ.get("LEDGER_SEAL_KEY") or (
    local_secret(LOCAL_DIR, "ledger_seal_key") if DEMO_MODE else ""
)
LEDGER_SEAL_KEYS_BEFORE = [k for k in os.environ.get("LEDGER_SEAL_KEYS_BEFORE", "").split(",") if k]
APPROVAL_REMINDER_DAYS = int(os.environ.get("PARITY_APPROVAL_REMINDER_DAYS") or 2)  # business days
APPROVAL_ESCALATION_DAYS = int(os.environ.get("PARITY_APPROVAL_ESCALATION_DAYS") or 5)  # business days
APPROVAL_REMINDER_HOUR = 8  # of the operator's day, from which on whoever decides is reminded
DIGEST_HOUR = 8  # of the operator's day, from which on people hear of what they have not read
LEDGER_SEAL_HOUR = 2  # of the operator's day, from which on what was posted is sealed
PROXIES = int(os.environ.get("PARITY_PROXIES") or (0 if DEMO_MODE else 1))
DEBUG = os.environ.get("DEBUG") == "1"
ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]").split(",")

INSTALLED_APPS = [
    "config.apps.PlatformConfig",
    "accounts.apps.AccountsConfig",
    "marketplace.apps.MarketplaceConfig",
    "quotas.apps.QuotasConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.postgres",
    "django.contrib.staticfiles",
    "django_cotton.apps.SimpleAppConfig",
    "template_partials.apps.SimpleAppConfig",
    "django_htmx",
    "django_filters",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "csp",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "config.middleware.RequestIdMiddleware",
    "config.rest.preconditions.CompressWithStrongTags",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "config.rest.addresses.SlashKeepingTheMethod",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "config.middleware.ReaderMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "accounts.sessions.LogInAgainMiddleware",
    "config.middleware.ZeroByteMiddleware",
    "config.sent_once.SentOnceMiddleware",
]

SOURCING_THRESHOLDS = {  # from which on concentration is said to be moderate or high, and what else is warned of
    "hhi_moderate": 1_800,
    "hhi_high": 2_500,
    "largest_supplier_ppm": 600_000,  # one supplier, not ourselves, above this share of spend
    "notice_days_ahead": 90,  # the last day for notice, or a retirement, is near
}
REPS_SEE_PEERS_MONEY = False  # reps see colleagues' rank and per cent; money only where this says so

EXPORT_DIR = os.environ.get("PARITY_EXPORT_DIR", "")
EXPORT_FORMAT = os.environ.get("PARITY_EXPORT_FORMAT", "csv")  # or xlsx, jsonl
EXPORT_DAYS_KEPT = int(os.environ.get("PARITY_EXPORT_DAYS", "14"))
EXPORT_HOUR = 1  # of the operator's day, from which on the night's files are written

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "OPTIONS": {
            # Both cotton and template-partials want to rewrite the loaders; explicit ones let them live together.
            "loaders": [
                (
                    "template_partials.loader.Loader",
                    [
                        (
                            "django.template.loaders.cached.Loader",
                            [
                                "django_cotton.cotton_loader.Loader",
                                "django.template.loaders.filesystem.Loader",
                                "django.template.loaders.app_directories.Loader",
                            ],
                        )
                    ],
                )
            ],
            "builtins": [
                "django.templatetags.i18n",
                "django.templatetags.static",
                "django_cotton.templatetags.cotton",
                "template_partials.templatetags.partials",
                "django_htmx.templatetags.django_htmx",
                "config.templatetags.ui",
            ],
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "config.context.shell",
            ],
        },
    }
]

DATABASES = {"default": django_database(LOCAL_DIR), "owner": owner_database(LOCAL_DIR)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["accounts.backends.ByEmail"]
SILENCED_SYSTEM_CHECKS = [
    "auth.W004"
]  # e-mail is unique whatever its case, by a constraint that this check cannot read
LOGIN_URL = "accounts:login"
LOGIN_REDIRECT_URL = "home"
CSRF_FAILURE_VIEW = "accounts.sessions.csrf_failure"
LOGOUT_REDIRECT_URL = "accounts:login"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

LANGUAGE_CODE = "en-us"
LOCALE_PATHS = [BASE_DIR / "locale"]
LANGUAGES = offered_languages(BASE_DIR / "locale")
FORMAT_MODULE_PATH = "config.machine_formats"
# How numbers and days are written for whoever chose nothing: "en" is the house's style (14 Aug 2026, $1,234.56), or en-US, de-DE, ...
LOCALE = os.environ.get("PARITY_LOCALE") or "en"
TIME_ZONE = os.environ.get(
    "TIME_ZONE", "America/Los_Angeles"
)  # of the operator; a fiscal calendar names its own
USE_I18N = True
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = LOCAL_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATICFILES_FINDERS = [
    "django.contrib.staticfiles.finders.FileSystemFinder",
    "django.contrib.staticfiles.finders.AppDirectoriesFinder",
    "config.storage.AssetsFinder",
]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "config.storage.HashedStorage"},
}
WHITENOISE_KEEP_ONLY_HASHED_FILES = True
WHITENOISE_SKIP_COMPRESS_EXTENSIONS = (
    "map",
    "woff2",
    "png",
    "jpg",
    "gif",
    "ico",
    "gz",
    "br",
    "zip",
    "webp",
    "woff",
)

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "manifest-src": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "object-src": [NONE],
    }
}
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accounts.api_keys.ApiKeyAuthentication",
        "config.rest.sessions.BrowserSession",
    ],
    "DEFAULT_PERMISSION_CLASSES": [
        "rest_framework.permissions.IsAuthenticated",
        "accounts.api_keys.WithinScopes",
    ],
    "DEFAULT_RENDERER_CLASSES": ["config.rest.representation.PlainJson"],
    "DEFAULT_PARSER_CLASSES": ["config.rest.representation.ExactJson"],
    "DEFAULT_METADATA_CLASS": None,
    "URL_FORMAT_OVERRIDE": None,
    "DEFAULT_FILTER_BACKENDS": ["config.rest.filters.StrictFilters"],
    "DEFAULT_PAGINATION_CLASS": "config.rest.pagination.KeysetPagination",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "config.rest.problems.problem_response",
    "DEFAULT_THROTTLE_CLASSES": ["config.rest.throttling.PerCallerThrottle"],
    "DEFAULT_THROTTLE_RATES": {"read": "1200/min", "write": "300/min"},
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    "COERCE_DECIMAL_TO_STRING": True,
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Parity",
    "DESCRIPTION": "The AI model marketplace and the crediting of the people who sell from it.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SCHEMA_PATH_PREFIX": r"/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "AdjustmentReasonEnum": "quotas.models.AdjustmentReason",
        "AdjustmentStateEnum": "quotas.models.AdjustmentState",
        "DisputeKindEnum": "quotas.models.DisputeKind",
        "DisputeStateEnum": "quotas.models.DisputeState",
        "CheckStateEnum": "quotas.api.closes.STATES",
        "CloseStateEnum": "quotas.models.CloseState",
        "ChangeSetStateEnum": "marketplace.models.ChangeSetState",
        "DealKindEnum": "quotas.models.DealKind",
        "ApprovalWhyEnum": "quotas.selectors.approval_queue.Why",
        "DelegationStateEnum": "quotas.selectors.delegations.Standing",
        "DealStateEnum": "quotas.models.DealState",
        "DecisionStateEnum": "marketplace.selectors.decisions.DecisionState",
        "CatalogChangeKindEnum": "marketplace.selectors.changes.KIND_CHOICES",
        "EarningKindEnum": "quotas.models.EarningKind",
        "DeliveryStateEnum": "marketplace.models.DeliveryState",
        "ImportStateEnum": "marketplace.models.ImportState",
        "JobStateEnum": "config.models.JobState",
        "PlanStateEnum": "quotas.models.PlanState",
        "PolicyStateEnum": "quotas.selectors.policies.PolicyState",
        "ProgramEnum": "marketplace.models.Program",
        "QuotaMethodEnum": "quotas.models.QuotaMethod",
        "ReliefKindEnum": "quotas.models.ReliefKind",
        "SalesImportStateEnum": "quotas.models.SalesImportState",
        "SalesImportOutcomeEnum": "quotas.models.ImportOutcome",
        "OutcomeEnum": "marketplace.models.RowOutcome",
        "SalesImportKindEnum": "quotas.models.ImportKind",
        "BindingRoleEnum": "marketplace.models.BindingRole",
        "ExposureBasisEnum": "marketplace.selectors.sourcing.concentration.Basis",
        "FeatureSourcingEnum": "marketplace.selectors.sourcing.concentration.Sourced",
        "PrivateOfferStateEnum": "marketplace.models.PrivateOfferState",
        "StatusEnum": "quotas.api.resources.STANDINGS",
        "RelationshipKindEnum": "marketplace.models.RelationshipKind",
        "RelationshipStatusEnum": "marketplace.models.RelationshipStatus",
        "AmountBoundEnum": "marketplace.models.Bound",
        "TermBasisEnum": "marketplace.api.sourcing.companies.BASES",
        "VerdictEnum": "quotas.api.parity.VERDICTS",
        "ScenarioStateEnum": "marketplace.models.ScenarioState",
        "ScenarioMoveKindEnum": "marketplace.models.MoveKind",
        "ScenarioDecisionEnum": "marketplace.api.sourcing.scenarios.DECISIONS",
        "QualityVerdictEnum": "marketplace.api.sourcing.scenarios.VERDICTS",
        "SubstitutionStateEnum": "marketplace.api.sourcing.substitutions.STATES",
        "SubstitutionDecisionEnum": "marketplace.api.sourcing.substitutions.DECISIONS",
        "VerdictNeedEnum": "marketplace.api.sourcing.substitutions.NEEDS",
        "VerdictGradeEnum": "marketplace.api.sourcing.substitutions.GRADES",
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "config.rest.schema.describe_mechanisms",
    ],
}

EMAIL_HOST = os.environ.get("EMAIL_HOST", "")
EMAIL_PORT = int(os.environ.get("EMAIL_PORT") or 587)
EMAIL_HOST_USER = os.environ.get("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = os.environ.get("EMAIL_HOST_PASSWORD", "")
EMAIL_USE_TLS = os.environ.get("EMAIL_USE_TLS", "1") == "1"
EMAIL_TIMEOUT = 20  # seconds; a worker does not wait for ever
EMAIL_BACKEND = f"django.core.mail.backends.{'smtp' if EMAIL_HOST else 'filebased' if DEMO_MODE else 'dummy'}.EmailBackend"
EMAIL_FILE_PATH = str(LOCAL_DIR / "mail")
DEFAULT_FROM_EMAIL = (
    os.environ.get("DEFAULT_FROM_EMAIL") or f"parity@{urlsplit(SITE_URL).hostname or 'localhost'}"
)

CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        # Of Django's 300, whoever makes 300 new ones drives out what counts wrong passwords.
        "OPTIONS": {"MAX_ENTRIES": 100_000},
    }
}

CELERY_BROKER_URL = os.environ.get("CELERY_BROKER_URL", "filesystem://localhost/")
CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, object] = {
    # Whoever sends does not wait for a broker that is away: the outbox keeps what is owed, and beat sweeps it.
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0.1,
    "interval_max": 0.1,
}
if parse_url(CELERY_BROKER_URL)["transport"] == "filesystem":
    CELERY_BROKER_TRANSPORT_OPTIONS |= {
        "data_folder_in": str(LOCAL_DIR / "broker" / "queue"),
        "data_folder_out": str(LOCAL_DIR / "broker" / "queue"),
        "processed_folder": str(LOCAL_DIR / "broker" / "done"),
        "control_folder": str(LOCAL_DIR / "broker" / "control"),
        "store_processed": False,
        "polling_interval": 0.25,  # seconds
    }
elif parse_url(CELERY_BROKER_URL)["transport"] == "redis":
    CELERY_BROKER_TRANSPORT_OPTIONS |= {"socket_connect_timeout": 2, "socket_timeout": 30}
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "parity"
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TIMEZONE = "UTC"
CELERY_TASK_ROUTES: dict[str, dict[str, str]] = {}
CELERY_BEAT_SCHEDULE = {
    "outbox": {"task": "config.sweep_outbox", "schedule": 5.0},
    "jobs": {"task": "config.sweep_jobs", "schedule": 10.0},
    "mails": {"task": "config.send_mails", "schedule": 30.0},
    "catalog": {"task": "marketplace.daily", "schedule": 300.0},
    "webhooks": {"task": "marketplace.deliver_webhooks", "schedule": 5.0},
    "deliveries": {"task": "marketplace.forget_deliveries", "schedule": 24 * 3600.0},
    "digests": {"task": "accounts.mail_digests", "schedule": 900.0},
    "approvals": {"task": "quotas.remind_approvers", "schedule": 900.0},
    "disputes": {"task": "quotas.remind_of_disputes", "schedule": 900.0},
    "ledger": {"task": "quotas.verify_ledger", "schedule": 24 * 3600.0},
    "seal": {"task": "quotas.seal_night", "schedule": 900.0},
    "boards": {"task": "quotas.keep_boards", "schedule": 60.0},
    "import-files": {"task": "quotas.forget_import_files", "schedule": 24 * 3600.0},
    "export": {"task": "quotas.export_night", "schedule": 900.0},
    "tidy": {"task": "config.tidy", "schedule": 3600.0},
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name} {message}", "style": "{"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": os.environ.get("LOG_LEVEL", "WARNING")},
}
