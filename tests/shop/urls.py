from django.contrib import admin
from django.urls import include, path

from . import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("paywall/", include("paywall.urls")),
    path("", include("paywall.discovery.urls")),
    path("dashboard/", include("paywall.dashboard.urls")),
    path("articles/", include("site_demo.magazine.urls")),
    path("api/", include("site_demo.api.urls")),
    path("free/sync/", views.free),
    path("free/async/", views.async_free),
    path("free/post/", views.free),
    path("free/broken/", views.broken),
    path("item/", views.item),
    path("async-item/", views.async_item),
    path("failing/", views.failing),
    path("raising/", views.raising),
    path("async-raising/", views.async_raising),
    path("missing/", views.missing),
    path("created/", views.created),
    path("metered/", views.metered),
    path("async-metered/", views.async_metered),
    path("stream/", views.stream),
    path("async-stream/", views.async_stream),
    path("streaming/", views.streaming),
    path("file/", views.file),
    path("template/", views.template),
    path("broken-template/", views.broken_template),
    path("nothing/", views.nothing),
    path("writing/", views.writing),
    path("exempt/", views.exempt),
    path("absent/", views.absent),
    path("declared/", views.declared),
    path("by-object/<slug:slug>/", views.by_object),
]
