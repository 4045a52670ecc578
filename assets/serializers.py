"""The shape of what /data and /assets answer, for the OpenAPI document.

The rows themselves are made by PostgreSQL (see `assets.tables`); a test holds these shapes against real answers.
"""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers


@extend_schema_field(
    {"type": "number", "nullable": True, "description": "An exact decimal; null: the source did not say."}
)
class Number(serializers.Field):
    """An exact decimal of any size, as a JSON number."""

    def to_representation(self, value: Any) -> Any:
        return value


def time(help_text: str, *, nullable: bool = False) -> serializers.DateTimeField:
    return serializers.DateTimeField(help_text=help_text, allow_null=nullable)


def words(help_text: str, *, nullable: bool = False) -> serializers.CharField:
    return serializers.CharField(help_text=help_text, allow_null=nullable)


def whole(help_text: str, *, nullable: bool = False) -> serializers.IntegerField:
    return serializers.IntegerField(help_text=help_text, allow_null=nullable)


class ErrorDetailSerializer(serializers.Serializer):
    code = words("One word for machines: invalid, not_found, method_not_allowed, database_unavailable...")
    message = words("A sentence for people.")
    fields = serializers.DictField(
        child=serializers.CharField(), required=False, help_text="Each parameter that can't be used, and why."
    )


class DemoSerializer(serializers.Serializer):
    demo = serializers.BooleanField(required=False, help_text="True in a demo; elsewhere it isn't there.")


class ErrorSerializer(DemoSerializer):
    request_id = words("The caller's X-Request-ID, or one made for it; the logs have it too.")
    error = ErrorDetailSerializer()


class RowSerializer(serializers.Serializer):
    """One source's current word on one asset."""

    id = whole("The row's own number: it stays with this source's listing.")
    asset_id = words("The real-world asset, whatever the number of sources.")
    symbol = words("As the source writes it.", nullable=True)
    name = words("As the source writes it.", nullable=True)
    price_usd = Number()
    market_cap = Number()
    volume_24h = Number()
    percent_change_24h = Number(help_text="In percent: -1.5 is minus 1.5 %.")
    rank = whole("By market cap, from 1, as the source counts.", nullable=True)
    source = words("Which source says so.")
    source_asset_id = words("The source's own id for it.")
    updated_at = time("The source's own time of the observation.")
    last_seen_at = time("Ours: the last sweep that held it; null with `as_of`.", nullable=True)
    is_stale = serializers.BooleanField(
        help_text="Its source has been silent about it for longer than three intervals."
    )
    delisted = serializers.BooleanField(help_text="Missing from three whole sweeps: kept, and in no consensus.")


class EnvelopeSerializer(DemoSerializer):
    request_id = words("The caller's X-Request-ID, or one made for it.")
    api_latency_ms = serializers.FloatField(help_text="From the request's arrival to the answer.")


class PageSerializer(EnvelopeSerializer):
    total = whole(
        "Rows that the filter finds; null with count=none, and on later pages of a cursor walk.", nullable=True
    )
    page = whole("Null in a cursor walk.", nullable=True)
    page_size = whole("Rows a page.")
    next = serializers.URLField(allow_null=True, help_text="The next page's whole address.")
    previous = serializers.URLField(allow_null=True, help_text="The page's before; null in a cursor walk.")


class Picked(serializers.Serializer):
    """Any of these: a list's `fields` picks some."""

    def get_fields(self) -> dict[str, serializers.Field]:
        fields = super().get_fields()
        for field in fields.values():
            field.required = False
        return fields


class ListedRowSerializer(Picked, RowSerializer):
    """One source's current word on one asset: all of it, or what `fields` picks."""


class DataPageSerializer(PageSerializer):
    data = ListedRowSerializer(many=True)
    resume = serializers.URLField(
        required=False, help_text="In a cursor walk: what to ask after it, and again and again, for what has changed."
    )


class ProvenanceSerializer(serializers.Serializer):
    """Where a row comes from, down to the very record as it was received."""

    run_id = whole("The run that fetched it.")
    payload_id = whole("The raw payload that holds it.")
    position = whole("Its place in that payload, from 0.")
    url = words("Where the payload came from.")
    status_code = whole("Of the response; null for a file.", nullable=True)
    received_at = time("When it was received.")
    record = serializers.JSONField(help_text="The record as received: JSON, or the line of a file as text.")


class RowDetailSerializer(RowSerializer):
    provenance = ProvenanceSerializer(allow_null=True, help_text="Null when retention has removed the payload.")


class DataDetailSerializer(EnvelopeSerializer):
    data = RowDetailSerializer()


class SourceSummarySerializer(serializers.Serializer):
    title = words("What people call it.")
    enabled = serializers.BooleanField()
    rows = whole("Rows of /data.")
    assets = whole("Assets among them.")
    stale = whole("Rows it has been silent about.")
    delisted = whole("Rows missing from three whole sweeps.")
    without_price = whole("Rows without a price.")
    newest_update = time("The newest observation.", nullable=True)
    oldest_update = time("The oldest observation.", nullable=True)
    total_market_cap = Number(help_text="Of its own rows.")
    last_sweep_at = time("When its last whole sweep was settled.", nullable=True)


