"""How data gets in: runs, checkpoints, pages as received, rejects. PostgreSQL holds the truth; a message is a hint.

    Run   queued ──> running ──> completed | partial | failed | cancelled
            └──────────────────────────────> cancelled
    RawPayload   stored ──> normalized | failed (──> stored, when requeued)

Only `ingestion.pipeline` and `ingestion.reconcile` move a run or a page from one state to the next.
"""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from assets.models import Listing, Source


class Run(models.Model):
    """One attempt at a sweep. A row before it is a message; one active run per source and one per slot, by constraint.

    `lease_token` fences: a page or a checkpoint is written only by the holder of the current token.
    """

    class Status(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        COMPLETED = "completed"
        PARTIAL = "partial"
        FAILED = "failed"
        CANCELLED = "cancelled"

    class Trigger(models.TextChoices):
        SCHEDULE = "schedule"
        COMMAND = "command"
        ADMIN = "admin"
        API = "api"

    ACTIVE = (Status.QUEUED, Status.RUNNING)

    source = models.ForeignKey(Source, models.PROTECT, related_name="runs", db_index=False)
    status = models.TextField(choices=Status, default=Status.QUEUED, db_default=Status.QUEUED)
    trigger = models.TextField(choices=Trigger)
    slot = models.DateTimeField(null=True, blank=True, help_text="The schedule slot it stands for.")
    full = models.BooleanField(default=False, db_default=False, help_text="Ignore the checkpoint.")
    sweep = models.IntegerField(
        null=True, blank=True, help_text="The sweep it belongs to; a resumed run goes on with it."
    )
    queued_at = models.DateTimeField(db_default=Now())
    due_at = models.DateTimeField(
        db_default=Now(), help_text="Not before this time: the next attempt, in the database."
    )
    started_at = models.DateTimeField(null=True, blank=True)
    fetched_at = models.DateTimeField(null=True, blank=True, help_text="When fetching ended.")
    finished_at = models.DateTimeField(null=True, blank=True)
    lease_token = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    outcome = models.TextField(
        blank=True, default="", db_default="", help_text="How fetching ended: completed, partial or failed."
    )
    whole = models.BooleanField(default=False, db_default=False, help_text="It reached the end of its sweep.")
    pages = models.IntegerField(default=0, db_default=0)
    processed = models.BigIntegerField(default=0, db_default=0)
    inserted = models.BigIntegerField("new", default=0, db_default=0)
    updated = models.BigIntegerField("changed", default=0, db_default=0)
    unchanged = models.BigIntegerField(default=0, db_default=0)
    rejected = models.BigIntegerField(default=0, db_default=0)
    retries = models.IntegerField(default=0, db_default=0)
    strikes = models.SmallIntegerField(
        default=0, db_default=0, help_text="Failed attempts since the last page that went in."
    )
    takeovers = models.IntegerField(default=0, db_default=0, help_text="How often a dead worker's run was taken over.")
    last_processed_id = models.TextField(blank=True, default="", db_default="")
    error = models.TextField(blank=True, default="", db_default="")
    cancel_requested = models.BooleanField(default=False, db_default=False)
    request_key = models.TextField(
        null=True, blank=True, editable=False, help_text="The request over HTTP that asked for it, when it has a key."
    )
    fail_after = models.BigIntegerField(
        null=True, blank=True, help_text="Stop after so many records: FAIL_AFTER_N_RECORDS of whoever asked for it."
    )

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                fields=["source"], condition=Q(status__in=["queued", "running"]), name="run_one_active_per_source"
            ),
            models.UniqueConstraint(
                fields=["request_key"], condition=Q(request_key__isnull=False), name="run_one_per_request"
            ),
            models.UniqueConstraint(
                fields=["source", "slot"], condition=Q(slot__isnull=False), name="run_one_per_slot"
            ),
            models.CheckConstraint(
                condition=Q(processed=F("inserted") + F("updated") + F("unchanged") + F("rejected")),
                name="run_counts_add_up",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["queued", "running"], finished_at=None)
                | (~Q(status__in=["queued", "running"]) & Q(finished_at__isnull=False)),
                name="run_finished_has_time",
            ),
            models.CheckConstraint(
                condition=~Q(status="running") | Q(started_at__isnull=False), name="run_running_has_start"
            ),
        )
        # However many a source has, and however long ago its last of a kind was: /health looks at each of these.
        indexes = (
            models.Index(fields=["source", "-id"], name="run_of_source"),
            models.Index(fields=["source", "status", "-id"], name="run_of_status"),
            models.Index(fields=["source", "queued_at"], name="run_queued"),
            models.Index(fields=["source", "-id"], name="run_processed", condition=~Q(last_processed_id="")),
        )

    def __str__(self) -> str:
        return f"run {self.pk}"


