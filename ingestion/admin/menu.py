"""The admin's menu, with how much waits for a person beside each page, and the word at the top of a demo."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse

from assets.models import Candidate
from ingestion.models import Drift, RawPayload, Reject

#: What waits is counted up to here.
COUNTED = 1000


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """Groups of pages, those that this person may see."""
    rejects = waiting(Reject.objects.filter(state=Reject.State.OPEN))
    drift = waiting(Drift.objects.filter(acknowledged_at=None))
    candidates = waiting(Candidate.objects.all())
    failed = waiting(RawPayload.objects.filter(state=RawPayload.State.FAILED))
    return [
        {"title": "", "items": [page(request, "Overview", "dashboard", "index")]},
        {
            "title": "Ingestion",
            "items": [
                page(request, "Sources", "rss_feed", "assets.source"),
                page(request, "Runs", "play_circle", "ingestion.run"),
                page(request, "Raw payloads", "data_object", "ingestion.rawpayload", failed, "danger"),
                page(request, "Rejects", "rule", "ingestion.reject", rejects, "danger"),
                page(request, "Drift", "difference", "ingestion.drift", drift, "warning"),
                page(request, "Fields seen", "schema", "ingestion.fieldseen"),
                page(request, "Backfill pieces", "history_toggle_off", "ingestion.backfillpiece"),
                page(request, "Checkpoints", "flag", "ingestion.checkpoint"),
                page(request, "Gates and calls", "traffic", "ingestion.gate"),
                page(request, "Schedules", "schedule", "django_celery_beat.periodictask"),
            ],
        },
        {
            "title": "Assets",
            "items": [
                page(request, "Assets", "toll", "assets.asset"),
                page(request, "Listings", "list_alt", "assets.listing"),
                page(request, "Quotes", "sell", "assets.quote"),
                page(request, "Candidates", "compare_arrows", "assets.candidate", candidates, "info"),
                page(request, "Decisions", "gavel", "assets.decision"),
                page(request, "Events", "campaign", "assets.event"),
            ],
        },
        {
            "title": "System",
            "items": [
                page(request, "API keys", "key", "cryptoetl.apikey"),
                page(request, "Users", "person", "auth.user"),
                page(request, "Groups", "group", "auth.group"),
                page(request, "Intervals", "timer", "django_celery_beat.intervalschedule"),
                page(request, "Crontabs", "calendar_clock", "django_celery_beat.crontabschedule"),
                page(request, "Admin log", "history", "admin.logentry"),
            ],
        },
    ]


def page(
    request: HttpRequest, title: str, icon: str, model: str, badge: str = "", variant: str = "info"
) -> dict[str, Any]:
    """A line of the menu."""
    if model == "index":
        return {"title": title, "icon": icon, "link": reverse("admin:index")}
    app, name = model.split(".")
    return {
        "title": title,
        "icon": icon,
        "link": reverse(f"admin:{app}_{name}_changelist"),
        "badge": badge,
        "badge_variant": variant,
        "permission": lambda request: any(request.user.has_perm(f"{app}.{verb}_{name}") for verb in ("view", "change")),
    }


def waiting(rows: QuerySet[Any]) -> str:
    """How many, "" for none."""
    count = rows.order_by()[:COUNTED].count()
    return "" if not count else f"{COUNTED - 1}+" if count >= COUNTED else str(count)


def environment(request: HttpRequest) -> list[str] | None:
    """The word at the top of every page."""
    return ["demo", "warning"] if settings.DEMO else None
