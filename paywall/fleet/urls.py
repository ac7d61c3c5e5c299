"""`path("facilitator/", include("paywall.fleet.urls"))`"""

from django.urls import path

from paywall.facilitator_server import views

app_name = "paywall_fleet"

urlpatterns = [
    path("verify", views.verify, name="verify"),
    path("settle", views.settle, name="settle"),
    path("supported", views.supported, name="supported"),
]
