"""Reads runs, drift and rejects for the API, and shows how each source stands."""

from __future__ import annotations

from typing import Any, TypeVar

from django.db.models import F, Model, QuerySet
from django.db.models.functions import Left

from assets.models import Event
from assets.pagination import Place
from assets.parameters import Asked
from ingestion.models import Drift, Reject, Run
from ingestion.standing import Standing, Tally

#: Pages and rejects shown with a run, and characters of a record that can't be read.
SHOWN = 100
RAW = 2000

Row = TypeVar("Row", bound=Model)


def runs(asked: Asked) -> QuerySet[Run]:
    """The newest first."""
    lookups = {"source": "source__slug", "status": "status", "trigger": "trigger", "since": "queued_at__gte"}
    return narrowed(Run.objects.select_related("source").order_by("-pk"), asked, lookups)


def drifts(asked: Asked) -> QuerySet[Drift]:
    """The newest first."""
    lookups = {"source": "source__slug", "kind": "kind", "since": "seen_at__gte"}
    return narrowed(Drift.objects.select_related("source").order_by("-pk"), asked, lookups)


def events(asked: Asked | None = None) -> QuerySet[Event]:
    """The newest first."""
    found = Event.objects.select_related("listing__source", "listing__asset")
    if asked is None:
        return found
    lookups = {
        "source": "listing__source__slug",
        "kind": "kind",
        "asset_id": "listing__asset__slug",
        "since": "at__gte",
    }
    return narrowed(found, asked, lookups)


def narrowed(found: QuerySet[Row], asked: Asked, lookups: dict[str, str]) -> QuerySet[Row]:
    return found.filter(**{lookup: asked[name] for name, lookup in lookups.items() if asked[name] is not None})


def sliced(found: QuerySet[Row], place: Place) -> tuple[list[Row], bool]:
    """(rows of the page, whether there are more)."""
    rows = list(found[place.offset : place.offset + place.size + 1])
    return rows[: place.size], len(rows) > place.size


def pages_of(run: Run) -> list[dict[str, Any]]:
    """The run's last SHOWN pages, without their bodies."""
    names = (
        *("payload_id", "number", "state", "url", "status_code", "size", "received_at", "normalized_at", "attempts"),
        *("inserted", "updated", "unchanged", "rejected", "error"),
    )
    found = run.payloads.annotate(payload_id=F("pk"), size=F("body__size")).order_by("-number")
    return [page | {"error": page["error"] or None} for page in found.values(*names)[:SHOWN]][::-1]


def rejects_of(run: Run) -> list[dict[str, Any]]:
    """The run's first SHOWN records that can't be read, as received."""
    names = ("reject_id", "payload_id", "position", "field", "reason", "state", "first_seen_at", "record")
    found = Reject.objects.filter(run=run).annotate(reject_id=F("pk"), record=Left("raw", RAW)).order_by("pk")
    return [reject | {"field": reject["field"] or None} for reject in found.values(*names)[:SHOWN]]


def source_shown(source: Standing, tally: Tally) -> dict[str, Any]:
    """What /stats says of a source."""
    budget = source.budget
    return {
        "title": source.title,
        "enabled": source.enabled,
        "status": source.status,
        "run_id": source.run_id,
        "trigger": source.trigger,
        "started_at": source.started_at,
        "finished_at": source.finished_at,
        "error": source.error or None,
        "last_processed_id": source.last_processed_id,
        "last_processed_at": source.last_processed_at,
        "last_success": source.last_success,
        "last_failure": source.last_failure,
        "last_failure_error": source.failure_error or None,
        "records_processed": tally.processed,
        "runs": tally.runs,
        "inserted": tally.inserted,
        "updated": tally.updated,
        "unchanged": tally.unchanged,
        "rejected": tally.rejected,
        "retries": tally.retries,
        "interval_seconds": source.interval_seconds,
        "next_due_at": source.next_due_at if source.enabled else None,
        "last_sweep_at": source.last_sweep_at,
        "last_sweep_records": source.last_sweep_records,
        "checkpoint": {"sweep": source.sweep, "in_sweep": source.in_sweep, "updated_at": source.checkpoint_at},
        "pages_waiting": source.pages_waiting,
        "rejects_open": source.rejects_open,
        "budget": budget
        and {
            "calls_this_month": budget.made,
            "calls_per_month": budget.limit,
            "calls_left": budget.left,
            "calls_a_day": round(budget.a_day, 1),
            "runs_out_at": budget.runs_out_at,
        },
        "circuit": {
            "state": source.circuit,
            "failures": source.failures,
            "open_until": source.open_until,
            "last_error": source.gate_error or None,
        },
    }
