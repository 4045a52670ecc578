"""The admin's first page: how every source stands, what ran last, what waits for a person, and the servers."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import Count
from django.http import HttpRequest

from assets.admin.reading import ago, list_address
from assets.models import Asset, Candidate, Source
from assets.wording import span
from ingestion import broker
from ingestion.admin.run import progress
from ingestion.admin.source import CIRCUITS, STATUSES, verdict
from ingestion.models import Drift, Pulse, RawPayload, Reject, Run
from ingestion.reach import crew
from ingestion.runs import lasted
from ingestion.standing import Standing, standings

RUNS_SHOWN = 12


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """What the template shows, to whoever may see runs."""
    context["title"] = "Overview (demo)" if settings.DEMO else "Overview"
    if not any(request.user.has_perm(f"ingestion.{verb}_run") for verb in ("view", "change")):
        return context
    its_crew = crew()
    pulse = Pulse.objects.filter(name="reconcile").first()
    keys = dict(Source.objects.values_list("slug", "pk"))
    return {
        **context,
        "may_see": True,
        "sources": [card(standing, keys[standing.slug]) for standing in standings()],
        "runs": [line(run) for run in Run.objects.select_related("source").order_by("-pk")[:RUNS_SHOWN]],
        "agreements": agreements(),
        "waits": waits(),
        "trouble": broker.trouble(),
        "workers": its_crew.workers,
        "queues": its_crew.queues,
        "pulse": ago(pulse.at) if pulse else "none yet",
        "demo": settings.DEMO,
    }


def card(standing: Standing, key: int) -> dict[str, Any]:
    """One source, as it is shown."""
    word, kind = verdict(standing)
    budget = standing.budget
    limited = budget is not None and budget.limit is not None
    return {
        "its": standing,
        "address": f"{list_address('assets_source')}{key}/change/",
        "word": word,
        "kind": kind,
        "status_kind": STATUSES.get(standing.status or "", "plain"),
        "circuit_kind": CIRCUITS.get(standing.circuit, ""),
        "last_success": ago(standing.last_success) if standing.last_success else "never",
        "next_run": ago(standing.next_due_at) if standing.enabled else "–",
        "records": f"{standing.last_sweep_records:,}",
        "rejects": f"{standing.rejects_open:,}",
        "budget": budget,
        "spent": round(100 * budget.made / budget.limit) if limited else None,  # type: ignore[union-attr, operator]
        "calls": f"{budget.made:,} of {budget.limit:,}" if limited else "",  # type: ignore[union-attr]
    }


def line(run: Run) -> dict[str, Any]:
    return {
        "run": run,
        "kind": STATUSES.get(run.status, "plain"),
        "progress": progress(run),
        "began": ago(run.started_at),
        "took": span(lasted(run)) if run.started_at else "–",
    }


def agreements() -> list[dict[str, Any]]:
    """How many assets have a price that their sources agree on, and how many don't."""
    counted = dict(Asset.objects.order_by().values_list("agreement").annotate(count=Count("pk")))
    return [
        {
            "name": kind.label,
            "count": f"{counted[kind.value]:,}",
            "address": list_address("assets_asset", agreement__exact=kind.value),
        }
        for kind in Asset.Agreement
        if kind.value in counted
    ]


def waits() -> list[dict[str, Any]]:
    """What a person should look at, and where."""
    found: list[tuple[str, int, str, str]] = [
        (
            "rejected records",
            Reject.objects.filter(state=Reject.State.OPEN).count(),
            list_address("ingestion_reject", state__exact="open"),
            "danger",
        ),
        (
            "failed pages",
            RawPayload.objects.filter(state=RawPayload.State.FAILED).count(),
            list_address("ingestion_rawpayload", state__exact="failed"),
            "danger",
        ),
        (
            "changes of shape",
            Drift.objects.filter(acknowledged_at=None).count(),
            list_address("ingestion_drift", seen="no"),
            "warning",
        ),
        ("pairs in doubt", Candidate.objects.count(), list_address("assets_candidate"), "info"),
    ]
    return [
        {"name": name, "count": f"{count:,}", "address": where, "kind": kind if count else "success"}
        for name, count, where, kind in found
    ]
