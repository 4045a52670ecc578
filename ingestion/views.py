"""/stats and a row's provenance: what the runs did, and where each figure comes from."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import orjson
from django.http import HttpResponse
from rest_framework.exceptions import NotFound
from rest_framework.request import Request

from assets import selectors as asset_selectors
from assets.models import Event
from assets.pagination import PAGING, neighbours, place
from assets.parameters import Asked, Parameter, choice, identifier, moment, text
from assets.reading import Reading
from assets.renderers import to_json
from assets.serializers import DataDetailSerializer
from assets.tables import source_slug
from ingestion import anomalies, examples, performance, selectors
from ingestion.comparison import OnlyIn, compare
from ingestion.models import Drift, Run
from ingestion.provenance import provenance
from ingestion.serializers import (
    AnswerSerializer,
    DriftPageSerializer,
    DriftSerializer,
    EventPageSerializer,
    EventSerializer,
    RunDetailSerializer,
    RunPageSerializer,
    RunSerializer,
    StatsSerializer,
)
from ingestion.standing import standings, tallies

#: PostgreSQL's bigint ends here: no row has a larger number.
LARGEST = 2**63 - 1
NAMED = text("source", "The source's slug.", example="coingecko")
#: In a demo by the label that rows show, too.
SOURCE = replace(NAMED, read=lambda value: source_slug(NAMED.read(value) or "") or None)
SINCE = moment("since", "From this time on.")
#: What /stats/performance shows when the caller doesn't say since when.
USUAL = timedelta(days=7)
#: Events that /stats shows.
LATEST = 10


class DataRow(Reading):
    """One row of /data, with its provenance: the run, the raw payload, the place in it, the very record as received."""

    is_conditional = True
    tag = "data"
    summary = "One row with its provenance"
    path_parameters: ClassVar = {"id": "The row's number, as /data shows it."}
    serializer_class = DataDetailSerializer
    examples: ClassVar = {"Bitcoin at CoinGecko": examples.ROW}

    def get(self, request: Request, id: int) -> HttpResponse:
        self.asked(request)
        found = asset_selectors.data_row(id) if id <= LARGEST else None
        if found is None:
            raise NotFound(f"There is no row {str(id)[:40]}.")
        row, payload_id, position, modified = found
        whence = to_json(provenance(payload_id, position))
        joined = row[:-1].encode() + b',"provenance":' + whence + b"}"
        return self.conditional(request, {"data": orjson.Fragment(joined)}, [joined], modified)


class Paged(Reading):
    """A list of the pipeline's own rows."""

    tag = "stats"

    def paged(self, request: Request, asked: Asked, found: Any, serializer: Any) -> HttpResponse:
        here = place(asked, "id", self.tag)
        rows, more = selectors.sliced(found, here)
        page, following, before = neighbours(request, asked, here, more, None)
        content = {
            "data": serializer(rows, many=True).data,
            "total": found.count(),
            "page": page,
            "page_size": here.size,
            "next": following,
            "previous": before,
        }
        return self.answer(request, content)


class Stats(Reading):
    """How ingestion goes: in all, and for each source its last run, resume point, budget of calls and circuit."""

    tag = "stats"
    serializer_class = StatsSerializer
    examples: ClassVar = {"One source": examples.STATS}

    def get(self, request: Request) -> HttpResponse:
        self.asked(request)
        sources, done = standings(), tallies()
        content = {
            "records_processed": sum(tally.processed for tally in done.values()),
            "last_success": max((one.last_success for one in sources if one.last_success), default=None),
            "last_failure": max((one.last_failure for one in sources if one.last_failure), default=None),
            "events": EventSerializer(selectors.events()[:LATEST], many=True).data,
            "sources": {one.slug: selectors.source_shown(one, done[one.slug]) for one in sources},
        }
        return self.answer(request, content)


class Events(Paged):
    """What became of listings: they appeared, went stale, were delisted, came back, or moved to another asset."""

    summary = "Events, the newest first"
    parameters = (
        SOURCE,
        choice("kind", "What happened.", Event.Kind.values),
        text("asset_id", "Of this asset.", example="bitcoin"),
        SINCE,
        *PAGING,
    )
    serializer_class = EventPageSerializer
    examples: ClassVar = {"A page": examples.EVENTS}

    def get(self, request: Request) -> HttpResponse:
        asked = self.asked(request)
        return self.paged(request, asked, selectors.events(asked), EventSerializer)


class Runs(Paged):
    """Runs, the newest first."""

    summary = "Run history"
    parameters = (
        SOURCE,
        choice("status", "How it stands or ended.", Run.Status.values),
        choice("trigger", "Who asked for it.", Run.Trigger.values),
        moment("since", "Queued at this time or later."),
        *PAGING,
    )
    serializer_class = RunPageSerializer
    examples: ClassVar = {"A page": examples.RUNS}

    def get(self, request: Request) -> HttpResponse:
        asked = self.asked(request)
        return self.paged(request, asked, selectors.runs(asked), RunSerializer)


