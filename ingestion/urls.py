"""The addresses of the pipeline: a row's provenance, statistics, health and metrics, and what operates it."""

from assets.reading import at
from ingestion.health_views import HealthDetailed, HealthLive, HealthReady, HealthView, Metrics
from ingestion.operating import RunCancel, SourceRuns
from ingestion.views import Anomalies, DataRow, DriftList, Events, Performance, RunComparison, RunDetail, Runs, Stats

urlpatterns = [
    *at("data/<int:id>", DataRow.as_view(), "data-row"),
    *at("stats", Stats.as_view(), "stats"),
    *at("stats/runs", Runs.as_view(), "runs"),
    *at("stats/runs/compare", RunComparison.as_view(), "runs-compare"),
    *at("stats/runs/<int:id>", RunDetail.as_view(), "run"),
    *at("stats/performance", Performance.as_view(), "performance"),
    *at("stats/drift", DriftList.as_view(), "drift"),
    *at("stats/events", Events.as_view(), "events"),
    *at("stats/anomalies", Anomalies.as_view(), "anomalies"),
    *at("sources/<str:slug>/runs", SourceRuns.as_view(), "source-runs"),
    *at("runs/<int:id>/cancel", RunCancel.as_view(), "run-cancel"),
    *at("health", HealthView.as_view(), "health"),
    *at("health/live", HealthLive.as_view(), "health-live"),
    *at("health/ready", HealthReady.as_view(), "health-ready"),
    *at("health/detailed", HealthDetailed.as_view(), "health-detailed"),
    *at("metrics", Metrics.as_view(), "metrics"),
]
