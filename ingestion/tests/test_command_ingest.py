"""`manage.py ingest`: what it does in this process, what it says when something is away, and when it exits 1."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from assets import store
from assets.models import Quote, Source
from cryptoetl.demo import Fault, ProviderServer, bundled_coins
from ingestion import normalizing
from ingestion.management import inline
from ingestion.management.commands import ingest as command
from ingestion.management.following import HEADERS
from ingestion.models import Checkpoint, RawPayload, Run
from ingestion.runs import start_run
from ingestion.tests.conftest import point_at

NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def provider(settings) -> Iterator[ProviderServer]:
    with ProviderServer(coins=list(bundled_coins())[:60]) as server:
        point_at(server, settings)
        yield server


def rows_of(out: str) -> dict[str, list[str]]:
    """The table's lines by source, without what is added to a source's title."""
    return {line.split("  ")[0].split(" (")[0]: line.split() for line in out.splitlines()[2:] if line.strip()}


def test_inline_carries_every_enabled_source_and_prints_the_table(manage, provider):
    ran = manage("ingest", "--inline")
    assert ran.code == 0, ran
    assert ran.out.splitlines()[0].split() == list(HEADERS)
    table = rows_of(ran.out)
    assert set(table) == {"CoinGecko", "CoinPaprika", "CSV file"}
    assert all("completed" in row for row in table.values())
    assert Quote.objects.count() == sum(run.inserted for run in Run.objects.all()) > 100
    assert set(Run.objects.values_list("trigger", flat=True)) == {"command"}


def test_a_second_run_says_that_nothing_changed(manage, provider):
    manage("ingest", "csv", "--inline")
    ran = manage("ingest", "csv", "--inline")
    run = Run.objects.latest("pk")
    assert (ran.code, run.unchanged, run.inserted + run.updated) == (0, run.processed, 0)


def test_full_begins_at_the_beginning(manage, provider):
    manage("ingest", "csv", "--inline")
    manage("ingest", "csv", "--inline", "--full")
    assert Run.objects.latest("pk").pages == 1


def test_without_a_terminal_progress_is_plain_lines_on_stderr(manage, provider):
    ran = manage("ingest", "coinpaprika", "--inline")
    assert "\x1b" not in ran.err + ran.out
    assert any(line.startswith("CoinPaprika: completed, ") for line in ran.err.splitlines())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("btc",), "There is no source 'btc'; the sources are coingecko, coinpaprika, csv."),
        (("csv", "--all"), "Name sources or say --all, not both."),
        (("--wait", "soon"), "argument --wait: 'soon' is not a number of seconds from 0"),
        (("--wait", "-1"), "argument --wait: '-1' is not a number of seconds from 0"),
        (("--no-wait", "--inline"), "--no-wait goes with neither --inline nor --wait."),
        (("--nosuch",), "unrecognized arguments: --nosuch"),
    ],
)
def test_a_wrong_argument_is_one_sentence(manage, arguments, words):
    assert manage.refused("ingest", *arguments) == words
    assert not Run.objects.exists()


def test_a_disabled_source_is_refused_by_name_and_left_out_otherwise(manage, provider):
    Source.objects.filter(slug="coingecko").update(enabled=False)
    assert "The source coingecko is disabled" in manage.refused("ingest", "coingecko", "--inline")
    assert set(rows_of(manage("ingest", "--all", "--inline").out)) == {"CoinPaprika", "CSV file"}


def test_every_source_disabled_is_a_sentence(manage):
    Source.objects.update(enabled=False)
    assert "Every source is disabled" in manage.refused("ingest", "--all", "--inline")


def test_a_source_that_refuses_fails_with_its_reason_and_exit_1(manage, provider):
    provider.fail("coingecko", Fault.KEY_MISSING)
    ran = manage("ingest", "coingecko", "csv", "--inline")
    assert ran.code == 1
    assert "the API key is missing: set COINGECKO_API_KEY" in ran.out
    assert "completed" in rows_of(ran.out)["CSV file"]


def test_inline_waits_as_long_as_the_provider_asks_and_says_so(manage, provider):
    provider.fail("coinpaprika", Fault.RATE_LIMITED_SECONDS)
    ran = manage("ingest", "coinpaprika", "--inline")
    assert ran.code == 0, ran
    assert "CoinPaprika: waiting 1 s: CoinPaprika answers HTTP 429, too many calls" in ran.err
    assert Run.objects.get().retries == 1


def test_a_run_that_waits_does_not_hold_up_the_others(manage, provider):
    provider.fail("coingecko", Fault.RATE_LIMITED_SECONDS, times=100, seconds=3600)
    ran = manage("ingest", "--inline", "--wait", "2")
    table = rows_of(ran.out)
    assert ran.code == 1
    assert "still trying" in " ".join(table["CoinGecko"])
    assert "completed" in table["CoinPaprika"]
    assert "completed" in table["CSV file"]


def test_wait_returns_when_the_time_is_up(manage, provider):
    ran = manage("ingest", "csv", "--wait", "0")
    assert ran.code == 1
    assert "still trying" in ran.out
    assert Run.objects.get().status == "queued"


def test_no_wait_queues_and_returns(manage, provider):
    ran = manage("ingest", "csv", "--no-wait")
    assert (ran.code, Run.objects.get().status) == (0, "queued")


def test_without_a_broker_the_run_stays_queued_and_a_sentence_says_so(manage, settings):
    settings.CELERY_BROKER_URL = NOWHERE
    said = manage.refused("ingest", "csv")
    assert said.startswith("The broker at 127.0.0.1:1 can't be reached (Connection refused).")
    assert "stay queued in the database" in said
    assert Run.objects.get().status == "queued"


def test_inline_needs_no_broker(manage, provider, settings):
    settings.CELERY_BROKER_URL = NOWHERE
    assert manage("ingest", "csv", "--inline").code == 0


def test_without_a_worker_it_says_so_instead_of_waiting_for_ever(manage, provider, monkeypatch):
    monkeypatch.setattr(command, "TAKEN_WITHIN", 0.0)
    ran = manage("ingest", "csv")
    assert ran.code == 1
    assert ran.err.splitlines()[-1].startswith("No worker answers: the runs stay queued in the database")


def test_a_run_under_way_is_waited_for_and_carried_on(manage, provider):
    run = start_run(Source.objects.get(slug="csv"), Run.Trigger.SCHEDULE)
    ran = manage("ingest", "csv", "--inline", "--full")
    assert f" has a run under way (run {run.pk}, queued). It is waited for (it is not a full one)." in ran.err
    run.refresh_from_db()
    assert (Run.objects.count(), run.status) == (1, "completed")


def test_interrupted_inline_the_run_is_cancelled_and_the_next_one_goes_on(manage, provider, settings, monkeypatch):
    settings.ETL_BATCH_SIZE = 10
    monkeypatch.setattr(normalizing, "PAGES_AT_ONCE", 1)
    seen = []

    def stop_at_the_second(page_id: int) -> bool:
        seen.append(page_id)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return normalize(page_id)

    normalize = normalizing.normalize
    monkeypatch.setattr(inline.normalizing, "normalize", stop_at_the_second)
    ran = manage("ingest", "csv", "--inline")
    run = Run.objects.get()
    assert ran.code == 1
    assert f"Interrupted: run {run.pk} of {run.source.title} is cancelled; the next goes on where it" in ran.err
    assert (run.status, run.pages, run.lease_token) == ("cancelled", 2, None)

    monkeypatch.setattr(inline.normalizing, "normalize", normalize)
    assert manage("ingest", "csv", "--inline").code == 0
    assert not RawPayload.objects.filter(state="stored").exists()
    held = RawPayload.objects.filter(source__slug="csv").count()
    whole = Quote.objects.count()
    manage("ingest", "csv", "--inline", "--full")
    assert Quote.objects.count() == whole > 20
    assert RawPayload.objects.count() - held == held


def test_a_fault_of_ours_fails_its_run_and_leaves_the_others_their_turn(manage, provider, monkeypatch):
    def spoilt(source: Source, pages: Any) -> Any:
        if source.slug == "coingecko":
            raise ZeroDivisionError("ours")
        return merge_pages(source, pages)

    merge_pages = store.merge_pages
    monkeypatch.setattr(store, "merge_pages", spoilt)
    ran = manage("ingest", "--inline")
    assert ran.code == 1
    assert "A fault of cryptoetl itself: ZeroDivisionError: ours" in ran.out
    assert "Traceback" not in ran.err
    assert "completed" in rows_of(ran.out)["CSV file"]


# ------------------------------------------------------------------------------------------------------ as make up asks


def test_first_is_content_once_the_csv_is_in(manage, provider, settings):
    settings.COINGECKO_BASE_URL = settings.COINPAPRIKA_BASE_URL = "http://127.0.0.1:9"
    ran = manage("ingest", "--all", "--first", "--wait", "2", "--inline")
    assert ran.code == 0, ran
    assert ran.last_line.endswith("make demo")
    assert "127.0.0.1:9 refuses the connection" in ran.out


def test_first_names_no_demo_when_a_provider_answered(manage, provider, settings):
    settings.COINGECKO_BASE_URL = "http://127.0.0.1:9"
    assert "make demo" not in manage("ingest", "--first", "--wait", "2", "--inline").out


def test_first_fails_without_the_csv(manage, provider, settings):
    settings.CSV_SOURCE_PATH = "/nowhere/coins.csv"
    ran = manage("ingest", "--first", "--inline")
    assert ran.code == 1
    assert "There is no file /nowhere/coins.csv" in ran.out


def test_the_checkpoint_stands_at_the_end_of_what_is_in(manage, provider):
    manage("ingest", "csv", "--inline")
    checkpoint = Checkpoint.objects.get(source__slug="csv")
    assert (checkpoint.in_sweep, checkpoint.page_id) == (False, RawPayload.objects.get().pk)
