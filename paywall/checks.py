"""System checks: what can be known at start-up about why nobody will be able to pay."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections, router
from django.urls import NoReverseMatch, get_resolver, reverse
from django.urls.resolvers import RegexPattern
from django.utils.module_loading import import_string

from paywall import adapter, conf
from paywall.catalog import declarations
from paywall.checkout import methods
from paywall.entry.ways import registry as ways
from paywall.protocols import registry as protocols
from paywall.rails import registry
from paywall.rails.base import Checks
from paywall.schedule import BEAT_SCHEDULE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


DOCS = "See docs/reference/checks.md."


def register_all() -> None:
    """Called once the apps are ready."""
    register(check_settings, Tags.security)
    register(check_databases, Tags.database)
    register(check_databases, Tags.models)
    register(check_installation, Tags.urls)
    register(check_views, Tags.urls)
    register(check_error_reports, Tags.security)
    register(check_shop, Tags.models)


def check_settings(**_: Any) -> list[CheckMessage]:
    """The `PAYWALL` dict and what it points at."""
    try:
        settings = conf.get()
        remotes = settings.remotes()
        for path in settings.audiences.values():
            import_string(path)
        for named in (registry.all_, protocols.all_, ways.all_, methods.all_, adapter.get):
            named()
        for remote in remotes.values():
            if remote is not None and isinstance(remote.more_headers, str):
                remote.hook()
    except (ImproperlyConfigured, ImportError) as error:
        return [Error(str(error), hint=DOCS, id="paywall.E001")]
    found: list[CheckMessage] = [*_pass_cache(settings.pass_cache), *_visitors(settings)]
    if not remotes and not settings.sandbox:
        found.append(
            Error(
                "No facilitator: payments cannot be settled.",
                hint="Set PAYWALL['FACILITATOR_URL'], or 'GAS_KEY' to settle by yourself.",
                id="paywall.E002",
            )
        )
    if any(remote is not None and conf.is_exposed(remote.url) for remote in remotes.values()):
        found.append(
            Error(
                "A facilitator is reached over http: whoever is between can take payments' "
                "answers and lie about them.",
                hint="Use https in PAYWALL['FACILITATOR_URL'] and 'FACILITATORS'.",
                id="paywall.E003",
            )
        )
    for name in filter(registry.is_open, registry.all_()):
        if (rail := registry.able(name, Checks)) is not None:
            found += rail.check_settings()
    if not django_settings.USE_TZ:
        found.append(
            Error(
                "USE_TZ is False: times without a zone do not say when an authorization ends.",
                hint="Set USE_TZ = True.",
                id="paywall.E007",
            )
        )
    return found


def _visitors(settings: conf.Settings) -> Iterator[CheckMessage]:
    """Bots, and what is needed to know them."""
    wants_to_verify = settings.web_bot_auth != "off"
    if wants_to_verify and find_spec("http_message_signatures") is None:
        yield Error(
            "PAYWALL['WEB_BOT_AUTH'] is on, and what verifies signatures is not installed.",
            hint="pip install 'django-paywall[crawlers]'",
            id="paywall.E021",
        )
    if wants_to_verify and "*" in django_settings.ALLOWED_HOSTS and not django_settings.DEBUG:
        yield Error(
            "ALLOWED_HOSTS allows every host: what a bot has signed for another site would be good "
            "here too.",
            hint="Name your hosts, or set PAYWALL['WEB_BOT_AUTH'] to \"off\".",
            id="paywall.E022",
        )
    if settings.crawl_log and find_spec("crawleruseragents") is None:
        yield Warning(
            "PAYWALL['CRAWL_LOG'] counts visitors, and the list of bots' names is not installed: "
            "only those of PAYWALL['BOTS'] are known.",
            hint="pip install 'django-paywall[crawlers]'",
            id="paywall.W021",
        )
    if settings.monitor and not django_settings.DEBUG:
        yield Warning(
            "Monitor mode is on: everybody reads what is sold, and nobody pays.",
            hint="Take PAYWALL['MONITOR'] out when you have seen enough.",
            id="paywall.W022",
        )


KNOWN_DATABASES = ("sqlite", "postgresql")


def _pass_cache(name: str) -> Iterator[CheckMessage]:
    """The cache of passes: a process that keeps its own does not hear of what is revoked."""
    if not name:
        return
    backend = django_settings.CACHES.get(name, {}).get("BACKEND", "")
    if not backend:
        yield Error(
            f"PAYWALL['PASS_CACHE']: there is no cache {name!r} in CACHES.", id="paywall.E014"
        )
    elif backend.rpartition(".")[2] in ("LocMemCache", "DummyCache"):
        yield Error(
            "PAYWALL['PASS_CACHE'] is in a process's own memory: others would go on letting in "
            "whose pass is revoked.",
            hint="Use one that all processes share: Redis, Memcached, or the database.",
            id="paywall.E014",
        )


def check_databases(databases: Any = None, **_: Any) -> list[CheckMessage]:
    """Where the ledger is written: one database, of a kind that it was made for, set up well."""
    from django.apps import apps

    models = apps.get_app_config("paywall").get_models()
    aliases = {router.db_for_write(model) for model in models}
    found: list[CheckMessage] = []
    if len(aliases) > 1:
        found.append(
            Error(
                "DATABASE_ROUTERS write the paywall's models to "
                f"{', '.join(sorted(aliases))}: what is written in one transaction has to be in "
                "one database.",
                id="paywall.E005",
            )
        )
    for alias in sorted(aliases):
        connection = connections[alias]
        if connection.vendor not in KNOWN_DATABASES:
            found.append(
                Error(
                    f"The database {alias!r} is {connection.display_name}: the ledger is made for "
                    "PostgreSQL and SQLite, whose locks and errors it knows.",
                    hint="Give the paywall a database of its own by DATABASE_ROUTERS.",
                    id="paywall.E008",
                )
            )
        elif connection.vendor == "sqlite":
            found += _check_sqlite(alias, connection.settings_dict.get("OPTIONS", {}))
    return found


def _check_sqlite(alias: str, options: Mapping[str, Any]) -> Iterator[CheckMessage]:
    missing = []
    if str(options.get("transaction_mode", "")).upper() != "IMMEDIATE":
        missing.append('"transaction_mode": "IMMEDIATE"')
    if float(options.get("timeout", 5)) < 10:
        missing.append('"timeout": 20')
    if "journal_mode=wal" not in str(options.get("init_command", "")).lower().replace(" ", ""):
        missing.append('"init_command": "PRAGMA journal_mode=WAL"')
    if missing:
        yield Warning(
            f"SQLite in DATABASES[{alias!r}] is set up so that readers and writers get in each "
            "other's way: payments answer 503, and downloads break off, when it is busy.",
            hint=f"Put {', '.join(missing)} into its OPTIONS.",
            id="paywall.W005",
        )


def check_installation(**_: Any) -> list[CheckMessage]:
    """What the site has to mount and run beside the app."""
    found: list[CheckMessage] = []
    if getattr(django_settings, "ROOT_URLCONF", None):
        try:
            reverse("paywall:receipt", args=["x"])
        except (NoReverseMatch, ValueError):
            found.append(
                Warning(
                    "Buyers get no receipts: paywall.urls is not mounted.",
                    hint='Add path("paywall/", include("paywall.urls")) to your URLconf.',
                    id="paywall.W002",
                )
            )
    if conf.wants_metrics() and find_spec("prometheus_client") is None:
        found.append(
            Error(
                "METRICS_TOKEN is set, and what counts is not installed: there are no metrics.",
                hint="pip install 'django-paywall[prometheus]'",
                id="paywall.E018",
            )
        )
    if not all(find_spec(name) for name in ("siwe", "x402.extensions")):
        found.append(
            Warning(
                "Wallets cannot sign in: a program that comes back for what it paid for more than "
                "ten minutes ago cannot show that it is itself.",
                hint="pip install 'django-paywall[wallets]'",
                id="paywall.W008",
            )
        )
    behind_proxy = django_settings.SECURE_PROXY_SSL_HEADER or django_settings.USE_X_FORWARDED_HOST
    if behind_proxy and not _proxies():
        found.append(
            Warning(
                "There is a proxy before the site, and PAYWALL['PROXIES'] does not count it: all "
                "visitors seem to come from one address, and share free requests and limits.",
                hint="Set PAYWALL['PROXIES'] to how many proxies of yours there are.",
                id="paywall.W004",
            )
        )
    if not _is_sandbox() and not _is_scheduled() and not _has_worked_lately():
        found.append(
            Warning(
                "Nothing confirms payments or resolves stuck ones: Celery beat has no "
                "paywall tasks.",
                hint=(
                    "Add paywall.schedule.BEAT_SCHEDULE to your beat schedule; or run "
                    "`manage.py paywall_run` beside the site: while it runs, this is not said."
                ),
                id="paywall.W003",
            )
        )
    return found


def check_views(**_: Any) -> list[CheckMessage]:
    """What the code sells, and what stands around it."""
    if not getattr(django_settings, "ROOT_URLCONF", None):
        return []
    return [*_check_decorators(), *_check_caches(), *_check_cors()]


def _check_decorators() -> Iterator[CheckMessage]:
    for where, pattern in views_of(get_resolver()):
        sold = getattr(pattern.callback, "paywall_view", None)
        if sold is not None and hasattr(sold, "login_url"):
            yield Warning(
                f"{where}: @payment_required stands above @login_required, so whoever is not "
                "signed in is asked to pay first and to sign in then.",
                hint="Put @login_required above @payment_required.",
                id="paywall.W006",
            )


CACHES = (
    "django.middleware.cache.CacheMiddleware",
    "django.middleware.cache.FetchFromCacheMiddleware",
    "django.middleware.cache.UpdateCacheMiddleware",
)


def _check_caches() -> Iterator[CheckMessage]:
    installed = list(django_settings.MIDDLEWARE)
    if MIDDLEWARE not in installed:
        return
    after = installed[installed.index(MIDDLEWARE) + 1 :]
    for name in CACHES:
        if name in after:
            yield Error(
                f"{name} stands after PaywallMiddleware: it would answer from the cache before "
                "anybody asks for money.",
                hint="Make PaywallMiddleware the last one.",
                id="paywall.E012",
            )


CORS = "corsheaders.middleware.CorsMiddleware"


def _check_cors() -> Iterator[CheckMessage]:
    installed = list(django_settings.MIDDLEWARE)
    if MIDDLEWARE in installed and CORS in installed[installed.index(MIDDLEWARE) :]:
        yield Warning(
            f"{CORS} stands after PaywallMiddleware: what is answered before it has no CORS "
            "headers, so pages of other sites cannot see what they are asked to pay.",
            hint="Put it above, and make PaywallMiddleware the last one.",
            id="paywall.W018",
        )


def views_of(resolver: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """All URL patterns below a resolver, each with a name for people: the view and its route."""
    for pattern in resolver.url_patterns:
        route = prefix + str(pattern.pattern)
        if hasattr(pattern, "url_patterns"):
            yield from views_of(pattern, route)
        else:
            yield f"{pattern.lookup_str} at {route!r}", pattern


FILTER = "paywall.error_reports.ExceptionReporterFilter"


def check_error_reports(**_: Any) -> list[CheckMessage]:
    """Django's error pages and mails show settings and local variables."""
    raw = getattr(django_settings, "PAYWALL", None)
    if not raw:
        return []
    name = getattr(django_settings, "DEFAULT_EXCEPTION_REPORTER_FILTER", "")
    try:
        known = issubclass(import_string(name), import_string(FILTER))
    except (ImportError, TypeError):
        known = False
    if known:
        return []
    return [
        Warning(
            "Django's error mails and debug pages show PAYWALL['RPC_URLS'] and webhook URLs, with "
            "the keys in them.",
            hint=f"Set DEFAULT_EXCEPTION_REPORTER_FILTER = {FILTER!r}.",
            id="paywall.W007",
        )
    ]


