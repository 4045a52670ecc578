from django.apps import AppConfig


class CryptoetlConfig(AppConfig):
    name = "cryptoetl"

    def ready(self) -> None:
        # Makes the Celery app the current one in every process, so that a task sent from web or a command finds its broker.
        import cryptoetl.celery  # noqa: F401
