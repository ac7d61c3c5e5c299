from django.urls import path

from . import views

app_name = "magazine"

urlpatterns = [
    path("", views.index, name="index"),
    path("in-part/<slug:slug>/", views.in_part, name="in_part"),
    path("<slug:slug>/", views.article, name="article"),
]
