"""Spans for OpenTelemetry, and which payment is being worked on, for logs and error reports.

    pip install "django-paywall[otel]"        PAYWALL = {"TRACING": True}

Spans have ids, states and codes; never a payload, a wallet or a URL. They hang below the span of
the request or task that is there, as the site's own instrumentation makes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from paywall import conf
from paywall.logs import payment as payment

if TYPE_CHECKING:
    from paywall.effects import Steps

P = ParamSpec("P")
T = TypeVar("T")

Attributes = dict[str, str | int | bool]


class Span:
    """What is told of a piece of work; nothing, where nobody listens."""

    def __init__(self, span: Any = None) -> None:
        self._span = span

    def tell(self, **attributes: str | int | bool | None) -> None:
        """Attributes, which get our prefix; None is not told."""
        if self._span is None:
            return
        for name, value in attributes.items():
            if value is not None:
                self._span.set_attribute(f"paywall.{name}", value)

    def failed(self, error: BaseException) -> None:
        """By its kind alone: its words may have what a buyer sent."""
        if self._span is not None:
            from opentelemetry.trace import Status, StatusCode

            self._span.set_status(Status(StatusCode.ERROR, type(error).__name__))
            self._span.set_attribute("error.type", type(error).__name__)


SILENT = Span()


def is_on() -> bool:
    """Whether anybody listens."""
    return _tracer() is not None


@conf.kept
def _tracer() -> Any:
    if not conf.get().tracing:
        return None
    from opentelemetry import trace

    return trace.get_tracer("paywall")


@contextmanager
def span(name: str, **attributes: str | int | bool | None) -> Iterator[Span]:
    """One, from here to the end of the block. It is not made the current one: what is yielded to in
    between is other people's work."""
    tracer = _tracer()
    if tracer is None:
        yield SILENT
        return
    started = tracer.start_span(name)
    told = Span(started)
    told.tell(**attributes)
    try:
        yield told
    except BaseException as error:
        told.failed(error)
        raise
    finally:
        started.end()


def of_payment(name: str) -> Callable[[Callable[P, Steps[T]]], Callable[P, Steps[T]]]:
    """Have steps whose first argument is a payment be a span, which tells its key, rail,
    facilitator, state and what came of it."""

    def decorate(function: Callable[P, Steps[T]]) -> Callable[P, Steps[T]]:
        @wraps(function)
        def traced(*args: P.args, **kwargs: P.kwargs) -> Steps[T]:
            its: Any = args[0]
            with about(its.pk), span(name, payment=its.pk, rail=its.rail) as told:
                result = yield from function(*args, **kwargs)
                told.tell(
                    state=str(its.state),
                    facilitator=its.facilitator or None,
                    outcome=type(result).__name__,
                )
                return result

        return traced

    return decorate


class about:  # noqa: N801 - it reads as a function where it is used
    """That payment is being worked on; what is raised has a note that says so."""

    __slots__ = ("_key", "_token")

    def __init__(self, key: int | None) -> None:
        self._key = key

    def __enter__(self) -> None:
        self._token = payment.set(self._key)

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        key = payment.get()
        payment.reset(self._token)
        if key is not None and isinstance(error, Exception):
            told = f"payment={key}"
            if told not in getattr(error, "__notes__", ()):
                error.add_note(told)
