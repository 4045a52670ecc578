from django.apps import AppConfig


class CryptoetlConfig(AppConfig):
    name = "cryptoetl"

    def ready(self) -> None:
        # Makes the Celery app the current one, so that a task sent from the web or a command finds its broker.
        import cryptoetl.celery  # noqa: F401