class SummaryDataSerializer(serializers.Serializer):
    rows = whole("Rows of /data.")
    assets = whole("Real-world assets.")
    assets_priced = whole("Assets with a consensus price.")
    assets_in_several_sources = whole("Assets with more than one quote.")
    assets_disagreeing = whole("Assets whose sources disagree.")
    stale = whole("Stale rows.")
    delisted = whole("Delisted rows.")
    newest_update = time("The newest observation.", nullable=True)
    oldest_update = time("The oldest observation.", nullable=True)
    total_market_cap = Number(help_text="Each asset once, whatever the number of its sources.")
    sources = serializers.DictField(child=SourceSummarySerializer())


class SummarySerializer(EnvelopeSerializer):
    data = SummaryDataSerializer()


class LeftOutSerializer(serializers.Serializer):
    source = words("The source.")
    reason = words("Why its quote takes no part.")


class ConsensusSerializer(serializers.Serializer):
    """What the fresh quotes of an asset agree on."""

    price_usd = Number(help_text="Null when no fresh quote exists, or when two sources disagree.")
    price_min = Number()
    price_max = Number()
    spread_bps = Number(help_text="(max - min) / mid of the quotes used, in hundredths of a percent.")
    agreement = serializers.ChoiceField(["none", "single", "agree", "disagree", "median"])
    sources_used = serializers.ListField(child=serializers.CharField())
    left_out = LeftOutSerializer(many=True)
    observed_at = time("Of the oldest quote used.", nullable=True)


class AssetSerializer(serializers.Serializer):
    """One real-world asset."""

    asset_id = words("Its id.")
    symbol = words("As its best-ranked source writes it.", nullable=True)
    name = words("As its best-ranked source writes it.", nullable=True)
    rank = whole("By market cap.", nullable=True)
    price_usd = Number(help_text="The consensus price.")
    market_cap = Number()
    volume_24h = Number()
    percent_change_24h = Number()
    spread_bps = Number()
    updated_at = time("Of the oldest quote used.", nullable=True)
    consensus = ConsensusSerializer()
    quotes = RowSerializer(many=True, help_text="Each source's word, the best-ranked source first.")


class ListedAssetSerializer(Picked, AssetSerializer):
    """One real-world asset: all of it, or what `fields` picks."""


class AssetPageSerializer(PageSerializer):
    data = ListedAssetSerializer(many=True)
    ambiguous = serializers.BooleanField(
        required=False, help_text="With `symbol`: several assets have exactly this symbol; it names none of them."
    )


class EvidenceSerializer(serializers.Serializer):
    id = whole("The listing's row in /data.")
    source = words("The source.")
    source_asset_id = words("Its own id.")
    method = words("What put it into this asset.", nullable=True)
    confidence = Number()
    reasons = serializers.ListField(child=serializers.CharField())
    contracts = serializers.ListField(child=serializers.CharField(), help_text="chain:address")
    first_seen_at = time("When we first saw it.")


class AssetDetailDataSerializer(AssetSerializer):
    identity = EvidenceSerializer(many=True, help_text="Why these listings are one asset.")


class AssetDetailSerializer(EnvelopeSerializer):
    data = AssetDetailDataSerializer()


class PointSerializer(serializers.Serializer):
    """A point as observed (interval=raw), or a candle."""

    observed_at = serializers.DateTimeField(required=False)
    source = serializers.CharField(required=False)
    source_asset_id = serializers.CharField(required=False)
    price_usd = Number(required=False)
    market_cap = Number(required=False)
    volume_24h = Number(required=False)
    origin = serializers.ChoiceField(
        ["observed", "backfilled"], required=False, help_text="Observed by us, or what the source says of its past."
    )
    start = serializers.DateTimeField(required=False, help_text="Inclusive; whole hours and days of UTC.")
    end = serializers.DateTimeField(required=False, help_text="Exclusive.")
    open = Number(required=False)
    high = Number(required=False)
    low = Number(required=False)
    close = Number(required=False)
    count = serializers.IntegerField(required=False, help_text="Points in it.")
    backfilled = serializers.IntegerField(required=False, help_text="Those that come from the source's own history.")
    last_at = serializers.DateTimeField(required=False, help_text="Of the last point in it.")
    closed = serializers.BooleanField(required=False, help_text="False while it isn't over, or isn't wholly asked for.")


class GapSerializer(serializers.Serializer):
    source = words("The source; null where no source has a candle in all of the window.", nullable=True)
    # A word of Python's, so it can't be written as the others are.
    vars()["from"] = time("Nothing is known from here.")
    to = time("Up to here.")


class HistorySerializer(EnvelopeSerializer):
    asset_id = words("The asset.")
    interval = words("raw, 5m, 1h or 1d.")
    vars()["from"] = time("Inclusive.")
    to = time("Exclusive.")
    source = words("Whose series the candles follow; null for raw points of every source.", nullable=True)
    derived = serializers.BooleanField(help_text="Candles are made of our own points, not taken from an exchange.")
    derived_from = words("What candles are made of; null for raw points.", nullable=True)
    data = PointSerializer(many=True)
    gaps = GapSerializer(many=True, help_text="Where points are missing; nothing is filled in.")
    next = serializers.URLField(allow_null=True, help_text="Where it goes on when there are more than 10,000 points.")
