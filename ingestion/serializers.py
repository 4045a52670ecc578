"""The shape of runs, statistics and health. A run looks the same wherever it is shown."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from assets.models import Event
from assets.serializers import DemoSerializer, EnvelopeSerializer, PageSerializer, time, whole, words
from assets.tables import source_label
from ingestion.comparison import figure
from ingestion.models import Drift, Run


class RunSerializer(serializers.ModelSerializer):
    """One attempt at a sweep."""

    run_id = serializers.IntegerField(source="pk", help_text="Its number.")
    source = serializers.CharField(source="source.slug", help_text="The source's slug.")
    duration_seconds = serializers.SerializerMethodField(help_text="Null until it has ended.")
    last_processed_id = serializers.SerializerMethodField(help_text="The source's id of the last record it processed.")
    error = serializers.SerializerMethodField(help_text="Why it did not go well.")

    class Meta:
        model = Run
        fields = (
            *("run_id", "source", "status", "trigger", "started_at", "finished_at", "duration_seconds", "pages"),
            *("processed", "inserted", "updated", "unchanged", "rejected", "retries", "last_processed_id", "error"),
        )

    @extend_schema_field({"type": "number", "nullable": True})
    def get_duration_seconds(self, run: Run) -> float | None:
        return figure(run, "duration_seconds")

    @extend_schema_field({"type": "string", "nullable": True})
    def get_last_processed_id(self, run: Run) -> str | None:
        return run.last_processed_id or None

    @extend_schema_field({"type": "string", "nullable": True})
    def get_error(self, run: Run) -> str | None:
        return run.error or None


class DriftSerializer(serializers.ModelSerializer):
    """A change in the shape of a source's records."""

    source = serializers.CharField(source="source.slug")
    run_id = serializers.IntegerField()
    payload_id = serializers.IntegerField(allow_null=True)

    class Meta:
        model = Drift
        fields = (
            "id",
            "source",
            "run_id",
            "payload_id",
            "kind",
            "path",
            "detail",
            "sample",
            "seen_at",
            "acknowledged_at",
        )


class EventSerializer(serializers.ModelSerializer):
    """A listing appeared, went stale, was delisted, came back, or moved to another asset."""

    source = serializers.SerializerMethodField(help_text="The source's slug.")
    source_asset_id = serializers.CharField(source="listing.source_asset_id", help_text="Its id there.")
    asset_id = serializers.CharField(source="listing.asset.slug", help_text="The asset that it belongs to now.")
    symbol = serializers.CharField(source="listing.symbol")
    name = serializers.CharField(source="listing.name")
    row_id = serializers.IntegerField(source="listing_id", help_text="Its row of /data.")

    class Meta:
        model = Event
        fields = ("id", "kind", "at", "source", "source_asset_id", "asset_id", "symbol", "name", "detail", "row_id")

    def get_source(self, event: Event) -> str:
        return source_label(event.listing.source.slug)


class EventPageSerializer(PageSerializer):
    data = EventSerializer(many=True)


class RunPageSerializer(PageSerializer):
    data = RunSerializer(many=True)


class DriftPageSerializer(PageSerializer):
    data = DriftSerializer(many=True)


class PayloadShownSerializer(serializers.Serializer):
    payload_id = whole("Its number.")
    number = whole("Its place in the run, from 1.")
    state = words("stored, normalized or failed.")
    url = words("Where it came from.")
    status_code = whole("Of the response.", nullable=True)
    size = whole("Bytes as received.")
    received_at = time("When it was received.")
    normalized_at = time("When its records were in the tables.", nullable=True)
    attempts = whole("Times that normalizing it was begun.")
    inserted = whole("Records.")
    updated = whole("Records.")
    unchanged = whole("Records.")
    rejected = whole("Records.")
    error = words("Why it can't be read.", nullable=True)


class RejectShownSerializer(serializers.Serializer):
    reject_id = whole("Its number.")
    payload_id = whole("The page that holds it.")
    position = whole("Its place in the page, from 0.")
    field = words("The field that can't be read.", nullable=True)
    reason = words("Why.")
    state = words("open, resolved or discarded.")
    first_seen_at = time("When.")
    record = words("The record as received, cut to 2,000 characters.")


class RunDetailDataSerializer(RunSerializer):
    payloads = PayloadShownSerializer(many=True, help_text="Its last 100 pages.")
    rejects = RejectShownSerializer(many=True, help_text="Its first 100 records that can't be read.")
    takeovers = serializers.IntegerField(help_text="How often it was taken over from a dead worker.")

    class Meta(RunSerializer.Meta):
        fields = (*RunSerializer.Meta.fields, "queued_at", "full", "sweep", "takeovers", "payloads", "rejects")


class RunDetailSerializer(EnvelopeSerializer):
    data = RunDetailDataSerializer()


class RunAnswerSerializer(EnvelopeSerializer):
    data = RunSerializer()


class StartSerializer(serializers.Serializer):
    """What a request to start a run may say."""

    full = serializers.BooleanField(default=False, help_text="Begin at the beginning, whatever the checkpoint says.")


class AnswerSerializer(EnvelopeSerializer):
    """An answer whose content is described by its example."""

    data: Any = serializers.DictField(help_text="See the example.")


class StatsSerializer(EnvelopeSerializer):
    records_processed = whole("By all runs.")
    last_success = time("When a run last completed.", nullable=True)
    last_failure = time("When a run last failed.", nullable=True)
    events = EventSerializer(many=True, help_text="The latest ten; all are at /stats/events.")
    sources: Any = serializers.DictField(help_text="By slug; see the example.")


class HealthSerializer(DemoSerializer):
    status = serializers.ChoiceField(["healthy", "degraded", "unhealthy"])
    database = serializers.ChoiceField(["healthy", "unhealthy"])
    broker = serializers.ChoiceField(["healthy", "unhealthy"])
    etl = serializers.ChoiceField(["healthy", "degraded", "unhealthy"])
    reasons = serializers.ListField(child=serializers.CharField(), help_text="Every trouble, in a sentence.")
    timestamp = serializers.DateTimeField()
    request_id = serializers.CharField()
