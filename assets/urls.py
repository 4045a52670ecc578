"""The addresses of what we know about assets. (/data/{id} shows a row's provenance: see `ingestion.urls`.)"""

from django.urls import register_converter
from django.urls.converters import PathConverter

from assets.history_view import AssetHistory
from assets.reading import at
from assets.stream import Stream
from assets.views import AssetDetail, Assets, Data, DataSummary


class AnyText(PathConverter):
    """An id as its source wrote it, which may hold a line break."""

    regex = "(?s:.+)"


register_converter(AnyText, "text")

urlpatterns = [
    *at("data", Data.as_view(), "data"),
    *at("data/summary", DataSummary.as_view(), "data-summary"),
    *at("stream", Stream.as_view(), "stream"),
    *at("assets", Assets.as_view(), "assets"),
    *at("assets/<text:asset_id>/history", AssetHistory.as_view(), "asset-history"),
    *at("assets/<text:asset_id>", AssetDetail.as_view(), "asset"),
]
