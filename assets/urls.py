"""The addresses of what we know about assets. (/data/{id} shows a row's provenance: see `ingestion.urls`.)"""

from assets.history_view import AssetHistory
from assets.reading import at
from assets.stream import Stream
from assets.views import AssetDetail, Assets, Data, DataSummary

urlpatterns = [
    *at("data", Data.as_view(), "data"),
    *at("data/summary", DataSummary.as_view(), "data-summary"),
    *at("stream", Stream.as_view(), "stream"),
    *at("assets", Assets.as_view(), "assets"),
    *at("assets/<path:asset_id>/history", AssetHistory.as_view(), "asset-history"),
    *at("assets/<path:asset_id>", AssetDetail.as_view(), "asset"),
]
