"""GET /: what this is and where everything is; for a browser, how it stands at a glance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from django.template.loader import render_to_string
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from assets.models import Asset, Event
from assets.reading import Reading, id_of
from assets.renderers import JSONRenderer
from assets.tables import source_label
from cryptoetl.cases import cases
from cryptoetl.examples import HOME
from cryptoetl.serializers import HomeSerializer
from ingestion.health import UNHEALTHY, Health, health
from ingestion.models import Run
from ingestion.standing import Tally, tallies

LINKS = {
    "data": "/data",
    "data_summary": "/data/summary",
    "assets": "/assets",
    "health": "/health",
    "health_detailed": "/health/detailed",
    "stats": "/stats",
    "runs": "/stats/runs",
    "performance": "/stats/performance",
    "events": "/stats/events",
    "drift": "/stats/drift",
    "anomalies": "/stats/anomalies",
    "docs": "/docs",
    "redoc": "/redoc",
    "schema": "/schema",
    "metrics": "/metrics",
    "admin": "/admin/",
}
TOP = 12
EVENTS = 10


class HomePage(BaseRenderer):
    """The same for a person."""

    media_type = "text/html"
    format = "html"
    charset = "utf-8"

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> str:
        request = renderer_context["request"]
        found = getattr(request._request, "health", None)
        if found is None:
            context: dict[str, Any] = {"error": data.get("error")}
        else:
            context = glance(found)
        context |= {"demo": settings.DEMO, "version": settings.VERSION}
        return render_to_string("cryptoetl/home.html", context, request=request._request)


def glance(found: Health) -> dict[str, Any]:
    """What the page shows; without the database, only that."""
    context: dict[str, Any] = {
        "health": found,
        "parts": [("database", found.database), ("broker", found.broker), ("etl", found.etl)],
    }
    if found.status == UNHEALTHY:
        return context
    try:
        return context | numbers(found)
    except (OperationalError, InterfaceError):
        # It went away since it was asked for its health.
        return context


def numbers(found: Health) -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT source_id, sum(quotes)::bigint FROM assets_tally GROUP BY source_id")
        rows = dict(cursor.fetchall())
        cursor.execute(
            """SELECT count(*), sum(market_cap), count(*) FILTER (WHERE quotes_count > 1),
                      count(*) FILTER (WHERE agreement = 'disagree') FROM assets_asset"""
        )
        assets, cap, shared, disagreeing = cursor.fetchone()
        cursor.execute("SELECT slug, id FROM assets_source")
        ids: Mapping[str, int] = dict(cursor.fetchall())
    done = tallies()
    active = set(Run.objects.filter(status__in=Run.ACTIVE).values_list("source__slug", flat=True))
    return {
        "sources": [
            {
                "standing": one,
                "label": source_label(one.slug),
                "rows": rows.get(ids[one.slug], 0),
                "tally": done.get(one.slug, Tally()),
                "active": one.slug in active,
            }
            for one in found.sources
        ],
        "rows": sum(rows.values()),
        "assets": assets,
        "market_cap": cap,
        "shared": shared,
        "disagreeing": disagreeing,
        "cases": cases() if settings.DEMO else [],
        "top": list(Asset.objects.filter(rank__isnull=False).order_by("rank", "id")[:TOP]),
        "events": list(Event.objects.select_related("listing__asset", "listing__source")[:EVENTS]),
        "runs": list(Run.objects.select_related("source").order_by("-pk")[:8]),
    }


class Home(Reading):
    """What this is, how it is, and where everything is."""

    tag = "system"
    summary = "Name, version, status, links"
    renderer_classes = (JSONRenderer, HomePage)
    serializer_class = HomeSerializer
    examples = {"All is well": HOME}  # noqa: RUF012

    def get(self, request: Request) -> Response:
        self.asked(request)
        found = health()
        # The page shows more than the JSON, of the same look.
        request._request.health = found  # type: ignore[attr-defined]
        return Response(
            {
                "request_id": id_of(request),
                "name": "cryptoetl",
                "version": settings.VERSION,
                "status": found.status,
                "links": {name: request.build_absolute_uri(link) for name, link in LINKS.items()},
            },
            headers={"Cache-Control": "no-store"},
        )
