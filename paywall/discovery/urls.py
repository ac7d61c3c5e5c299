"""What programs look for at the root of a site:

path("", include("paywall.discovery.urls"))
"""

from django.urls import path

from . import views

app_name = "paywall_discovery"

urlpatterns = [
    path(".well-known/x402", views.x402, name="x402"),
    path("openapi.json", views.openapi, name="openapi"),
    path("llms.txt", views.llms, name="llms"),
    path("robots.txt", views.robots, name="robots"),
    path("license.xml", views.license_document, name="license"),
    path("discovery/resources", views.resources, name="resources"),
]
