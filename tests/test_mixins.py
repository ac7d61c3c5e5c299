"""Class-based views that are sold by `PaymentRequiredMixin`."""

from __future__ import annotations

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.contrib.auth.mixins import LoginRequiredMixin
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.test import AsyncClient, Client
from django.urls import path
from django.views.generic import DetailView, View

from paywall.catalog import declarations, places
from paywall.middleware import PaywallMiddleware
from paywall.mixins import PaymentRequiredMixin
from paywall.models import Payment, Resource
from site_demo.magazine.models import Article
from tests.helpers import code

pytestmark = [pytest.mark.django_db, pytest.mark.urlconf("tests.test_mixins")]


class Plain(PaymentRequiredMixin, View):
    paywall_resource = "item"

    def get(self, request: HttpRequest) -> HttpResponse:
        return JsonResponse({"sold": "item"})

    post = get


class Later(PaymentRequiredMixin, View):
    paywall_resource = "item"

    async def get(self, request: HttpRequest) -> HttpResponse:
        return JsonResponse({"sold": "item"})


class ForMembers(LoginRequiredMixin, Plain):
    login_url = "/login/"


class Read(PaymentRequiredMixin, DetailView):  # type: ignore[type-arg]
    model = Article
    template_name = "magazine/article.html"
    paywall_teaser = "teaser.html"

    def get_paywall_resource(self) -> Article:
        return self.get_object()

    def get_paywall_teaser(self) -> str:
        return f"{self.kwargs['slug']} begins so"

    def render_to_response(self, context: object, **_: object) -> HttpResponse:
        return HttpResponse(self.object.body)


class FoundLater(PaymentRequiredMixin, View):
    async def get_paywall_resource(self) -> Resource:
        return await Resource.objects.aget(slug=self.kwargs["slug"])

    async def get(self, request: HttpRequest, slug: str) -> HttpResponse:
        return JsonResponse({"sold": slug})


class Nothing(PaymentRequiredMixin, View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("given away")


urlpatterns = [
    path("plain/", Plain.as_view()),
    path("later/", Later.as_view()),
    path("members/", ForMembers.as_view()),
    path("read/<slug:slug>/", Read.as_view()),
    path("found/<slug:slug>/", FoundLater.as_view()),
    path("nothing/", Nothing.as_view()),
    path("named/", Plain.as_view(paywall_resource="declared")),
]


def pays(client, buyer, where):
    return client.get(where, headers=buyer.pays(client.get(where)))


@pytest.mark.parametrize("where", ["/plain/", "/later/", "/found/item/"])
def test_it_is_sold(item, buyer, facilitator, where):
    client = Client()
    assert client.get(where).status_code == 402
    assert pays(client, buyer, where).json() == {"sold": "item"}
    assert Payment.objects.get().state == "settled"


@pytest.mark.parametrize("where", ["/plain/", "/later/", "/found/item/"])
def test_on_an_event_loop(item, buyer, facilitator, where):
    ask = async_to_sync(AsyncClient().get)
    assert ask(where, headers=buyer.pays(ask(where))).status_code == 200


def test_a_program_posts_without_a_csrf_token(item, buyer, facilitator):
    client = Client(enforce_csrf_checks=True)
    paying = buyer.pays(client.post("/plain/"))
    assert client.post("/plain/", headers=paying).status_code == 200


def test_mixins_to_its_left_go_first(item, buyer, facilitator):
    client = Client()
    sent = client.get("/members/")
    assert (sent.status_code, sent["Location"]) == (302, "/login/?next=/members/")
    client.force_login(get_user_model().objects.create_user("member"))
    assert pays(client, buyer, "/members/").status_code == 200


def test_each_object_has_its_price(account, buyer, facilitator):
    article = Article.objects.create(slug="soup", title="Soup", teaser="Slow.", body="All of it.")
    article.sell("0.10", slug="article-soup")
    client = Client()
    page = client.get("/read/soup/", headers={"Accept": "text/html"})
    assert page.status_code == 402
    assert "soup begins so" in page.content.decode()
    assert pays(client, buyer, "/read/soup/").content == b"All of it."
    assert client.get("/read/none/").status_code == 404


def test_who_names_nothing_gives_nothing_away(item):
    with pytest.raises(ImproperlyConfigured, match="Nothing"):
        Client().get("/nothing/")


def test_a_url_may_name_another_one(item, buyer, facilitator):
    Resource.objects.filter(slug="declared").delete()
    assert Client().get("/named/").status_code == 503


def test_what_a_class_declares_is_declared(item, monkeypatch):
    monkeypatch.setattr(declarations, "_declared", dict(declarations._declared))

    class Declared(Plain):
        paywall_resource = "by-class"
        paywall_declaration = {"price": "0.25", "title": "By class", "policy": "before"}

    Declared.as_view()
    (found,) = [one for one in declarations.declared() if one.slug == "by-class"]
    assert (str(found.price), found.fields["policy"]) == ("0.25", "before")


def test_it_is_known_where_it_is_sold(item):
    found = places.of_views(item)
    assert {path for path, _ in found} >= {"/plain/", "/later/", "/members/"}


def test_a_path_rule_does_not_sell_it_again(item, make_resource, buyer, facilitator, settings):
    make_resource("all", price="1.00", path="/**")
    name = f"{PaywallMiddleware.__module__}.{PaywallMiddleware.__qualname__}"
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, *([] if name in settings.MIDDLEWARE else [name])]
    response = pays(Client(), buyer, "/plain/")
    assert response.status_code == 200, code(response)
    assert Payment.objects.get().resource == item