class Checkpoint(models.Model):
    """Where a source goes on. `pipeline.store_page` moves it in the transaction that stores the page it covers."""

    source = models.OneToOneField(Source, models.CASCADE, primary_key=True, related_name="checkpoint")
    cursor = models.TextField(null=True, blank=True, help_text="Opaque resume point; null is the beginning.")
    sweep = models.IntegerField(default=1, db_default=1)
    in_sweep = models.BooleanField(
        default=False, db_default=False, help_text="The sweep has begun and isn't whole yet."
    )
    page_id = models.BigIntegerField(null=True, blank=True, help_text="The last page that it covers.")
    run = models.ForeignKey(Run, models.SET_NULL, null=True, blank=True, related_name="+")
    updated_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"checkpoint of {self.source}"


class RawBody(models.Model):
    """A body as received, once, whatever the number of pages that received it. Never changed after it is written."""

    sha256 = models.BinaryField(primary_key=True, max_length=32)
    text = models.TextField(help_text="The text as received; base64 where `encoding` says so.")
    encoding = models.TextField(help_text="The codec that gives back the bytes: text.encode(encoding).")
    size = models.BigIntegerField(help_text="Bytes as received.")
    stored_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return bytes(self.sha256).hex()[:12]


class RawPayload(models.Model):
    """A page as received: its body, where it came from, and what became of it. Stored before anything is made of it."""

    class State(models.TextChoices):
        STORED = "stored"
        NORMALIZED = "normalized"
        FAILED = "failed"

    run = models.ForeignKey(Run, models.PROTECT, related_name="payloads")
    source = models.ForeignKey(Source, models.PROTECT, related_name="+", db_index=False)
    sweep = models.IntegerField()
    number = models.IntegerField(help_text="Its place in the run, from 1.")
    cursor = models.TextField(null=True, blank=True, help_text="What it was fetched from.")
    url = models.TextField()
    status_code = models.SmallIntegerField(null=True, blank=True)
    headers = models.JSONField(default=dict, db_default={})
    meta = models.JSONField(default=dict, db_default={}, help_text="What parsing needs beside the body.")
    body = models.ForeignKey(RawBody, models.PROTECT, related_name="payloads")
    records = models.IntegerField(default=0, db_default=0, help_text="Items in it, as counted when it was stored.")
    received_at = models.DateTimeField()
    superseded = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Its file was read again from the first row since, or is gone, "
        "or it was broken and is fetched again: it does not say what there is.",
    )
    state = models.TextField(choices=State, default=State.STORED, db_default=State.STORED)
    attempts = models.SmallIntegerField(default=0, db_default=0, help_text="Times that normalizing it was begun.")
    error = models.TextField(blank=True, default="", db_default="")
    normalized_at = models.DateTimeField(null=True, blank=True)
    inserted = models.IntegerField("new", default=0, db_default=0)
    updated = models.IntegerField("changed", default=0, db_default=0)
    unchanged = models.IntegerField(default=0, db_default=0)
    rejected = models.IntegerField(default=0, db_default=0)
    last_id = models.TextField(blank=True, default="", db_default="")

    class Meta:
        ordering = ("-id",)
        constraints = (models.UniqueConstraint(fields=["run", "number"], name="payload_once"),)
        indexes = (
            models.Index(fields=["source", "sweep", "id"], name="payload_of_sweep"),
            models.Index(fields=["id"], name="payload_waiting", condition=Q(state="stored")),
            models.Index(fields=["received_at"], name="payload_received"),
        )

    def __str__(self) -> str:
        return f"page {self.number} of run {self.run_id}"


