"""A URLconf that Django cannot reverse: then it cannot say how a URL is usually spelled."""

from django.urls import re_path

from . import views

urlpatterns = [re_path(r"(?i)^case/secret/$", views.function, name="case")]
