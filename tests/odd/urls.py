from django.conf.urls.i18n import i18n_patterns
from django.contrib import admin
from django.urls import include, path, re_path

from . import views


def slug(name: str) -> str:
    return name.replace(" ", "-")


archive = [path("<int:year>/<int:month>/", views.function, name="month")]

urlpatterns = [
    path("admin/", admin.site.urls),
    path("paywall/", include("paywall.urls")),
    *(path(f"plain/{slug(name)}/", view) for name, view in views.PLAIN.items()),
    *(path(f"sold/{slug(name)}/", view) for name, view in views.DECORATED.items()),
    path("sold/", include(views.router.urls)),
    path("sold/api/", views.api.urls),
    path("plain/raising/", views.raising),
    path("plain/async-raising/", views.araising),
    path("sold/members/", views.members),
    path("sold/tagged/", views.tagged),
    path("sold/elsewhere/", views.elsewhere),
    path("sold/cached/", views.cached),
    path("archive/", include(archive)),
    path("space/", include((archive, "space"))),
    re_path(r"^loose/secret", views.function, name="loose"),
    re_path(r"open/secret/$", views.function, name="open"),
    re_path(r"^(?:one|two)/secret/$", views.function),
    *i18n_patterns(path("local/secret/", views.function, name="local")),
]
