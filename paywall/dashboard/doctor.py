"""What the doctor found when it looked last, and the button that has it look now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.exceptions import PermissionDenied
from django.http import HttpResponseRedirect
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods

from paywall.reports import doctor

from .shell import page, staff_only, url

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

MAY_LOOK = "paywall.add_examination"


@require_http_methods(["GET", "HEAD", "POST"])
@staff_only("paywall.view_dashboard")
def index(request: HttpRequest) -> HttpResponseBase:
    """A POST has it look: it asks everybody who takes part, which may take some seconds."""
    may_look = request.user.has_perm(MAY_LOOK)
    if request.method == "POST":
        if not may_look:
            raise PermissionDenied
        doctor.keep(list(doctor.examine()), by=request.user)
        return HttpResponseRedirect(request.path)
    last = doctor.last()
    context = {
        "title": _("Doctor"),
        "last": last,
        "may_look": may_look,
        "dashboard_url": url(request, "index"),
    }
    return page(request, "doctor.html", context)