class Sighting(models.Model):
    """Which listings a page held: what tells a missed coin from one that merely didn't change. One row a page."""

    payload = models.OneToOneField(RawPayload, models.CASCADE, primary_key=True, related_name="sighting")
    listing_ids = ArrayField(models.BigIntegerField())
    unread_ids = ArrayField(
        models.BigIntegerField(), default=list, db_default=[], help_text="Those whose records can't be read."
    )
    nameless = ArrayField(
        models.BinaryField(max_length=16),
        default=list,
        db_default=[],
        help_text="Fingerprints of records that can't be read and don't say which listing they are about.",
    )

    def __str__(self) -> str:
        return f"{len(self.listing_ids)} listings"


class Reject(models.Model):
    """A record that can't be read: kept as received with its reason, counted, and requeued once it can be read."""

    class State(models.TextChoices):
        OPEN = "open"
        RESOLVED = "resolved"
        DISCARDED = "discarded"

    source = models.ForeignKey(Source, models.PROTECT, related_name="rejects")
    run = models.ForeignKey(Run, models.PROTECT, related_name="rejects")
    payload = models.ForeignKey(RawPayload, models.PROTECT, related_name="rejects")
    source_asset_id = models.TextField(
        blank=True, default="", db_default="", help_text="The coin that it is about, where it says so."
    )
    position = models.IntegerField(help_text="Its place in the page, from 0.")
    field = models.TextField(blank=True, default="", db_default="")
    reason = models.TextField()
    raw = models.TextField(help_text="The record as received.")
    fingerprint = models.BinaryField(
        max_length=16, help_text="Of the record and the reason: one row, however often it comes."
    )
    state = models.TextField(choices=State, default=State.OPEN, db_default=State.OPEN)
    first_seen_at = models.DateTimeField(db_default=Now())
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        constraints = (models.UniqueConstraint(fields=["source", "fingerprint"], name="reject_once"),)
        indexes = (models.Index(fields=["source", "state"], name="reject_state"),)

    def __str__(self) -> str:
        return f"#{self.pk} {self.reason}"


class Gate(models.Model):
    """The one row that every worker passes before a call to a source: rate and circuit, by the database's clock."""

    source = models.OneToOneField(Source, models.CASCADE, primary_key=True, related_name="gate")
    recent_calls = ArrayField(
        models.DateTimeField(),
        default=list,
        db_default=[],
        help_text="Calls of the last 61 seconds: the window that slides, and a second to be sure.",
    )
    failures = models.IntegerField(default=0, db_default=0, help_text="Failed calls in a row.")
    open_until = models.DateTimeField(null=True, blank=True, help_text="No call before this time: the circuit is open.")
    probing_until = models.DateTimeField(
        null=True, blank=True, help_text="One call is finding out whether it can close."
    )
    last_error = models.TextField(blank=True, default="", db_default="")

    def __str__(self) -> str:
        return f"gate of {self.source}"


class CallMonth(models.Model):
    """The ledger: calls made to a source in a calendar month (UTC), counted before each call, failed ones too."""

    pk = models.CompositePrimaryKey("source_id", "month")
    source = models.ForeignKey(Source, models.CASCADE, related_name="call_months")
    month = models.DateField(help_text="Its first day.")
    calls = models.IntegerField(default=0, db_default=0)

    def __str__(self) -> str:
        return f"{self.month:%Y-%m}: {self.calls}"