def run_of(id: int) -> Run:
    """Raises NotFound."""
    run = Run.objects.select_related("source").filter(pk=id).first()
    if run is None:
        raise NotFound(f"There is no run {str(id)[:40]}.")
    return run


class RunDetail(Reading):
    """One run: its pages, its retries, and the records of it that can't be read."""

    tag = "stats"
    summary = "One run"
    path_parameters: ClassVar = {"id": "The run's number."}
    serializer_class = RunDetailSerializer

    def get(self, request: Request, id: int) -> HttpResponse:
        self.asked(request)
        run = run_of(id)
        more = {
            "queued_at": run.queued_at,
            "full": run.full,
            "sweep": run.sweep,
            "takeovers": run.takeovers,
            "payloads": selectors.pages_of(run),
            "rejects": selectors.rejects_of(run),
        }
        return self.answer(request, {"data": {**RunSerializer(run).data, **more}})


class RunComparison(Reading):
    """Two runs side by side: their figures with the differences, and which listings only one of them held."""

    tag = "stats"
    summary = "Two runs side by side"
    names_rows = True
    parameters: tuple[Parameter, ...] = (
        identifier("a", "A run's number.", required=True),
        identifier("b", "The other's.", required=True),
    )
    serializer_class = AnswerSerializer
    examples: ClassVar = {"Two runs": examples.COMPARISON}

    def get(self, request: Request) -> HttpResponse:
        asked = self.asked(request)
        a, b = run_of(asked["a"]), run_of(asked["b"])
        compared = compare(a, b)
        data = {
            "a": RunSerializer(a).data,
            "b": RunSerializer(b).data,
            "differences": {
                one.name: {"a": one.a, "b": one.b, "change": one.difference}
                for one in compared.figures
                if one.a != one.b
            },
            "only_in_a": only_in(compared.only_in_a),
            "only_in_b": only_in(compared.only_in_b),
        }
        return self.answer(request, {"data": data})


def only_in(listings: OnlyIn | None) -> dict[str, Any] | None:
    if listings is None:
        return None
    return {"count": listings.count, "source_asset_ids": list(listings.some)}


class Performance(Reading):
    """Durations, throughput and page latencies: p50, p95 and p99 by source, and run by run with anomalies marked.

    Of each source the last 500 runs are looked at.
    """

    tag = "stats"
    summary = "Performance"
    parameters = (SOURCE, moment("since", "Runs that ended at this time or later. (default: a week ago)"))
    serializer_class = AnswerSerializer
    examples: ClassVar = {"One source": examples.PERFORMANCE}

    def get(self, request: Request) -> HttpResponse:
        asked = self.asked(request)
        since = asked["since"] or datetime.now(UTC) - USUAL
        # The baseline of the first run shown lies before it.
        every = anomalies.ran(asked["source"])
        runs = [run for run in every if run.finished_at >= since]
        data = {
            "since": since,
            "sources": performance.by_source(runs, performance.page_latencies(since)),
            "runs": performance.over_time(runs, anomalies.unusual_runs(every)),
        }
        return self.answer(request, {"data": data})


class DriftList(Paged):
    """Changes in the shape of the sources' records, the newest first, each with a record that shows it."""

    summary = "Schema changes seen"
    parameters = (SOURCE, choice("kind", "What changed.", Drift.Kind.values), SINCE, *PAGING)
    serializer_class = DriftPageSerializer

    def get(self, request: Request) -> HttpResponse:
        asked = self.asked(request)
        return self.paged(request, asked, selectors.drifts(asked), DriftSerializer)


class Anomalies(Reading):
    """Runs and prices out of the ordinary: far from the median of what came before, in robust standard deviations.

    A point is never part of its own baseline, a source is measured against itself, and with fewer than 8 earlier points
    nothing is said. Of each source the last 500 runs are looked at.
    """

    tag = "stats"
    parameters = (SOURCE, moment("since", "Runs that ended at this time or later."))
    serializer_class = AnswerSerializer
    examples: ClassVar = {"A slow run and a jump": examples.ANOMALIES}

    def get(self, request: Request) -> HttpResponse:
        asked = self.asked(request)
        runs = anomalies.ran(asked["source"])
        odd = anomalies.unusual_runs(runs)
        shown = [run for run in runs if run.run_id in odd and (not asked["since"] or run.finished_at >= asked["since"])]
        data = {
            "runs": performance.over_time(shown, odd)[::-1],
            "prices": anomalies.unusual_prices(asked["source"]),
        }
        return self.answer(request, {"data": data})
