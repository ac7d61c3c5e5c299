"""The magazine's API: what the paywall looks like from a view."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator, Iterator
from itertools import cycle, islice

from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    JsonResponse,
    StreamingHttpResponse,
)
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from paywall.decorators import payment_required
from site_demo.magazine.models import Article, Job

SKIES = ["clear", "high cloud", "showers", "fog until noon", "steady rain", "a wind from the sea"]


@require_GET
def hello(request: HttpRequest) -> JsonResponse:
    """Free, and constant: the yardstick for what the gate costs."""
    return JsonResponse({"hello": "world"})


@payment_required(
    "forecast",
    price="0.01",
    title="Tomorrow's weather",
    description="A forecast for any city, for the price of looking up.",
    interface={
        "query": {"properties": {"city": {"type": "string", "maxLength": 80}}},
        "example": {"city": "Lisbon"},
        "answer": {"city": "Lisbon", "sky": "clear", "high": 21, "chance_of_rain": 0.1},
    },
)
@require_GET
def forecast(request: HttpRequest) -> JsonResponse:
    city = request.GET.get("city", "Lisbon")[:80]
    day = timezone.localdate()
    chance = hashlib.sha256(f"{city.lower()} {day}".encode()).digest()
    return JsonResponse(
        {
            "city": city,
            "day": day.isoformat(),
            "sky": SKIES[chance[0] % len(SKIES)],
            "high": 8 + chance[1] % 22,
            "low": chance[2] % 12,
            "chance_of_rain": round(chance[3] / 255, 2),
        }
    )


@payment_required(
    "report",
    price="0.25",
    title="The state of the magazine",
    description="Every article counted and weighed. Dear to produce, so it is paid first.",
    policy="before",
)
@require_GET
async def report(request: HttpRequest) -> JsonResponse:
    """An async view: the same decorator, the same rules."""
    articles = [
        {"title": article.title, "words": len(article.body.split())}
        async for article in Article.objects.all()
    ]
    return JsonResponse(
        {
            "as_of": timezone.now().isoformat(),
            "articles": articles,
            "words": sum(article["words"] for article in articles),
        }
    )


@payment_required(
    "ticker",
    price="0.001",
    title="The ticker",
    description="The price of bread by the second. Cheap: served first and settled later.",
    policy="background",
)
@require_GET
def ticker(request: HttpRequest) -> JsonResponse:
    now = timezone.now()
    pence = hashlib.sha256(f"{now:%H%M%S}".encode()).digest()[0]
    return JsonResponse({"at": now.isoformat(), "loaf": f"{2 + pence / 1000:.3f}"})


@payment_required(
    "tokens",
    price="0.05",
    title="Words by the piece",
    description="Words of the magazine's own prose: $0.0001 each, $0.05 at most.",
    by_use=True,
    interface={
        "query": {"properties": {"n": {"type": "integer", "minimum": 0}}},
        "example": {"n": 123},
        "answer": {"n": 3, "words": "a loaf, and"},
    },
)
@require_GET
def tokens(request: HttpRequest) -> HttpResponse:
    """Charged by use: what was made is paid, and it ends where the most is reached."""
    wanted = number_of_words(request)
    if wanted is None:
        return JsonResponse({"error": "n is a number of words."}, status=400)
    made = islice(prose(), wanted)
    words = list(request.paywall.meter(made, each="0.0001"))  # type: ignore[attr-defined]
    return JsonResponse({"n": len(words), "words": " ".join(words)})


@payment_required(
    "dictation",
    price="0.05",
    title="A dictation",
    description="The same, word by word as it is made: who hangs up pays what went out.",
    mime_type="text/plain",
    policy="background",
    by_use=True,
)
@require_GET
async def dictation(request: HttpRequest) -> HttpResponseBase:
    """A stream, counted as it goes out."""
    wanted = number_of_words(request)
    if wanted is None:
        return JsonResponse({"error": "n is a number of words."}, status=400)

    async def spoken() -> AsyncIterator[str]:
        for word in islice(prose(), wanted):
            await asyncio.sleep(0.05)
            yield f"{word}\n"

    counted = request.paywall.meter(spoken(), each="0.0001")  # type: ignore[attr-defined]
    return StreamingHttpResponse(counted, content_type="text/plain; charset=utf-8")


def number_of_words(request: HttpRequest) -> int | None:
    wanted = request.GET.get("n", "100")
    is_number = wanted.isdecimal() and wanted.isascii() and len(wanted) < 8
    return int(wanted) if is_number else None


def prose() -> Iterator[str]:
    """Words without end: what a language model would be asked for."""
    yield from cycle("a loaf, and what it costs by the second, and the weather".split())  # noqa: SIM905


@payment_required(
    "broken",
    price="0.01",
    title="A broken thing",
    description="Fails every time, and so is never charged for.",
)
@require_GET
def broken(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"error": "This view always fails."}, status=500)


@payment_required(
    "jobs",
    price="0.05",
    title="A place in the queue",
    description="Hands in a piece of work and answers where to ask for it.",
    interface={
        "body": {"type": "object"},
        "example": {"work": "Count the loaves."},
        "answer": {"id": "7e57ed00-0000-4000-8000-000000000000", "state": "queued"},
    },
)
@require_POST
def jobs(request: HttpRequest) -> JsonResponse:
    handed_in = Job.objects.create(body=request.body[:10_000].decode(errors="replace"))
    response = JsonResponse({"id": str(handed_in.pk), "state": "queued"}, status=201)
    response.headers["Location"] = reverse("api:job", args=[handed_in.pk])
    return response


@require_GET
def job(request: HttpRequest, job_id: uuid.UUID) -> JsonResponse:
    """Free: whoever paid for the job knows its id."""
    found = Job.objects.filter(pk=job_id).first()
    if found is None:
        raise Http404("There is no such job.")
    return JsonResponse({"id": str(found.pk), "state": "queued", "since": found.created_at})
