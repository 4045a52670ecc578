"""Pages as received, without a source that was asked for them."""

from __future__ import annotations

import hashlib
from typing import Any

from django.db.models import Max
from django.db.models.functions import Now

from assets.models import Source
from ingestion.models import RawBody, RawPayload, Run


def stored_page(slug: str, items: str, new_run: bool = True, **more: Any) -> RawPayload:
    """A page of these items of JSON, in a run of its own that has ended, or in the source's latest one."""
    source = Source.objects.get(slug=slug)
    its = None if new_run else Run.objects.filter(source=source).order_by("pk").last()
    if its is None:
        its = Run.objects.create(
            source=source, trigger="command", status="completed", sweep=1, started_at=Now(), finished_at=Now()
        )
    text = f"[{items}]"
    digest = hashlib.sha256(text.encode()).digest()
    RawBody.objects.get_or_create(sha256=digest, defaults={"text": text, "encoding": "utf-8", "size": len(text)})
    number = its.payloads.aggregate(last=Max("number"))["last"] or 0
    page = RawPayload.objects.create(
        run=its,
        source=source,
        sweep=1,
        number=number + 1,
        url="",
        body_id=digest,
        records=1,
        received_at=Now(),
        **more,
    )
    page.refresh_from_db()
    return page
