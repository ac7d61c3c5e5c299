from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from . import health

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="magazine:index")),
    path("articles/", include("site_demo.magazine.urls")),
    path("api/", include("site_demo.api.urls")),
    path("paywall/", include("paywall.urls")),
    path("dashboard/", include("paywall.dashboard.urls")),
    path("facilitator/", include("paywall.fleet.urls")),
    path("admin/", admin.site.urls),
    path("healthz", health.healthz),
]
