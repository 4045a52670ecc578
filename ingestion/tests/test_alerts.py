"""Whoever is to be told hears once that a source began to fail, and once that it is well again."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic

import pytest

from assets.models import Source
from cryptoetl.demo import Fault
from ingestion import alerts, http
from ingestion.errors import Unavailable
from ingestion.models import Run
from ingestion.runs import start_run
from ingestion.tests.receiving import receiver


@pytest.fixture
def heard(settings) -> Iterator[list[dict]]:
    """What a receiver of our own was sent."""
    messages: list[dict] = []
    with receiver(messages.append) as address:
        settings.ALERT_WEBHOOK_URL = f"{address}hook?token=CANARY"
        yield messages


def test_a_source_that_begins_to_fail_and_is_well_again_is_told_once_each(ingest, provider, heard):
    ingest("coingecko")
    assert alerts.tell() == 0, "what was before is not told"
    for _ in range(2):
        provider.fail("coingecko", Fault.KEY_INVALID)
        ingest("coingecko")
        alerts.tell()
    ingest("coingecko")
    alerts.tell()
    alerts.tell()
    assert [message["event"] for message in heard] == ["source_failing", "source_recovered"]
    assert heard[0]["text"].startswith("cryptoetl: CoinGecko is failing: CoinGecko refuses")


def test_what_can_not_be_delivered_is_delivered_later_and_the_address_is_in_no_log(
    ingest, provider, heard, settings, caplog
):
    assert alerts.tell() == 0
    there, settings.ALERT_WEBHOOK_URL = settings.ALERT_WEBHOOK_URL, "http://127.0.0.1:9/hook?token=CANARY"
    provider.fail("coinpaprika", Fault.KEY_INVALID)
    ingest("coinpaprika")
    assert alerts.tell() == 0
    assert "alert not delivered" in caplog.text
    assert "CANARY" not in caplog.text
    settings.ALERT_WEBHOOK_URL = there
    assert alerts.tell() == 1
    assert heard[0]["source"] == "coinpaprika"


def test_a_source_whose_run_waits_holds_no_other_up(ingest, provider, heard):
    """Asked to wait for an hour, its run is under way for an hour."""
    assert alerts.tell() == 0
    start_run(Source.objects.get(slug="coingecko"), Run.Trigger.COMMAND)
    provider.fail("coinpaprika", Fault.KEY_INVALID)
    ingest("coinpaprika")
    assert alerts.tell() == 1
    ingest("coinpaprika")
    assert alerts.tell() == 1
    assert [message["source"] for message in heard] == ["coinpaprika"] * 2


@pytest.mark.parametrize("what", ["headers", "a body without a length"])
def test_a_receiver_that_drips_holds_nobody_up(dripping, monkeypatch, what):
    monkeypatch.setattr(http, "POST_DEADLINE", 0.5)
    begun = monotonic()
    if what == "headers":
        with pytest.raises(Unavailable, match="took longer than"):
            http.post_json(dripping(what), {"text": "x"})
    else:
        http.post_json(dripping(what), {"text": "x"})  # 200 is what counts
    assert monotonic() - begun < 5
