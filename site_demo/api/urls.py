from django.urls import path

from . import views

app_name = "api"

urlpatterns = [
    path("hello/", views.hello, name="hello"),
    path("forecast/", views.forecast, name="forecast"),
    path("report/", views.report, name="report"),
    path("ticker/", views.ticker, name="ticker"),
    path("tokens/", views.tokens, name="tokens"),
    path("dictation/", views.dictation, name="dictation"),
    path("broken/", views.broken, name="broken"),
    path("jobs/", views.jobs, name="jobs"),
    path("jobs/<uuid:job_id>/", views.job, name="job"),
]
