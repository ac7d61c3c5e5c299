"""The dashboard, to be mounted anywhere; the admin has it under Paywall > Dashboard."""

from django.urls import path

from . import doctor, exports, live, pages, receipts, visitors

app_name = "paywall_dashboard"

urlpatterns = [
    path("", pages.index, name="index"),
    path("receipts/", receipts.index, name="receipts"),
    path("receipts/<int:pk>/", receipts.receipt, name="receipt"),
    path("receipts/<int:pk>/<str:action>/", receipts.act, name="act"),
    path("doctor/", doctor.index, name="doctor"),
    path("live/", live.index, name="live"),
    path("visitors/", visitors.index, name="visitors"),
    path("seen/", pages.seen, name="seen"),
    path("exports/", exports.index, name="exports"),
    path("exports/<int:pk>/", exports.progress, name="export"),
    path("exports/<int:pk>/file/", exports.download, name="download"),
]
