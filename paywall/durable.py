"""The ledger's own transactions: what it wrote stays, whatever the site does around it.

A site may run views in a transaction (`ATOMIC_REQUESTS`, `atomic` around a view, a middleware
of its own) and roll it back after the money moved. So each write of the ledger is a
transaction by itself; where the thread's connection is already inside one, the write goes over
a second connection in a thread of its own.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from django.db import DatabaseError, Error, connections, router, transaction

from paywall.django_internals import is_in_test_case
from paywall.exceptions import LedgerUnavailable

if TYPE_CHECKING:
    from django.db.models import Field, Model

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)

_inside = threading.local()

BUSY_RETRIES = 8
"""How often work is tried again that the database gave up for the sake of others."""

_GIVEN_UP = frozenset({"40001", "40P01"})
"""SQLSTATEs: serialization failure, and deadlock. Nothing of the transaction was written."""
_SQLITE_BUSY = frozenset({5, 6})
"""SQLITE_BUSY and SQLITE_LOCKED, whatever their extended codes say besides."""


def alias() -> str:
    """The database of the ledger, as the router has it: all that it reads and writes, never a
    replica."""
    from paywall.models import Payment

    return router.db_for_write(Payment)


def write(function: Callable[P, T]) -> Callable[P, T]:
    """Run a function of the ledger as one transaction that the site cannot roll back.

    Durable functions that call each other share a transaction. It is tried again where the
    database gave it up for another's sake, so the function reads what it decides by, and changes
    objects by `set_fields` alone. Raises `LedgerUnavailable` where the database does not take it:
    then nothing of it was written, and objects are as they were.
    """

    return _durable(function, is_one=False)


def write_one(function: Callable[P, T]) -> Callable[P, T]:
    """The same for a function of one statement, which is a transaction by itself: nobody has to
    begin and commit another one around it."""
    return _durable(function, is_one=True)


def _durable(function: Callable[P, T], *, is_one: bool) -> Callable[P, T]:
    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        if _undo_log() is not None:
            return function(*args, **kwargs)
        work = functools.partial(function, *args, **kwargs)
        try:
            if _must_not_share():
                return _elsewhere(work)
            return _in_transaction(work, is_one=is_one)
        except Error as error:
            raise LedgerUnavailable(str(error)) from error

    return wrapper


def read(function: Callable[P, T]) -> Callable[P, T]:
    """Have a function that only reads tried again where the database gave it up for another's
    sake: under SERIALIZABLE that can happen to a single query."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        for attempt in range(BUSY_RETRIES):
            try:
                return function(*args, **kwargs)
            except DatabaseError as error:
                if not is_passing(error) or connections[alias()].in_atomic_block:
                    raise
            _wait_a_little(attempt)
        return function(*args, **kwargs)

    return wrapper


def set_fields(instance: Any, **values: Any) -> None:
    """Set attributes of an object inside a durable function: they are as they were again if the
    transaction is not committed."""
    log_ = _undo_log()
    if log_ is not None:
        before = {name: instance.__dict__.get(name, _ABSENT) for name in values}
        log_.append((instance, before))
    for name, value in values.items():
        setattr(instance, name, value)


def is_passing(error: BaseException | None) -> bool:
    """Whether a database's error says that others were in the way, and trying again helps: by
    SQLSTATE or SQLite's own codes, not by what it says in some language."""
    while error is not None:
        code = getattr(error, "sqlite_errorcode", None)
        if code is not None and code & 0xFF in _SQLITE_BUSY:
            return True
        if (getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)) in _GIVEN_UP:
            return True
        error = error.__cause__
    return False


def insert(instance: Model) -> None:
    """`instance.save(force_insert=True)` for the rows that a paid request writes: the same SQL
    and the same values, without compiling the SQL anew (a fifth of the time) and without
    Django's signals for saving."""
    using = alias()
    connection = connections[using]
    statement = _insert_statement(type(instance), using)
    if statement is None:
        instance.save(using=using, force_insert=True)
        return
    sql, fields = statement
    values = [
        field.get_db_prep_save(field.pre_save(instance, add=True), connection) for field in fields
    ]
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        (key,) = cursor.fetchone()
    set_fields(instance, **{instance._meta.pk.attname: key})
    set_fields(instance._state, adding=False, db=using)


@functools.cache
def _insert_statement(model: type[Model], using: str) -> tuple[str, list[Field[Any, Any]]] | None:
    """The SQL that inserts a row and returns its key, and the fields of its values."""
    connection = connections[using]
    if not connection.features.can_return_columns_from_insert:
        return None
    quote, fields = connection.ops.quote_name, list(model._meta.concrete_fields)
    fields.remove(model._meta.pk)
    columns = ", ".join(quote(field.column or "") for field in fields)
    places = ", ".join(["%s"] * len(fields))
    table, key = quote(model._meta.db_table), quote(model._meta.pk.column or "")
    return f"INSERT INTO {table} ({columns}) VALUES ({places}) RETURNING {key}", fields  # noqa: S608


