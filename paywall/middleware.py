"""`PaywallMiddleware`, the door for URLs that exist already: it sells them by path rules.

    MIDDLEWARE = [..., "paywall.middleware.PaywallMiddleware"]      # the last one

What a decorator sells already, the admin and the paywall's own pages are left alone. What other
middleware answers by itself (static files, say) does not come by here.

A rule sells what a URL resolves to: it is looked up by the path as Django would make it for the
view and its arguments, by the path as it was sent, and by both without a language prefix.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from asgiref.sync import async_to_sync, iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.conf import settings
from django.db import DatabaseError
from django.http import Http404
from django.urls import NoReverseMatch, get_script_prefix, reverse
from django.utils.translation import get_language_from_path

from paywall.catalog import path_rules
from paywall.decorators import async_door, csrf_check_of, is_async_view, is_door, sync_door
from paywall.django_internals import have_csrf_checked, put_off_csrf_check
from paywall.effects import arun, query, run
from paywall.entry import failures, inline, responses

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse
    from django.http.response import HttpResponseBase
    from django.urls import ResolverMatch

    from paywall.catalog.offers import Reference
    from paywall.catalog.path_rules import Rule, Rules
    from paywall.effects import Steps

log = logging.getLogger(__name__)

FLATPAGES = "django.contrib.flatpages.middleware.FlatpageFallbackMiddleware"

View = Callable[..., Any]


class PaywallMiddleware:
    """Sells the views of paths that a rule names."""

    async_capable = True
    sync_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.hooks = _Hooks(_handler_of(get_response))
        self.process_view: Any = self._process_view
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)
            self.process_view = self._aprocess_view

    def __call__(self, request: HttpRequest) -> Any:
        if iscoroutinefunction(self):
            return self._acall(request)
        refusal = _look_up(request, run(_known_rules()))
        if refusal is not None:
            return refusal
        setattr(request, inline.MARKS, [])
        response = self.get_response(request)
        inline.mark(request, response)
        return _sell_fallback(request, response) or response

    async def _acall(self, request: HttpRequest) -> Any:
        refusal = _look_up(request, await arun(_known_rules()))
        if refusal is not None:
            return refusal
        setattr(request, inline.MARKS, [])
        response = await self.get_response(request)
        inline.mark(request, response)
        if response.status_code == 404:
            return await arun(query(_sell_fallback, request, response)) or response
        return response

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """A payment that failed in a site's own view is answered by 402."""
        return failures.answer(request, error)

    def _process_view(
        self, request: HttpRequest, view: View, args: Any, kwargs: Any
    ) -> HttpResponseBase | None:
        found = _find(request, view)
        if not isinstance(found, path_rules.Rule):
            return _checked(request, view, args, kwargs) if found is None else found
        if is_async_view(view):
            door = async_to_sync(async_door(view, _finder(found), self.hooks))
        else:
            door = sync_door(view, _finder(found), self.hooks)
        response: HttpResponseBase = door(request, *args, **kwargs)
        return response

    async def _aprocess_view(
        self, request: HttpRequest, view: View, args: Any, kwargs: Any
    ) -> HttpResponseBase | None:
        found = _find(request, view)
        if not isinstance(found, path_rules.Rule):
            if found is None and _is_put_off(request):
                return await arun(query(_checked, request, view, args, kwargs))
            return found
        if is_async_view(view):
            door = async_door(view, _finder(found), self.hooks)
        else:
            door = sync_to_async(sync_door(view, _finder(found), self.hooks), thread_sensitive=True)
        response: HttpResponseBase = await door(request, *args, **kwargs)
        return response


# ---------------------------------------------------------------------- Which rule it is


def _known_rules() -> Steps[Rules | None]:
    """The site's rules; None where they cannot be read."""
    try:
        return path_rules.peek() or (yield from query(path_rules.load))
    except DatabaseError:
        log.exception("The path rules cannot be read")
        return None


def _look_up(request: HttpRequest, rules: Rules | None) -> HttpResponseBase | None:
    """Note the rules for later, and keep Django's CSRF check for later where one may sell the path:
    programs that pay bring no token, and `_process_view` or the gate makes up for it. Where what
    costs nothing and what does cannot be told apart, nobody gets in."""
    if rules is None:
        return responses.not_for_sale()
    seen: Any = request
    seen._paywall_rules = rules
    seen._paywall_csrf = None
    if any(next(rules.of_any_method(path), None) for path in _as_sent(request)):
        seen._paywall_csrf = put_off_csrf_check(request)
    return None


def _find(request: HttpRequest, view: View) -> Rule | HttpResponseBase | None:
    """The rule that sells what the request resolved to; None if none does, or a 405."""
    rules: Rules | None = getattr(request, "_paywall_rules", None)
    if rules is None or not rules.count or _is_exempt(request, view):
        return None
    paths = dict.fromkeys([*_as_django_says_it(request), *_as_sent(request)])
    allowed: set[str] = set()
    for path in paths:
        rule = rules.find(path, str(request.method))
        if rule is not None:
            _restore_csrf(request)
            return rule
        for other in rules.of_any_method(path):
            allowed |= other.methods
    return responses.method_not_allowed(allowed) if allowed else None


