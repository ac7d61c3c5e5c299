"""All that stops money, from the settings to the last party that has to answer.

It asks everybody who takes part, and pays nothing. Each finding says what to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.conf import settings as django_settings
from django.core.checks import ERROR, run_checks
from django.db import connections
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from paywall import conf, durable
from paywall.catalog import offers
from paywall.exceptions import NotForSale
from paywall.findings import Finding, Grade, fail, note, ok
from paywall.models import Account, Examination, Resource
from paywall.rails import registry
from paywall.rails.base import Examines
from paywall.reports import status, surroundings

if TYPE_CHECKING:
    from django.core.checks import CheckMessage

MOST_RESOURCES = 200
"""As many are tried, those that were changed last."""


def examine() -> Iterator[Finding]:
    """Look at everything. Never raises for what is elsewhere."""
    pending = _pending_migrations()
    if pending:
        yield fail(f"the database lacks {len(pending)} migrations", "manage.py migrate paywall")
        return
    if conf.get().sandbox:
        what = "the sandbox is on: everything is paid with play money, and with no other"
        yield note(what, "To take money, take SANDBOX out of PAYWALL.")
    yield from _checks()
    yield from _worker()
    yield from _broker()
    yield from surroundings.examine()
    yield from _for_sale()
    accounts = Account.objects.using(durable.alias()).open()
    if not accounts:
        yield fail("there is no enabled account: nobody can pay", "Add one in the admin.")
    yield from ask_rails(accounts)


def ask_rails(accounts: Sequence[Account]) -> Iterator[Finding]:
    """What their rails say of accounts, enabled or not."""
    for name in dict.fromkeys(account.rail for account in accounts):
        rail = registry.able(name, Examines)
        if rail is not None:
            yield from rail.examine([account for account in accounts if account.rail == name])


@durable.write
def keep(found: list[Finding], *, live: str = "", by: Any = None) -> None:
    """Write down what was found, for the dashboard: in the place of what was found before."""
    rows = Examination.objects.using(durable.alias())
    told = {"findings": [one.json() for one in found], "live": live[:500]}
    rows.update_or_create(pk=1, defaults={**told, "at": timezone.now(), "by": by})


@dataclass(frozen=True, slots=True)
class Kept:
    """What was found when somebody looked last."""

    at: datetime
    live: str
    findings: list[Finding]

    @property
    def failing(self) -> int:
        return sum(one.grade == Grade.FAIL for one in self.findings)

    @property
    def sorted(self) -> list[Finding]:
        """What stops money first."""
        return sorted(self.findings, key=lambda one: _WORST_FIRST.index(one.grade))


_WORST_FIRST = (Grade.FAIL, Grade.NOTE, Grade.OK)


def last() -> Kept | None:
    """None where nobody has looked."""
    row = Examination.objects.using(durable.alias()).first()
    if row is None:
        return None
    return Kept(row.at, row.live, [Finding.of(one) for one in row.findings])


def _pending_migrations() -> list[str]:
    executor = MigrationExecutor(connections[durable.alias()])
    targets = [key for key in executor.loader.graph.leaf_nodes() if key[0] == "paywall"]
    return [str(migration) for migration, _ in executor.migration_plan(targets)]


def _checks() -> Iterator[Finding]:
    ours = [m for m in run_checks() if str(m.id).startswith("paywall.") and not m.is_silenced()]
    for message in ours:
        yield _of_check(message)
    if not ours:
        yield ok("manage.py check has nothing to say")


def _of_check(message: CheckMessage) -> Finding:
    grade = fail if message.level >= ERROR else note
    return grade(f"{message.msg} ({message.id})", str(message.hint or ""))


def _worker() -> Iterator[Finding]:
    if not status.has_worked_lately():
        todo = "Run Celery's worker and its beat with BEAT_SCHEDULE, or manage.py paywall_run."
        yield fail("no worker has been at it for ten minutes: nothing is confirmed", todo)
    elif status.is_keeping_up():
        yield ok("the worker keeps up")
    else:
        todo = "manage.py paywall_status says what waits; the worker's log says why."
        yield fail("the worker is behind", todo)


def _broker() -> Iterator[Finding]:
    """Celery's, where the site has one."""
    from celery import current_app

    url = getattr(django_settings, "CELERY_BROKER_URL", None) or current_app.conf.broker_url
    if not url or current_app.conf.task_always_eager:
        yield note("Celery has no broker here", "Right if manage.py paywall_run does the work.")
        return
    try:
        with current_app.connection_for_write(connect_timeout=5) as connection:
            connection.ensure_connection(max_retries=1, timeout=5)
    except Exception as error:
        todo = "Start it, or mend CELERY_BROKER_URL. Without it the work waits for paywall_run."
        yield fail(f"the broker does not answer: {type(error).__name__}", todo)
    else:
        yield ok("the broker answers")


def _for_sale() -> Iterator[Finding]:
    rows = Resource.objects.using(durable.alias()).filter(active=True).order_by("-updated_at")
    keys = list(rows.values_list("pk", flat=True)[:MOST_RESOURCES])
    closed = 0
    for key in keys:
        try:
            offers.load(key)
        except NotForSale as error:
            closed += 1
            yield fail(f"{error}", "Price it, or deactivate it: its URLs answer 503.")
    if not keys:
        yield note("nothing is for sale", "Put a price on something.")
    elif not closed:
        yield ok(f"{len(keys)} resources can be paid")