def change(model: type[Model], sql: str, *values: Any) -> bool:
    """`UPDATE ... SET <sql>`, for the rows that a paid request changes; whether one changed.

    In `sql` the columns are named by their fields, in double quotes, and values by %s, as they
    are in Python: numbers, strings, times, booleans.
    """
    using = alias()
    connection = connections[using]
    adapt = connection.ops.adapt_datetimefield_value
    parameters = [adapt(value) if isinstance(value, datetime) else value for value in values]
    with connection.cursor() as cursor:
        table = connection.ops.quote_name(model._meta.db_table)
        cursor.execute(f"UPDATE {table} SET {sql}", parameters)  # noqa: S608
        return bool(cursor.rowcount)


_ABSENT: Any = object()

_UndoLog = list[tuple[Any, dict[str, Any]]]


def _undo_log() -> _UndoLog | None:
    """Of the durable transaction that this thread is in, if it is in one."""
    found: _UndoLog | None = getattr(_inside, "undo", None)
    return found


def _in_transaction(function: Callable[[], T], *, is_one: bool = False) -> T:
    for attempt in range(BUSY_RETRIES + 1):
        try:
            return _once(function, is_one=is_one)
        except DatabaseError as error:
            if not is_passing(error) or attempt == BUSY_RETRIES:
                raise
            log.info("The database is busy; trying again (%d of %d)", attempt + 1, BUSY_RETRIES)
        _wait_a_little(attempt)
    raise AssertionError


def _once(function: Callable[[], T], *, is_one: bool = False) -> T:
    """One try. What runs on its commit is outside of it, and has transactions of its own."""
    using, undo, committed = alias(), _UndoLog(), []
    # A test's own transaction outlives an error only if there is a savepoint in it.
    is_alone = is_one and not connections[using].in_atomic_block
    try:
        with contextlib.nullcontext() if is_alone else transaction.atomic(using=using):
            if not is_alone:
                transaction.on_commit(lambda: committed.append(True), using=using)
            _inside.undo = undo
            try:
                result = function()
            finally:
                _inside.undo = None
    except BaseException:
        if committed:
            log.exception("What a receiver wanted on commit failed; the ledger's own is written")
            return result
        for instance, before in reversed(undo):
            for name, value in before.items():
                if value is _ABSENT:
                    instance.__dict__.pop(name, None)
                else:
                    setattr(instance, name, value)
        raise
    return result


def _wait_a_little(attempt: int) -> None:
    """Longer each time, and not as long as the others who were told the same."""
    time.sleep(min(1.0, 0.01 * 2**attempt) * (0.5 + random.random()))  # noqa: S311


def _must_not_share() -> bool:
    """Whether this thread's connection is in a transaction that is not the ledger's.

    A `TestCase` wraps everything in transactions of its own; no other connection could see
    what it wrote, so there the ledger shares.
    """
    connection = connections[alias()]
    if not connection.in_atomic_block:
        return not connection.get_autocommit()
    return not is_in_test_case(connection)


OTHERS_WRITE_FOR = 5
"""Seconds for which a second connection to SQLite waits for the write lock. If it is the site's own
transaction around us that has it, waiting is of no use."""


def _elsewhere(function: Callable[[], T]) -> T:
    """Run `function` as a transaction in a thread, and so on a connection, of its own.

    That connection comes from no pool: whoever waits here holds one of the pool's already, and
    enough of them at once would wait for each other.
    """

    def with_own_connection() -> T:
        using = alias()
        connection = connections[using].copy()
        options = {k: v for k, v in connection.settings_dict["OPTIONS"].items() if k != "pool"}
        is_sqlite = connection.vendor == "sqlite"
        if is_sqlite:
            options["timeout"] = OTHERS_WRITE_FOR
        connection.settings_dict = {**connection.settings_dict, "OPTIONS": options}
        connections[using] = connection
        try:
            connection.ensure_connection()
            connection.set_autocommit(True)
            return _once(function) if is_sqlite else _in_transaction(function)
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="paywall-ledger") as executor:
        return executor.submit(with_own_connection).result()


def aside(function: Callable[P, T]) -> Callable[P, T]:
    """Have a function write over a connection of its own: for who is in the middle of reading."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        work = functools.partial(function, *args, **kwargs)
        if connections[alias()].in_atomic_block and not _must_not_share():
            return work()  # a TestCase's
        return _elsewhere(work)

    return wrapper
