"""What the admin's first page lists, and in which order."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.test import RequestFactory

from paywall.admin.index import ROOMS

pytestmark = pytest.mark.django_db


def shown(user):
    request = RequestFactory().get("/admin/")
    request.user = user
    rooms = [app for app in admin.site.get_app_list(request) if app["app_label"] == "paywall"]
    return {str(room["name"]): [model["object_name"] for model in room["models"]] for room in rooms}


def test_the_dashboard_is_first_and_the_engine_room_last(admin_user):
    rooms = shown(admin_user)
    assert list(rooms) == ["Paywall", "Paywall: money", "Paywall: engine room"]
    assert rooms["Paywall"][:2] == ["Dashboard", "Resource"]
    assert "Cursor" in rooms["Paywall: engine room"]


def test_every_model_of_the_desk_has_its_place(admin_user):
    placed = {name for _, names in ROOMS for name in names}
    assert {name for models in shown(admin_user).values() for name in models} == placed


def test_who_sets_prices_sees_no_engine_room():
    editor = User.objects.create_user("editor", is_staff=True)
    editor.groups.add(Group.objects.get(name="Paywall price editors"))
    assert list(shown(editor)) == ["Paywall", "Paywall: money"]


def test_the_apps_page_and_the_sidebar_show_them_too(admin_client):
    for path in ("/admin/", "/admin/paywall/", "/admin/paywall/resource/"):
        page = admin_client.get(path).content.decode()
        assert page.index("Paywall: money") < page.index("Paywall: engine room"), path


def test_other_apps_are_left_as_they_are(admin_user):
    request = RequestFactory().get("/admin/")
    request.user = admin_user
    others = [app["app_label"] for app in admin.site.get_app_list(request)]
    assert "auth" in others
