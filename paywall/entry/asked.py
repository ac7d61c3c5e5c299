"""A request, as protocols may bind a payment to it."""

from __future__ import annotations

import base64
import hashlib
from functools import partial
from typing import TYPE_CHECKING

from django.core.exceptions import RequestDataTooBig
from django.http.request import RawPostDataException, UnreadablePostError

from paywall.vocabulary import Asked

if TYPE_CHECKING:
    from django.http import HttpRequest

LONGEST = 1024 * 1024
"""Bytes of a body that is read for its digest: a longer one the view may want to read as it
comes."""


def of(request: HttpRequest) -> Asked:
    """What it asks for. Its body is read only if some protocol binds payments to it."""
    return Asked(
        url=request.build_absolute_uri(),
        method=str(request.method),
        digest=partial(_digest, request),
        preferences=str(request.META.get("HTTP_ACCEPT_PAYMENT", "")),
    )


def _digest(request: HttpRequest) -> str:
    """Of the body; "" where there is none, or it is not to be had any more."""
    try:
        length = int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return ""
    if not 0 < length <= LONGEST:
        return ""
    try:
        body = request.body
    except (RawPostDataException, RequestDataTooBig, UnreadablePostError):
        return ""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"
