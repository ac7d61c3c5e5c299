"""Views as sites have them: functions, classes, streams, templates; async; DRF and Ninja."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import cache_page
from django.views.decorators.http import etag
from ninja import NinjaAPI
from ninja.decorators import decorate_view
from rest_framework.decorators import action, api_view
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from paywall.decorators import payment_required

SECRET = "what was paid for"


def function(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    return HttpResponse(SECRET)


async def afunction(request: HttpRequest, **kwargs: Any) -> HttpResponse:
    return HttpResponse(SECRET)


class Class(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(SECRET)


class AClass(View):
    async def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(SECRET)


def streaming(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(iter([SECRET[:5], SECRET[5:]]))


def template(request: HttpRequest) -> TemplateResponse:
    return TemplateResponse(request, "item.html", {"name": SECRET})


def raising(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("the view broke")


async def araising(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("the view broke")


@api_view(["GET"])
def drf_function(request: Request) -> Response:
    return Response({"sold": SECRET})


class DrfClass(APIView):  # type: ignore[misc,unused-ignore]
    def get(self, request: Request) -> Response:
        return Response({"sold": SECRET})


PLAIN = {
    "function": function,
    "async function": afunction,
    "class": Class.as_view(),
    "async class": AClass.as_view(),
    "streaming": streaming,
    "template": template,
    "drf function": drf_function,
    "drf class": DrfClass.as_view(),
}
"""Views that know nothing of money."""

# ------------------------------------------------------------------ Sold by the decorator

sold = payment_required("item")


@method_decorator(sold, name="dispatch")
class Dispatch(Class): ...


@method_decorator(sold, name="dispatch")
class ADispatch(AClass): ...


class Method(View):
    @sold
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(SECRET)


class AMethod(View):
    @sold
    async def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(SECRET)


@api_view(["GET", "POST"])
@sold
def drf_below(request: Request) -> Response:
    if request.query_params.get("missing"):
        raise NotFound
    return Response({"sold": SECRET})


class DrfMethod(APIView):  # type: ignore[misc,unused-ignore]
    @sold
    def get(self, request: Request) -> Response:
        return Response({"sold": SECRET})


class DrfSet(ViewSet):  # type: ignore[misc,unused-ignore]
    @sold
    def list(self, request: Request) -> Response:
        return Response({"sold": SECRET})

    @action(detail=True)
    @sold
    def one(self, request: Request, pk: str) -> Response:
        return Response({"sold": SECRET, "pk": pk})


api = NinjaAPI(urls_namespace="odd-api")


@api.get("/operation/{number}")
@decorate_view(sold)
def operation(request: HttpRequest, number: int) -> dict[str, Any]:
    return {"sold": SECRET, "number": number}


@api.get("/async-operation/")
@decorate_view(sold)
async def aoperation(request: HttpRequest) -> dict[str, Any]:
    return {"sold": SECRET}


router = SimpleRouter()
router.register("set", DrfSet, basename="set")

DECORATED = {
    **{name: sold(view) for name, view in PLAIN.items()},
    "dispatch": Dispatch.as_view(),
    "async dispatch": ADispatch.as_view(),
    "method": Method.as_view(),
    "async method": AMethod.as_view(),
    "drf below": drf_below,
    "drf method": DrfMethod.as_view(),
}


@sold
@login_required
def members(request: HttpRequest) -> HttpResponse:
    return HttpResponse(SECRET)


@sold
@etag(lambda request: '"v1"')
def tagged(request: HttpRequest) -> HttpResponse:
    return HttpResponse(SECRET)


@sold
def elsewhere(request: HttpRequest) -> HttpResponse:
    """A presigned address: the redirect is what was bought."""
    return HttpResponseRedirect(request.GET.get("to", "https://cdn.example/file?signature=1"))


@sold
@cache_page(60)
def cached(request: HttpRequest) -> HttpResponse:
    return HttpResponse(SECRET)
