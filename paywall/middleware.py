"""`PaywallMiddleware`, the door for URLs that exist already: it sells them by path rules.

    MIDDLEWARE = [..., "paywall.middleware.PaywallMiddleware"]      # the last one

What a decorator sells already, the admin and the paywall's own pages are left alone. What other
middleware answers by itself (static files, say) does not come by here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

from asgiref.sync import async_to_sync, markcoroutinefunction, sync_to_async
from asgiref.sync import iscoroutinefunction as is_async
from django.db import DatabaseError

from paywall import path_rules, responses
from paywall.decorators import async_door, csrf_check_of, is_door, sync_door
from paywall.steps import arun, query, run

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from paywall.offers import Reference
    from paywall.path_rules import Rule
    from paywall.steps import Steps

log = logging.getLogger(__name__)

EXEMPT_APPS = frozenset({"admin", "paywall", "paywall_dashboard", "paywall_fleet"})
"""What the owner and the buyers need is not for sale, whatever a rule like /** says."""

View = Callable[..., Any]


class PaywallMiddleware:
    """Sells the views of paths that a rule names."""

    async_capable = True
    sync_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.process_view: Any = self._process_view
        if is_async(get_response):
            markcoroutinefunction(self)
            self.process_view = self._aprocess_view

    def __call__(self, request: HttpRequest) -> Any:
        if is_async(self):
            return self._acall(request)
        return self._find_first(request, run(_rule_of(request))) or self.get_response(request)

    async def _acall(self, request: HttpRequest) -> Any:
        found = self._find_first(request, await arun(_rule_of(request)))
        return found or await self.get_response(request)

    def _find_first(
        self, request: HttpRequest, rule: Rule | _Unknown | None
    ) -> HttpResponseBase | None:
        """Note the rule; and keep Django's CSRF check for later, since programs that pay bring
        no token: `_process_view` or the gate makes up for it."""
        if isinstance(rule, _Unknown):
            return responses.not_for_sale()
        seen = request
        seen._paywall_rule = rule  # type: ignore[attr-defined]
        if rule is not None:
            seen._paywall_csrf = getattr(  # type: ignore[attr-defined]
                request, "_dont_enforce_csrf_checks", False
            )
            seen._dont_enforce_csrf_checks = True  # type: ignore[attr-defined]
        return None

    def _process_view(
        self, request: HttpRequest, view: View, args: Any, kwargs: Any
    ) -> HttpResponseBase | None:
        rule = _restore(request)
        if rule is None:
            return None
        if _is_exempt(request, view):
            return _checked(request, view, args, kwargs)
        if iscoroutinefunction(view):
            door = async_to_sync(async_door(view, _finder(rule)))
        else:
            door = sync_door(view, _finder(rule))
        response: HttpResponseBase = door(request, *args, **kwargs)
        return response

    async def _aprocess_view(
        self, request: HttpRequest, view: View, args: Any, kwargs: Any
    ) -> HttpResponseBase | None:
        rule = _restore(request)
        if rule is None:
            return None
        if _is_exempt(request, view):
            return await arun(query(_checked, request, view, args, kwargs))
        if iscoroutinefunction(view):
            door = async_door(view, _finder(rule))
        else:
            door = sync_to_async(sync_door(view, _finder(rule)), thread_sensitive=True)
        response: HttpResponseBase = await door(request, *args, **kwargs)
        return response


class _Unknown:
    """The rules cannot be read: what costs nothing and what does cannot be told apart."""


def _rule_of(request: HttpRequest) -> Steps[Rule | _Unknown | None]:
    try:
        rules = path_rules.peek() or (yield from query(path_rules.load))
    except DatabaseError:
        log.exception("The path rules cannot be read")
        return _Unknown()
    return rules.find(request.path_info, str(request.method))


def _restore(request: HttpRequest) -> Rule | None:
    rule: Rule | None = getattr(request, "_paywall_rule", None)
    if rule is not None:
        request._dont_enforce_csrf_checks = request._paywall_csrf  # type: ignore[attr-defined]
        request.csrf_processing_done = False  # type: ignore[attr-defined]
    return rule


def _checked(request: HttpRequest, view: View, args: Any, kwargs: Any) -> HttpResponseBase | None:
    """Nothing is sold here: Django's own check, which was put off."""
    return csrf_check_of(view)(request, args, kwargs)


def _is_exempt(request: HttpRequest, view: View) -> bool:
    match = request.resolver_match
    mounted = set(match.app_names) if match is not None else set()
    return is_door(view) or bool(mounted & EXEMPT_APPS)


def _finder(rule: Rule) -> Callable[..., Callable[[], Steps[Reference]]]:
    def find_for(*_: Any, **__: Any) -> Callable[[], Steps[Reference]]:
        def find() -> Steps[Reference]:
            return rule.resource_id
            yield  # a generator, as all steps are

        return find

    return find_for