def _as_sent(request: HttpRequest) -> Iterator[str]:
    path = request.path_info
    yield path
    yield from _without_language(path)


def _as_django_says_it(request: HttpRequest) -> Iterator[str]:
    """The path that Django would make for the view and its arguments: `/1999/` for `/01999/`."""
    match = request.resolver_match
    if match is None or not is_spelled_in_many_ways(match):
        return
    for name in (match.view_name, match.func):
        try:
            path = reverse(name, args=match.args, kwargs=match.kwargs, current_app=match.namespace)
        except (NoReverseMatch, ValueError):  # of a URLconf that Django cannot reverse at all
            continue
        prefix = get_script_prefix().removesuffix("/")
        path = unquote(path.removeprefix(prefix))
        yield path
        yield from _without_language(path)
        break
    yield from _as_the_expression_sees_it(request.path_info, match.route)


def _as_the_expression_sees_it(path: str, route: str) -> Iterator[str]:
    """A regular expression without an anchor finds its URL anywhere in a path, and one that sees no
    case finds it in any."""
    if "(?i" in route:
        yield path.lower()
    if not route.startswith("^"):
        with contextlib.suppress(re.error):
            found = re.search(route, path.removeprefix("/"))
            if found is not None and found.start():
                yield f"/{found[0]}"


def is_spelled_in_many_ways(match: ResolverMatch) -> bool:
    """Whether other paths than one lead to a view with these arguments: there are converters, or
    regular expressions, which may lack anchors or see no case."""
    return bool(match.args or match.kwargs) or any(sign in match.route for sign in "^$(\\[?+*|")


def _without_language(path: str) -> Iterator[str]:
    if settings.USE_I18N and (language := get_language_from_path(path)):
        head, _, rest = path.removeprefix("/").partition("/")
        if head.lower() == language.lower() or rest:
            yield f"/{rest}"


def _is_exempt(request: HttpRequest, view: View) -> bool:
    match = request.resolver_match
    mounted = set(match.app_names) if match is not None else set()
    return is_door(view) or bool(mounted & path_rules.EXEMPT_APPS)


def _finder(rule: Rule) -> Callable[..., Callable[[], Steps[Reference]]]:
    def find_for(*_: Any, **__: Any) -> Callable[[], Steps[Reference]]:
        def find() -> Steps[Reference]:
            return rule.resource_id
            yield  # a generator, as all steps are

        return find

    return find_for


# ---------------------------------------------------------------- What Django does otherwise


def _is_put_off(request: HttpRequest) -> bool:
    return getattr(request, "_paywall_csrf", None) is not None


def _restore_csrf(request: HttpRequest) -> None:
    if _is_put_off(request):
        have_csrf_checked(request, request._paywall_csrf)  # type: ignore[attr-defined]


def _checked(request: HttpRequest, view: View, args: Any, kwargs: Any) -> HttpResponseBase | None:
    """Nothing is sold here: Django's own check, if it was put off."""
    if not _is_put_off(request):
        return None
    _restore_csrf(request)
    return csrf_check_of(view)(request, args, kwargs)


def _sell_fallback(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase | None:
    """A flat page, which Django puts in the place of a 404, behind the rule that sells its path."""
    if response.status_code != 404 or FLATPAGES not in settings.MIDDLEWARE:
        return None
    rules: Rules = request._paywall_rules  # type: ignore[attr-defined]
    sold = (rules.find(path, str(request.method)) for path in _as_sent(request))
    rule = next(filter(None, sold), None)
    if rule is None:
        return None
    from django.contrib.flatpages.views import flatpage

    try:
        flatpage(request, request.path_info)
    except Http404:
        return None
    return sync_door(flatpage, _finder(rule))(request, request.path_info)


class _Hooks:
    """The site's own `process_exception` and `process_template_response`: Django asks them where
    it calls a view, and a view that is sold is called by the gate."""

    def __init__(self, handler: Any) -> None:
        self._handler = handler

    def exception(self, request: HttpRequest, error: Exception) -> HttpResponseBase | None:
        if self._handler is None:
            return None
        found: HttpResponseBase | None = self._handler.process_exception_by_middleware(
            error, request
        )
        return found

    def template_response(self, request: HttpRequest, response: Any) -> Any:
        """Before it is rendered; and Django shall not do it a second time afterwards."""
        if self._handler is None or not callable(getattr(response, "render", None)):
            return response
        for hook in self._handler._template_response_middleware:
            response = (async_to_sync(hook) if iscoroutinefunction(hook) else hook)(
                request, response
            )
        if callable(getattr(response, "render", None)):
            response = response.render()
            response.render = None
        return response


def _handler_of(get_response: Any) -> Any:
    """Django's handler, at the end of the chain of middleware; None where it is not found."""
    for _ in range(50):
        owner = getattr(get_response, "__self__", None)
        if hasattr(owner, "_exception_middleware"):
            return owner
        names = ("__wrapped__", "func", "awaitable", "get_response")
        inner = (getattr(get_response, name, None) for name in names)
        get_response = next((found for found in inner if found is not None), None)
        if get_response is None:
            return None
    return None
