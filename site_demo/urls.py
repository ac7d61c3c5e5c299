from django.conf import settings
from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from site_demo.magazine import views

from . import health

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="magazine:index")),
    path("articles/", include("site_demo.magazine.urls")),
    path("archive/<int:year>/<int:month>/", views.archive),
    path("api/", include("site_demo.api.urls")),
    path("paywall/", include("paywall.urls")),
    path("", include("paywall.discovery.urls")),
    path("dashboard/", include("paywall.dashboard.urls")),
    path("facilitator/", include("paywall.fleet.urls")),
    path("admin/", admin.site.urls),
    path("healthz", health.healthz),
    path("favicon.ico", RedirectView.as_view(url=f"{settings.STATIC_URL}magazine/favicon.svg")),
]
