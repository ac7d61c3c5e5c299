from django.apps import AppConfig


class MagazineConfig(AppConfig):
    name = "site_demo.magazine"
    label = "magazine"