def _proxies() -> int:
    try:
        return conf.get().proxies
    except ImproperlyConfigured:
        return 0


MIDDLEWARE = "paywall.middleware.PaywallMiddleware"


def check_shop(**_: Any) -> list[CheckMessage]:
    """Accounts, resources and prices, as the database has them now."""
    try:
        accounts = list(_check_accounts())
        # Without an account nothing can be sold, which needs saying once.
        declared = [] if any(m.id == "paywall.W010" for m in accounts) else _check_declared()
        return [*accounts, *declared, *_check_rules()]
    except DatabaseError:
        # Not migrated yet, or not reachable: Django says so itself.
        return []
    except ImproperlyConfigured:
        return []


def _check_accounts() -> Iterator[CheckMessage]:
    from paywall.models import Account

    accounts = Account.objects.using(_database()).open()
    if not accounts and not conf.get().sandbox:
        yield Warning(
            "There is no account: nobody can pay.",
            hint="Add one in the admin, under Paywall > Accounts.",
            id="paywall.W010",
        )
    for account in accounts:
        if account.rail not in registry.all_():
            yield Error(
                f"Account {account.pk} is on the rail {account.rail!r}, which the settings do not "
                "know: nobody can pay there.",
                hint="Name it in PAYWALL['RAILS'].",
                id="paywall.E013",
            )
        elif (rail := registry.able(account.rail, Checks)) is not None:
            yield from rail.check_account(account)


