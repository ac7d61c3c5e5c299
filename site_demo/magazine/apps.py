from django.apps import AppConfig


class MagazineConfig(AppConfig):
    name = "site_demo.magazine"
    label = "magazine"

    def ready(self) -> None:
        from site_demo import celery  # noqa: F401 - so that tasks of this site go to its broker
