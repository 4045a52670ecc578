from django.apps import AppConfig
from django.db.backends.signals import connection_created


class AssetsConfig(AppConfig):
    name = "assets"
    verbose_name = "Assets"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from assets import reader

        connection_created.connect(reader.watch, dispatch_uid="assets.reader")
