"""Structured logs: JSON for machines, a line for people; every line carries the request, run and source it is about.

No secret leaves this process in a log: keys travel in headers alone, and what slips into a text is cut here.
"""

from __future__ import annotations

import logging
import logging.config
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import orjson
import structlog

from ingestion.redaction import redact


def presentable(text: str) -> str:
    """The text without any secret that this process knows: for what is kept of an error that is not a source's."""
    from django.conf import settings

    return redact(text, settings.SECRETS)


def about(**names: object) -> AbstractContextManager[object]:
    """Within it, every log line carries these names (run_id, source, request_id)."""
    return structlog.contextvars.bound_contextvars(**names)


def configure(config: Mapping[str, Any]) -> None:
    """Django's LOGGING_CONFIG: one handler on stderr for everything, through structlog's formatter."""
    secrets: tuple[str, ...] = config["secrets"]

    def cut_secrets(_: object, __: str, event: dict[str, Any]) -> dict[str, Any]:
        return {key: redact(value, secrets) if isinstance(value, str) else value for key, value in event.items()}

    def spare(_: object, __: str, event: dict[str, Any]) -> dict[str, Any]:
        # A strange Host, a request too large: its sender's mistake, and a line says it all.
        if str(event.get("logger", "")).startswith("django.security."):
            event.pop("exc_info", None)
        return event

    def to_json(_: object, __: str, event: dict[str, Any]) -> str:
        return orjson.dumps(event, default=str).decode()

    def rendered(logger: Any, name: str, event: dict[str, Any]) -> str:
        # Once more: what is inside of lists, and what the renderer itself writes down of an exception.
        return redact(last(logger, name, event), secrets)

    console = config["format"] == "console"
    last: Any = (
        structlog.dev.ConsoleRenderer(
            colors=False,
            # The other formatters show local variables, and with them what must not be shown.
            exception_formatter=structlog.dev.plain_traceback,
        )
        if console
        else to_json
    )
    exception = [] if console else [structlog.processors.format_exc_info]
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        spare,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    logging.captureWarnings(True)
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "structured": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "foreign_pre_chain": shared,
                    "processors": [
                        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                        *exception,
                        cut_secrets,
                        rendered,
                    ],
                }
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
            "root": {"handlers": ["stderr"], "level": config["level"]},
            "loggers": {
                "celery.app.trace": {"level": max(config["level"], logging.WARNING)},
                "celery.worker.strategy": {"level": max(config["level"], logging.WARNING)},
                "celery.beat": {"level": max(config["level"], logging.WARNING)},
                "django_celery_beat": {"level": max(config["level"], logging.WARNING)},
                "django.request": {"level": logging.ERROR},
                "kombu": {"level": logging.WARNING},
                "urllib3": {"level": logging.WARNING},
            },
        }
    )
