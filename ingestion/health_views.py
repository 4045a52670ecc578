"""/health and /metrics: for people, orchestrators and Prometheus. They answer whatever is down, and soon."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import Error
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from assets.reading import ErrorsInJson, Reading, id_of
from ingestion import examples, metrics
from ingestion.health import HEALTHY, UNHEALTHY, Health, details, health, migrated
from ingestion.reach import database_trouble
from ingestion.serializers import HealthSerializer

ANSWERS = ((200, HealthSerializer, "It serves."), (503, HealthSerializer, "It can't serve: the database is away."))


def shown(found: Health, request: Request) -> dict[str, Any]:
    return {
        "status": found.status,
        "database": found.database,
        "broker": found.broker,
        "etl": found.etl,
        "reasons": found.reasons,
        "timestamp": found.timestamp,
        "request_id": id_of(request),
    }


def said(content: dict[str, Any], serves: bool) -> Response:
    return Response(content, 200 if serves else 503, headers={"Cache-Control": "no-store"})


class HealthView(Reading):
    """How it is: database, broker and etl, with a reason for each trouble. 503 only when it can't serve."""

    scope = None
    tag = "health"
    summary = "Health"
    answers = ANSWERS
    examples: ClassVar = {"All is well": examples.HEALTH}

    def get(self, request: Request) -> Response:
        self.asked(request)
        found = health()
        return said(shown(found, request), found.status != UNHEALTHY)


class HealthLive(Reading):
    """Whether the process answers; asks no server."""

    scope = None
    tag = "health"
    summary = "Alive"
    examples: ClassVar = {"Alive": {"status": "healthy"}}
    answers = ((200, OpenApiTypes.OBJECT, "It answers."),)

    def get(self, request: Request) -> Response:
        self.asked(request)
        return said({"status": HEALTHY}, True)


class HealthReady(Reading):
    """Whether it can serve: PostgreSQL answers and the tables are there."""

    scope = None
    tag = "health"
    summary = "Ready to serve"
    examples: ClassVar = {"Ready": {"status": "healthy", "reasons": []}}
    answers = ((200, OpenApiTypes.OBJECT, "It can serve."), (503, OpenApiTypes.OBJECT, "It can't, and why."))

    def get(self, request: Request) -> Response:
        self.asked(request)
        trouble = database_trouble()
        if not trouble:
            try:
                trouble = "" if migrated() else "The tables are missing: run `manage.py migrate`."
            except Error:
                trouble = "PostgreSQL can't answer."
        return said({"status": UNHEALTHY if trouble else HEALTHY, "reasons": [trouble] if trouble else []}, not trouble)


class HealthDetailed(Reading):
    """Health with workers, queue depth, beat's last tick, each source's freshness, disk and versions."""

    tag = "health"
    summary = "Health in detail"
    answers = ((200, OpenApiTypes.OBJECT, "It serves."), (503, OpenApiTypes.OBJECT, "The database is away."))
    examples: ClassVar = {"All is well": examples.HEALTH_DETAILED}

    def get(self, request: Request) -> Response:
        self.asked(request)
        found = health()
        return said({**shown(found, request), **details(found)}, found.status != UNHEALTHY)


class PlainText(BaseRenderer):
    """Names what Prometheus reads, which is written elsewhere."""

    media_type = "text/plain"
    format = "text"
    charset = "utf-8"


class Metrics(ErrorsInJson, Reading):
    """Figures for Prometheus, worked out from PostgreSQL and Redis when asked."""

    scope = None
    tag = "health"
    renderer_classes = (PlainText,)
    answers = ((200, OpenApiTypes.STR, "Prometheus's text format."),)

    def get(self, request: Request) -> HttpResponse:
        self.asked(request)
        return HttpResponse(
            metrics.exposition(), content_type=CONTENT_TYPE_LATEST, headers={"Cache-Control": "no-store"}
        )
