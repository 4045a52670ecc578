"""Sources: how each stands and what it may spend; run now, run from the beginning, begin again, switch off."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django_celery_beat.models import PeriodicTask
from unfold.decorators import display

from assets.admin.confirming import confirmed, on_its_page
from assets.admin.reading import ReadOnlyAdmin, ago, label, link, list_link, rows
from assets.matching import lock_identities
from assets.models import Asset, Source
from assets.pricing import reprice
from assets.wording import span
from ingestion.admin.starting import start
from ingestion.models import Checkpoint
from ingestion.registry import configured
from ingestion.runs import AlreadyActive, reset_checkpoint
from ingestion.sources import BY_SLUG
from ingestion.standing import Standing, standings

STATUSES = {
    "completed": "success",
    "partial": "warning",
    "failed": "danger",
    "running": "info",
    "queued": "plain",
    "cancelled": "plain",
}
CIRCUITS = {"closed": "success", "open": "danger", "probing": "warning"}


@admin.register(Source)
class SourceAdmin(ReadOnlyAdmin):
    """Where the data comes from, and how each source stands. Tick some to run them now."""

    list_display = ("title", "health", "last_run", "fresh", "every", "next_run", "spent", "circuit", "rejects")
    ordering = ("identity_rank", "slug")
    actions = ("run_now", "run_full", "reset")
    actions_detail = ("run_now_here", "run_full_here", "reset_here")
    fieldsets = (
        (None, {"fields": ("enabled",)}),
        (None, {"fields": (("now", "setup"),)}),
        (None, {"fields": (("calls", "goes_on"),)}),
    )
    readonly_fields = ("now", "calls", "goes_on", "setup")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_operate_permission(request)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """The list as Django makes it, with how each source stands: one query for all of them."""
        changelist = super().get_changelist_instance(request)
        stand = {standing.slug: standing for standing in standings()}
        for row in changelist.result_list:
            row.standing = stand[row.slug]
        return changelist

    def save_model(self, request: HttpRequest, obj: Source, form: forms.ModelForm, change: bool) -> None:
        """A source that is switched off, or on, leaves or joins every consensus at once."""
        with transaction.atomic():
            # The rest of the row may be a sweep's by now, which ended since the row was read.
            obj.save(update_fields=form.changed_data)
            if "enabled" in form.changed_data:
                # Whoever brings in listings, and does not know of it, has ended.
                lock_identities()
                reprice(Asset.objects.filter(quotes__source=obj).values_list("pk", flat=True))

    # ------------------------------------------------------------------------------------------------------ columns

    @display(description="state")
    def health(self, source: Source) -> Any:
        return label(*verdict(standing_of(source)))

    @display(description="last run")
    def last_run(self, source: Source) -> Any:
        its = standing_of(source)
        if its.run_id is None:
            return "never"
        return link("ingestion_run", its.run_id, label(its.status, STATUSES.get(its.status or "", "")))

    @display(description="last success")
    def fresh(self, source: Source) -> Any:
        return ago(standing_of(source).last_success)

    @display(description="every")
    def every(self, source: Source) -> str:
        return span(source.interval_seconds)

    @display(description="next run")
    def next_run(self, source: Source) -> Any:
        return ago(standing_of(source).next_due_at) if source.enabled else "–"

    @display(description="calls this month")
    def spent(self, source: Source) -> str:
        budget = standing_of(source).budget
        if budget is None or budget.limit is None:
            return "no limit"
        return f"{budget.made:,} of {budget.limit:,}"

    @display(description="circuit")
    def circuit(self, source: Source) -> Any:
        state = standing_of(source).circuit
        return label(state, CIRCUITS.get(state, ""))

    @display(description="open rejects")
    def rejects(self, source: Source) -> Any:
        count = standing_of(source).rejects_open
        return (
            list_link("ingestion_reject", f"{count:,}", source__id__exact=source.pk, state__exact="open")
            if count
            else "0"
        )

    # ------------------------------------------------------------------------------------------------- its own page

    @display(description="now")
    def now(self, source: Source) -> Any:
        its = standing_of(source)
        return rows(
            [
                ("state", self.health(source)),
                ("what is wrong", its.trouble or "nothing"),
                ("last run", self.last_run(source)),
                ("last success", ago(its.last_success)),
                ("last failure", ago(its.last_failure)),
                ("latest whole sweep", ago(its.last_sweep_at)),
                ("records in it", f"{its.last_sweep_records:,}"),
                ("open rejects", self.rejects(source)),
                ("runs", list_link("ingestion_run", "all of them", source__id__exact=source.pk)),
                ("next run", self.next_run(source)),
            ]
        )

    @display(description="calls")
    def calls(self, source: Source) -> Any:
        its = standing_of(source)
        if its.budget is None:
            return "This version knows no such source."
        return rows(
            [
                ("this month", str(its.budget)),
                ("a minute", f"{configured(source.slug).limits.per_minute:,} at most"),
                ("circuit", link("ingestion_gate", source.pk, self.circuit(source))),
                ("what it said", its.gate_error or "–"),
            ]
        )

    @display(description="checkpoint")
    def goes_on(self, source: Source) -> Any:
        checkpoint = Checkpoint.objects.filter(source=source).first()
        if checkpoint is None:
            return "–"
        begun = "in the sweep under way" if checkpoint.in_sweep else "with a new sweep"
        return rows(
            [
                ("goes on", begun),
                ("sweep", checkpoint.sweep),
                ("cursor", checkpoint.cursor or "the beginning"),
                ("moved", ago(checkpoint.updated_at)),
            ]
        )

    @display(description="setup")
    def setup(self, source: Source) -> Any:
        schedule = PeriodicTask.objects.filter(name=f"ingest {source.slug}").first()
        known = BY_SLUG.get(source.slug)
        pairs: list[tuple[object, object]] = [
            ("slug", source.slug),
            ("rank in naming assets", source.identity_rank),
            ("every", span(source.interval_seconds)),
            (
                "schedule",
                link("django_celery_beat_periodictask", schedule.pk, schedule.name)
                if schedule
                else "none: it runs by hand",
            ),
        ]
        if known:
            options = configured(source.slug).options
            pairs += [
                ("plan", options.plan or "–"),
                ("API key", "set" if options.api_key else "none"),
                ("address", options.base_url if known.network else "see CSV_SOURCE_PATH"),
                ("home", known.home or "–"),
            ]
        return rows(pairs)

    # ------------------------------------------------------------------------------------------------------ actions

    @confirmed("Run now", "Run these sources now, from their checkpoints?")
    def run_now(self, request: HttpRequest, chosen: QuerySet[Source]) -> str | None:
        return start(request, chosen)

    @confirmed("Run from the beginning", "Run these sources now, ignoring their checkpoints?", icon="restart_alt")
    def run_full(self, request: HttpRequest, chosen: QuerySet[Source]) -> str | None:
        return start(request, chosen, full=True)

    @confirmed(
        "Reset checkpoint",
        "Forget where these sources go on? Their next run begins at the beginning; what is in the tables stays.",
        icon="first_page",
        danger=True,
    )
    def reset(self, request: HttpRequest, chosen: QuerySet[Source]) -> str | None:
        return reset_all(request, list(chosen))

    run_now_here = on_its_page(run_now)
    run_full_here = on_its_page(run_full)
    reset_here = on_its_page(reset)


def verdict(its: Standing) -> tuple[str, str]:
    """(word, kind of label): how a source stands."""
    if not its.enabled:
        return "disabled", "plain"
    if its.ended_id is None:
        return "no run yet", "warning"
    return ("needs a look", "danger") if its.trouble else ("healthy", "success")


def standing_of(source: Source) -> Standing:
    """How the source stands; asked once for a page."""
    found: Standing | None = getattr(source, "standing", None)
    if found is None:
        found = next(standing for standing in standings() if standing.slug == source.slug)
        source.standing = found  # type: ignore[attr-defined]
    return found


def reset_all(request: HttpRequest, sources: list[Source]) -> str | None:
    """The checkpoints are at the beginning; a source with a run under way is left alone, and why is shown."""
    done = []
    for source in sources:
        try:
            reset_checkpoint(source)
            done.append(source.title)
        except AlreadyActive as active:
            messages.warning(request, f"{active} Its checkpoint is left alone.")
    return f"{', '.join(done)}: the next run begins at the beginning." if done else None
