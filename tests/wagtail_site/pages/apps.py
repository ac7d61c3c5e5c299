from django.apps import AppConfig


class PagesConfig(AppConfig):
    name = "tests.wagtail_site.pages"
    label = "wagtail_pages"