def _check_rules() -> Iterator[CheckMessage]:
    from paywall.models import Audience, Resource

    installed = list(django_settings.MIDDLEWARE)
    rules = Resource.objects.using(_database()).exclude(path="")
    if MIDDLEWARE not in installed and rules.exists():
        yield Error(
            "There are path rules, and PaywallMiddleware is not installed: what they name is free.",
            hint=f"Add {MIDDLEWARE!r} as the last one of MIDDLEWARE.",
            id="paywall.E011",
        )
    if rules.exists():
        yield from _check_routes()
    for resource in rules.filter(active=True, prices__isnull=True):
        yield Warning(
            f"Path rule {resource.path} has no price: its URLs answer 503.",
            hint="Add a price to it in the admin.",
            id="paywall.W015",
        )
    hooks = Audience.objects.using(_database()).filter(kind=Audience.Kind.HOOK, active=True)
    for audience in hooks.exclude(hook__in=conf.get().audiences):
        yield Warning(
            f"Audience {audience}: {audience.hook!r} is not in PAYWALL['AUDIENCES'], so it admits "
            "nobody.",
            id="paywall.W014",
        )


def _check_routes() -> Iterator[CheckMessage]:
    """Views that a path rule may not be able to name: their URLs have many spellings, and Django
    cannot say which is the usual one."""
    from paywall.catalog.path_rules import EXEMPT_APPS

    resolver = get_resolver()
    for where, pattern, mounted, named in _routes(resolver, (), True):
        if set(mounted) & EXEMPT_APPS or getattr(pattern.callback, "paywall_finder", None):
            continue
        expression = isinstance(pattern.pattern, RegexPattern)
        has_spellings = expression or bool(pattern.pattern.converters)
        if has_spellings and (not named or (expression and "|" in str(pattern.pattern))):
            yield Warning(
                f"{where}: its URLs have many spellings and no name to tell the usual one by, so a "
                "path rule may miss some of them.",
                hint="Name its URL pattern, and write a regular expression without “|”.",
                id="paywall.W016",
            )


