from django.apps import AppConfig
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate


class AssetsConfig(AppConfig):
    name = "assets"
    verbose_name = "Assets"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from assets import reader
        from assets.restored import settle

        connection_created.connect(reader.watch, dispatch_uid="assets.reader")
        post_migrate.connect(settle, sender=self, dispatch_uid="assets.restored.settle")
