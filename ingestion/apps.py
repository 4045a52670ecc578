from django.apps import AppConfig
from django.db.models.signals import post_migrate


class IngestionConfig(AppConfig):
    name = "ingestion"
    verbose_name = "Ingestion"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from assets.reader import install_role
        from ingestion.registry import install_sources

        post_migrate.connect(install_sources, sender=self, dispatch_uid="ingestion.install_sources")
        # The last of our apps: every table is there by then.
        post_migrate.connect(install_role, sender=self, dispatch_uid="assets.install_role")