def _routes(
    resolver: Any, mounted: tuple[str, ...], at_root: bool, prefix: str = ""
) -> Iterator[tuple[str, Any, tuple[str, ...], bool]]:
    for pattern in resolver.url_patterns:
        route = prefix + str(pattern.pattern)
        if hasattr(pattern, "url_patterns"):
            apps = (*mounted, pattern.app_name) if pattern.app_name else mounted
            yield from _routes(pattern, apps, at_root and not pattern.namespace, route)
        else:
            named = bool(pattern.name) or at_root
            yield f"{pattern.lookup_str} at {route!r}", pattern, mounted, named


def _check_declared() -> Iterator[CheckMessage]:
    from paywall.catalog import offers
    from paywall.exceptions import NobodySettles, NotForSale

    for declaration in declarations.declared():
        try:
            offers.load(declaration.slug, ask=False)
        except NobodySettles:
            continue  # nobody was asked yet, or said so: `check_account` knows
        except NotForSale as error:
            yield Warning(
                f"{error} The view that sells it answers 503: "
                f"{declarations.view_of(declaration.slug) or 'not known'}.",
                hint="Make and price it in the admin; `manage.py paywall_sync` makes what the "
                "code declares with a price.",
                id="paywall.W013",
            )


def _database() -> str:
    from paywall import durable

    return durable.alias()


def _has_worked_lately() -> bool:
    from paywall.reports import status

    try:
        return status.has_worked_lately()
    except DatabaseError:
        return False  # not migrated yet


def _is_sandbox() -> bool:
    try:
        return conf.get().sandbox
    except ImproperlyConfigured:
        return False


def _is_scheduled() -> bool:
    """Whether some Celery app of the site runs the paywall's tasks."""
    from celery import current_app

    schedules: list[Any] = [
        getattr(django_settings, "CELERY_BEAT_SCHEDULE", None),
        current_app.conf.beat_schedule,
    ]
    tasks = {entry.get("task") for schedule in schedules if schedule for entry in schedule.values()}
    return {entry["task"] for entry in BEAT_SCHEDULE.values()} <= tasks
