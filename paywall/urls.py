"""What the paywall serves itself; mount it anywhere:

path("paywall/", include("paywall.urls"))
"""

from django.urls import path

from . import views

app_name = "paywall"

urlpatterns = [
    path("receipts/<str:public_id>/", views.receipt, name="receipt"),
    path("purchases/", views.purchases, name="purchases"),
    path("health/", views.health, name="health"),
    path("metrics/", views.prometheus, name="metrics"),
]
