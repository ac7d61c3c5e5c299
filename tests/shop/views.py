"""Views that tests sell. What they did is counted in `CALLS`."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import AsyncIterator, Iterator

from django.http import (
    FileResponse,
    Http404,
    HttpRequest,
    HttpResponse,
    JsonResponse,
    StreamingHttpResponse,
)
from django.template.response import TemplateResponse
from django.views.decorators.csrf import csrf_exempt

from paywall.decorators import payment_required
from paywall.models import Resource

CALLS: Counter[str] = Counter()


def _resource(request: HttpRequest, slug: str) -> Resource:
    try:
        return Resource.objects.get(slug=slug)
    except Resource.DoesNotExist:
        raise Http404 from None


@payment_required("item")
def item(request: HttpRequest) -> HttpResponse:
    CALLS["item"] += 1
    return JsonResponse({"sold": "item", "query": request.GET.dict()})


@payment_required("item")
async def async_item(request: HttpRequest) -> HttpResponse:
    CALLS["item"] += 1
    return JsonResponse({"sold": "item", "query": request.GET.dict()})


@payment_required(_resource)
def by_object(request: HttpRequest, slug: str) -> HttpResponse:
    CALLS[slug] += 1
    return JsonResponse({"sold": slug})


@payment_required("item")
def failing(request: HttpRequest) -> HttpResponse:
    CALLS["failing"] += 1
    return JsonResponse({"error": "no"}, status=int(request.GET.get("status", "500")))


@payment_required("item")
def raising(request: HttpRequest) -> HttpResponse:
    CALLS["raising"] += 1
    raise RuntimeError("the view broke")


@payment_required("item")
async def async_raising(request: HttpRequest) -> HttpResponse:
    CALLS["raising"] += 1
    raise RuntimeError("the view broke")


@payment_required("item")
def missing(request: HttpRequest) -> HttpResponse:
    raise Http404("not here")


@payment_required("metered")
def metered(request: HttpRequest) -> HttpResponse:
    CALLS["metered"] += 1
    for amount in request.GET.getlist("use"):
        request.paywall.charge(amount)
    status = int(request.GET.get("status", "200"))
    return JsonResponse({"left": str(request.paywall.left)}, status=status)


@payment_required("metered")
async def async_metered(request: HttpRequest) -> HttpResponse:
    return metered.paywall_view(request)


def _parts(request: HttpRequest) -> Iterator[bytes]:
    for number in range(int(request.GET.get("n", "3"))):
        CALLS["parts"] += 1
        yield b"%d " % number
    if "broken" in request.GET:
        raise RuntimeError("the stream broke")


@payment_required("metered")
def stream(request: HttpRequest) -> StreamingHttpResponse:
    parts = request.paywall.meter(_parts(request), each="0.01")
    return StreamingHttpResponse(parts)


@payment_required("metered")
async def async_stream(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncIterator[bytes]:
        for part in _parts(request):
            yield part

    metered_ = request.paywall.meter(parts(), each="0.01")
    return StreamingHttpResponse(metered_)


@payment_required("item")
def created(request: HttpRequest) -> HttpResponse:
    CALLS["created"] += 1
    response = JsonResponse({"id": 7}, status=201)
    response.headers["Location"] = "/made/7/"
    response.headers["Link"] = '</made/>; rel="up"'
    response.headers["Cache-Control"] = "public, max-age=60"
    return response


@payment_required("item")
def streaming(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(part for part in (b"one ", b"two ", b"three"))


class Watched(io.BytesIO):
    """A file that tells whether it was closed."""

    instances: list[Watched] = []

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.instances.append(self)


@payment_required("item")
def file(request: HttpRequest) -> FileResponse:
    return FileResponse(Watched(b"a file"), filename="a.txt")


@payment_required("item")
def template(request: HttpRequest) -> TemplateResponse:
    return TemplateResponse(request, "item.html", {"name": request.GET.get("name", "x")})


@payment_required("item")
def broken_template(request: HttpRequest) -> TemplateResponse:
    return TemplateResponse(request, "no-such-template.html")


@payment_required("item")
def nothing(request: HttpRequest) -> HttpResponse:
    return None  # type: ignore[return-value]


@payment_required("item")
def writing(request: HttpRequest) -> HttpResponse:
    """Writes to the database, then does as it is told."""
    from django.contrib.auth.models import Group

    Group.objects.create(name="made by the view")
    if request.GET.get("raise"):
        raise RuntimeError("the view broke")
    return HttpResponse("written")


@csrf_exempt
@payment_required("item")
def exempt(request: HttpRequest) -> HttpResponse:
    return HttpResponse("in")


@payment_required("absent")
def absent(request: HttpRequest) -> HttpResponse:
    CALLS["absent"] += 1
    return HttpResponse("secret")


@payment_required("declared", price="0.03", title="Declared in code", policy="before")
def declared(request: HttpRequest) -> HttpResponse:
    return HttpResponse("declared")


def free(request):
    """No decorator sells it; a path rule may."""
    CALLS["free"] += 1
    return HttpResponse("free for all")


async def async_free(request):
    CALLS["free"] += 1
    return HttpResponse("free for all")


def broken(request):
    return HttpResponse("it broke", status=500)