class BackfillPiece(models.Model):
    """One call for a coin's past, as received: what is in this table is never asked for again. See `backfilling`.

    stored ──> done | failed (──> done, when it is read again and can be)        unknown: the source has no such coin
    """

    class State(models.TextChoices):
        STORED = "stored"
        DONE = "done"
        FAILED = "failed"
        UNKNOWN = "unknown"

    source = models.ForeignKey(Source, models.PROTECT, related_name="+", db_index=False)
    listing = models.ForeignKey(Listing, models.CASCADE, related_name="+", db_index=False)
    interval = models.TextField(help_text="How close its points lie: 1h or 1d.")
    begin = models.DateTimeField(help_text="Inclusive.")
    end = models.DateTimeField(help_text="Exclusive.")
    state = models.TextField(choices=State)
    body = models.ForeignKey(RawBody, models.PROTECT, null=True, blank=True, related_name="+")
    url = models.TextField(blank=True, default="", db_default="")
    headers = models.JSONField(default=dict, db_default={})
    received_at = models.DateTimeField(db_default=Now())
    points = models.IntegerField(default=0, db_default=0, help_text="Points in it that were news.")
    error = models.TextField(blank=True, default="", db_default="")

    class Meta:
        db_table = "ingestion_backfill_piece"
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(fields=["listing", "interval", "begin"], name="backfill_piece_once"),
            models.CheckConstraint(condition=Q(begin__lt=F("end")), name="backfill_piece_has_length"),
        )
        indexes = (models.Index(fields=["source", "state"], name="backfill_piece_state"),)

    def __str__(self) -> str:
        return f"{self.interval} of listing {self.listing_id} from {self.begin:%Y-%m-%d} to {self.end:%Y-%m-%d}"


class FieldSeen(models.Model):
    """What a source's records were seen to hold: the baseline that drift is measured against."""

    source = models.ForeignKey(Source, models.CASCADE, related_name="fields_seen")
    path = models.TextField(help_text="Dotted: quotes.USD.price.")
    types = models.JSONField(default=list, help_text="JSON types seen, sorted.")
    always = models.BooleanField(
        default=False, help_text="Every record of the page that first showed it had it, and no page is without it."
    )
    first_seen_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ("source", "path")
        verbose_name, verbose_name_plural = "field", "fields seen"
        constraints = (models.UniqueConstraint(fields=["source", "path"], name="field_seen_once"),)

    def __str__(self) -> str:
        return self.path


class Drift(models.Model):
    """A change in the shape of a source's records, with the run that met it first and a sample."""

    class Kind(models.TextChoices):
        ADDED = "added"
        REMOVED = "removed"
        RETYPED = "retyped", "type changed"
        NULLABLE = "nullable", "null for the first time"

    source = models.ForeignKey(Source, models.CASCADE, related_name="drifts")
    run = models.ForeignKey(Run, models.PROTECT, related_name="drifts")
    payload = models.ForeignKey(RawPayload, models.SET_NULL, null=True, blank=True, related_name="+")
    kind = models.TextField(choices=Kind)
    path = models.TextField()
    detail = models.TextField()
    sample = models.TextField(
        blank=True, default="", db_default="", help_text="A record that shows it, cut to 2,000 characters."
    )
    seen_at = models.DateTimeField(db_default=Now())
    acknowledged_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        verbose_name_plural = "drift"

    def __str__(self) -> str:
        return f"{self.path} {self.kind}"


class Pulse(models.Model):
    """The last sign of life of a part that nothing else vouches for (the reconciler, beat)."""

    name = models.TextField(primary_key=True)
    at = models.DateTimeField(db_default=Now())
    detail = models.JSONField(default=dict, db_default={})

    def __str__(self) -> str:
        return self.name
