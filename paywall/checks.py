"""System checks: what can be known at start-up about why nobody will be able to pay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError
from django.urls import NoReverseMatch, reverse
from django.utils.module_loading import import_string

from paywall import conf, declarations
from paywall.evm import networks
from paywall.evm.addresses import ZERO_ADDRESS
from paywall.schedule import BEAT_SCHEDULE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from paywall.models import Account

DOCS = "See docs/reference/checks.md."


def register_all() -> None:
    """Called once the apps are ready."""
    register(check_settings, Tags.security)
    register(check_installation, Tags.urls)
    register(check_shop, Tags.models)


def check_settings(**_: Any) -> list[CheckMessage]:
    """The `PAYWALL` dict and what it points at."""
    try:
        settings = conf.get()
        remotes = settings.remotes()
        for path in settings.audiences.values():
            import_string(path)
        for remote in remotes.values():
            if remote is not None and isinstance(remote.more_headers, str):
                remote.hook()
    except (ImproperlyConfigured, ImportError) as error:
        return [Error(str(error), hint=DOCS, id="paywall.E001")]
    found: list[CheckMessage] = []
    if not remotes:
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
    if None in remotes.values() and not (settings.gas_key and settings.rpc_urls):
        found.append(
            Error(
                "The backend “onchain” settles nothing without a key for gas and a node.",
                hint="Set PAYWALL['GAS_KEY'] and 'RPC_URLS', the key from the environment.",
                id="paywall.E006",
            )
        )
    for network in settings.rpc_urls:
        try:
            networks.chain_id(network)
        except ValueError as error:
            found.append(Error(f"PAYWALL['RPC_URLS']: {error}.", id="paywall.E004"))
        if any(conf.is_exposed(url) for url in settings.rpc_nodes(network)):
            found.append(
                Warning(
                    f"A node of {network} is read over http: whoever is between can have "
                    "payments confirmed that never were.",
                    hint="Use https in PAYWALL['RPC_URLS'].",
                    id="paywall.W001",
                )
            )
    if settings.database and settings.database not in django_settings.DATABASES:
        found.append(
            Error(
                f"PAYWALL['DATABASE'] is {settings.database!r}, which is not in DATABASES.",
                id="paywall.E005",
            )
        )
    return found


def check_installation(**_: Any) -> list[CheckMessage]:
    """What the site has to mount and run beside the app."""
    found: list[CheckMessage] = []
    if getattr(django_settings, "ROOT_URLCONF", None):
        try:
            reverse("paywall:receipt", args=["x"])
        except NoReverseMatch:
            found.append(
                Warning(
                    "Buyers get no receipts: paywall.urls is not mounted.",
                    hint='Add path("paywall/", include("paywall.urls")) to your URLconf.',
                    id="paywall.W002",
                )
            )
    if not _is_scheduled():
        found.append(
            Warning(
                "Nothing confirms payments or resolves stuck ones: Celery beat has no "
                "paywall tasks.",
                hint=(
                    "Add paywall.schedule.BEAT_SCHEDULE to your beat schedule; or run "
                    "`manage.py paywall_run` beside the site and silence this check."
                ),
                id="paywall.W003",
            )
        )
    return found


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

    accounts: list[Account] = list(Account.objects.using(_database()).filter(enabled=True))
    if not accounts:
        yield Warning(
            "There is no account: nobody can pay.",
            hint="Add one in the admin, under Paywall > Accounts.",
            id="paywall.W010",
        )
    settings = conf.get()
    for account in accounts:
        if int(account.pay_to, 16) == int(ZERO_ADDRESS, 16):
            yield Error(f"{account}: money sent to the zero address is gone.", id="paywall.E010")
        if networks.is_testnet(account.network) and not django_settings.DEBUG:
            yield Warning(
                f"{account}: this is a test network, its money is worth nothing.",
                hint="Disable the account where you sell in earnest.",
                id="paywall.W011",
            )
        if not settings.rpc_nodes(account.network):
            yield Warning(
                f"{account}: payments there are never confirmed, since no node is read.",
                hint=f"Set PAYWALL['RPC_URLS']['{account.network}'].",
                id="paywall.W012",
            )


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
    hooks = Audience.objects.using(_database()).filter(kind=Audience.Kind.HOOK, active=True)
    for audience in hooks.exclude(hook__in=conf.get().audiences):
        yield Warning(
            f"Audience {audience}: {audience.hook!r} is not in PAYWALL['AUDIENCES'], so it admits "
            "nobody.",
            id="paywall.W014",
        )


def _check_declared() -> Iterator[CheckMessage]:
    from paywall import offers
    from paywall.exceptions import NotForSale

    for declaration in declarations.declared():
        try:
            offers.load(declaration.slug)
        except NotForSale as error:
            yield Warning(
                f"{error} The view that sells it answers 503.",
                hint="Make and price it in the admin; `manage.py paywall_sync` makes what the "
                "code declares with a price.",
                id="paywall.W013",
            )


def _database() -> str:
    from paywall import database

    return database.alias()


def _is_scheduled() -> bool:
    """Whether some Celery app of the site runs the paywall's tasks."""
    from celery import current_app

    schedules: list[Any] = [
        getattr(django_settings, "CELERY_BEAT_SCHEDULE", None),
        current_app.conf.beat_schedule,
    ]
    tasks = {entry.get("task") for schedule in schedules if schedule for entry in schedule.values()}
    return {entry["task"] for entry in BEAT_SCHEDULE.values()} <= tasks
