"""The commands of manage.py beside `ingest`: what they show and do, and one sentence for everything that is wrong."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest
from django.conf import settings as django_settings
from django.contrib.auth import authenticate, get_user_model

from assets.models import Asset, Listing, ListingKey, PricePoint, Quote, Source
from cryptoetl.demo import Fault, ProviderServer, bundled_coins
from ingestion import sources as modules
from ingestion.models import CallMonth, Checkpoint, RawPayload, Reject, Run, Sighting
from ingestion.runs import start_run
from ingestion.tests.conftest import point_at

COMMANDS = ("ingest", "replay", "checkpoint", "sources", "runs", "resolve", "doctor", "prune", "createadmin", "requeue")


@pytest.fixture
def provider(settings) -> Iterator[ProviderServer]:
    with ProviderServer(coins=list(bundled_coins())[:60]) as server:
        point_at(server, settings)
        yield server


def final_tables() -> tuple[list, list]:
    """What people read, without where each row came from."""
    quotes = Quote.objects.order_by("listing__source__slug", "listing__source_asset_id")
    points = PricePoint.objects.order_by("listing__source__slug", "listing__source_asset_id", "observed_at")
    return (
        list(quotes.values_list("listing__source_asset_id", "asset__slug", "price_usd", "market_cap", "observed_at")),
        list(points.values_list("listing__source_asset_id", "observed_at", "price_usd")),
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(manage, command):
    ran = manage(command, "--help")
    assert ran.code == 0
    assert f"manage.py {command}" in ran.out
    assert len(ran.out) > 300


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("replay btc", "There is no source 'btc'; the sources are coingecko, coinpaprika, csv."),
        ("replay", "the following arguments are required: SOURCE"),
        ("replay csv --run 7", "There is no run 7; `python manage.py runs` shows those there are."),
        ("replay csv --run x", "The number of a run is a whole number from 1, and 'x' is none."),
        ("replay csv --run -1", "The number of a run is a whole number from 1, and '-1' is none."),
        ("replay csv --run 99999999999999999999", "The number of a run is a whole number from 1, and"),
        (f"runs show {'1' * 5000}", "The number of a run is a whole number from 1, and '1111"),
        (
            "replay csv --since yesterday",
            "'yesterday' is no time: write 2026-11-21, 2026-11-21T08:00Z, or how long ago",
        ),
        ("replay csv --since 2026-13-45", "'2026-13-45' is no time"),
        ("replay csv --since 99999999999d", "'99999999999d' is no time"),
        ("replay csv --since 9999-12-31T23:59-23:00", "'9999-12-31T23:59-23:00' is no time"),
        ("checkpoint", "the following arguments are required: action"),
        ("checkpoint move", "argument action: invalid choice: 'move'"),
        ("checkpoint show btc", "There is no source 'btc'"),
        ("checkpoint reset btc", "There is no source 'btc'"),
        ("runs --last 0", "--last is a whole number from 1, and '0' is none."),
        ("runs --source btc", "There is no source 'btc'"),
        ("runs --source csv show 1", "`runs show` shows the runs that are named; --source is for the list."),
        ("runs compare 1", "`runs compare` takes the numbers of two runs."),
        ("runs compare 1 2", "There is no run 1;"),
        ("runs show 1 2", "`runs show` takes the number of one run."),
        ("runs list 1", "`runs list` takes no run."),
        ("requeue", "Say which: a SOURCE, --reject ID, --page ID, --reason TEXT or --all; --list shows them."),
        ("requeue --reject 5", "There is no rejected record 5."),
        ("requeue --page 5", "There is no page 5."),
        ("requeue --page five", "The number of a page is a whole number from 1, and 'five' is none."),
        ("requeue btc", "There is no source 'btc'"),
        ("backfill coingecko --days 99999999999", "--days is 99999999999, and no coin has a past of more than"),
        ("evaluate_identity", "the following arguments are required: --left, --right"),
        ("evaluate_identity --left /no/such --right /no/such", "/no/such can't be read: no such file or directory"),
        (
            "evaluate_identity --left a --right b --min-recall 2",
            "argument --min-recall: '2' is not a share from 0 to 1",
        ),
        ("prune --nosuch", "unrecognized arguments: --nosuch"),
    ],
)
def test_a_wrong_argument_is_one_sentence(manage, arguments, sentence):
    said = manage.refused(*arguments.split())
    assert said.startswith(sentence), said


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("checkpoint", "reset", ""), "source"),
        (("replay", "csv", "--run", ""), "run"),
        (("replay", "csv", "--since="), "since"),
        (("requeue", "", "--discard", "--all"), "source"),
        (("requeue", "csv", "--reason", ""), "reason"),
        (("runs", "--source", ""), "source"),
        (("backfill", "coingecko", "--days", "2", "--coins", ""), "coins"),
    ],
)
def test_an_empty_argument_does_not_mean_everything(manage, arguments, name):
    """A script whose variable is not set."""
    said = manage.refused(*arguments)
    assert said.startswith(f"The argument '{name}' is empty: give it a value, or leave it out."), said


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("backfill", "coingecko", "--days", "2", "--coins", "bitcoin", "\udcff"), "coins"),
        (("apikey", "make", "\udcff"), "name"),
    ],
)
def test_an_argument_of_bytes_that_are_no_text_is_one_sentence(manage, arguments, name):
    assert manage.refused(*arguments) == f"The argument '{name}' is not UTF-8: '\\udcff'."


@pytest.mark.parametrize("command", ["runs", "ingest csv --inline", "migrate", "showmigrations"])
def test_a_database_that_is_away_is_one_sentence(command):
    """In a process of its own, as a user has it."""
    away = os.environ | {"DATABASE_URL": "postgres://someone:secret-word@127.0.0.1:1/nowhere"}
    ran = subprocess.run(
        [sys.executable, "manage.py", *command.split()],
        cwd=django_settings.BASE_DIR,
        env=away,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    assert len(ran.stderr.strip().splitlines()) == 1
    assert ran.stderr.startswith("PostgreSQL at 127.0.0.1:1/nowhere can't be used: ")
    assert "secret-word" not in ran.stderr


def test_an_interruption_is_a_word_while_a_command_still_loads():
    ran = subprocess.run(
        [sys.executable, "manage.py", "shell", "--no-imports", "-c", "raise KeyboardInterrupt"],
        cwd=django_settings.BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (1, "", "Interrupted.\n")


# ----------------------------------------------------------------------------------------------------------- replay


def test_replay_gives_what_a_fresh_ingestion_of_the_same_payloads_gives(manage, provider):
    for _ in range(2):
        manage("ingest", "--inline")
        provider.change_prices()
    fresh = final_tables()
    Quote.objects.all().delete()
    PricePoint.objects.all().delete()
    Listing.objects.all().delete()
    Asset.objects.all().delete()
    for slug in ("coinpaprika", "csv", "coingecko"):
        assert manage("replay", slug).code == 0
    assert final_tables() == fresh


def test_a_dry_run_of_replay_writes_nothing_and_says_what_it_would(manage, provider):
    manage("ingest", "coinpaprika", "--inline")
    count = Quote.objects.count()
    Quote.objects.all().delete()
    ran = manage("replay", "coinpaprika", "--dry-run")
    assert ran.out.startswith(f"Nothing is written; 1 page: {count} new, 0 changed, 0 unchanged, 0 rejected.")
    assert not Quote.objects.exists()


def test_replay_takes_the_pages_of_one_run_or_since_a_time(manage, provider):
    manage("ingest", "coingecko", "csv", "--inline")
    other, run = Run.objects.order_by("source__slug")
    assert f"Run {run.pk} is one of {run.source.slug}, not of {other.source.slug}." == manage.refused(
        "replay", other.source.slug, "--run", str(run.pk)
    )
    assert manage("replay", run.source.slug, "--run", str(run.pk)).out.startswith(f"{run.pages} page")
    assert manage("replay", "csv", "--since", "2h").out.startswith("1 page: ")
    assert manage("replay", "csv", "--since", "2099-01-01").out == "There is no stored page to replay.\n"


def test_replay_never_overwrites_newer_with_older(manage, provider):
    manage("ingest", "coingecko", "--inline")
    first = Run.objects.get()
    provider.change_prices()
    manage("ingest", "coingecko", "--inline")
    newest = final_tables()
    ran = manage("replay", "coingecko", "--run", str(first.pk))
    assert ", 0 changed," in ran.out
    assert final_tables() == newest


# ------------------------------------------------------------------------------------------------ checkpoints and runs


def test_checkpoint_shows_and_resets(manage, provider):
    manage("ingest", "csv", "--inline")
    assert "reads what is new" in manage("checkpoint", "show", "csv").out
    cursor = Checkpoint.objects.get(source__slug="csv").cursor
    assert cursor in manage("checkpoint", "show", "csv").out
    assert manage("checkpoint", "reset", "csv").code == 0
    assert Checkpoint.objects.get(source__slug="csv").cursor is None
    assert "begins a sweep" in manage("checkpoint", "show").out


def test_checkpoint_reset_is_refused_while_a_run_is_under_way(manage):
    run = start_run(Source.objects.get(slug="csv"), Run.Trigger.SCHEDULE)
    assert manage.refused("checkpoint", "reset", "csv").endswith(f"has a run under way (run {run.pk}, queued).")


def test_runs_lists_shows_and_compares(manage, provider):
    assert manage("runs").out == "There is no run yet: `python manage.py ingest` makes one.\n"
    manage("ingest", "coinpaprika", "--inline")
    provider.remove("bitcoin", source="coinpaprika")
    manage("ingest", "coinpaprika", "--inline")
    second, first = Run.objects.all()
    assert len(manage("runs", "--last", "1").out.splitlines()) == 3
    assert len(manage("runs", "--source", "coinpaprika").out.splitlines()) == 4
    shown = manage("runs", "show", str(first.pk)).out
    assert "/tickers" in shown and f"{first.inserted}" in shown
    compared = manage("runs", "compare", str(first.pk), str(second.pk)).out
    assert f"Only in run {first.pk}: 1 listing: btc-bitcoin" in compared
    assert f"Only in run {second.pk}: 0 listings" in compared
    assert f"-{first.inserted - second.inserted:,}" in compared
    Sighting.objects.filter(payload__run=first).delete()
    first.payloads.all().delete()
    compared = manage("runs", "compare", str(first.pk), str(second.pk)).out
    assert "Only in" not in compared and "is not known" in compared


# ---------------------------------------------------------------------------------------------------------- sources


def test_sources_shows_what_is_configured(manage, provider, settings):
    settings.CSV_SOURCE_PATH = "https://someone:secret-word@example.invalid/coins.csv?signature=secret-word"
    out = manage("sources").out
    assert "https://example.invalid/coins.csv" in out
    assert "secret-word" not in out
    assert "0 of 10,000 calls used this month" in out


def test_sources_check_knocks_once_at_each_and_counts_the_call(manage, provider):
    ran = manage("sources", "--check")
    assert ran.code == 0, ran
    assert [line.split()[0] for line in ran.out.splitlines()] == ["ok"] * 3
    assert {row.source.slug: row.calls for row in CallMonth.objects.select_related("source")}["coingecko"] == 1


def test_sources_check_says_which_one_fails_and_why(manage, provider, settings):
    provider.fail("coingecko", Fault.KEY_DEACTIVATED)
    settings.CSV_SOURCE_PATH = "/nowhere/coins.csv"
    ran = manage("sources", "--check")
    lines = {line.split()[1]: line for line in ran.out.splitlines()}
    assert ran.code == 1
    assert "the subscription of this API key is deactivated" in lines["coingecko:"]
    assert lines["coinpaprika:"].startswith("ok")
    assert lines["csv:"] == "fail  csv: There is no file /nowhere/coins.csv."


# ----------------------------------------------------------------------------------------------------------- requeue


@pytest.fixture
def spoilt(manage, provider, settings, tmp_path) -> Reject:
    """A CSV with one good coin and two that can't be read, ingested; the reject with the negative price."""
    settings.CSV_SOURCE_PATH = str(tmp_path / "coins.csv")
    (tmp_path / "coins.csv").write_text("symbol,name,price_usd\nBTC,Bitcoin,1\nBAD,Bad,-5\nODD,Odd,many\n")
    manage("ingest", "csv", "--inline")
    return Reject.objects.get(reason__contains="negative")


def test_requeue_lists_by_reason(manage, spoilt):
    out = manage("requeue", "--list").out
    assert "price_usd is negative: '-5'" in out and "price_usd is no number: 'many'" in out


def test_requeue_reads_again_and_keeps_what_still_cannot_be_read(manage, spoilt):
    ran = manage("requeue", "csv")
    assert (ran.code, ran.last_line) == (1, "0 of 2 rejected records in now.")
    assert Reject.objects.filter(state="open").count() == 2


def test_requeue_after_a_fix_brings_the_record_in(manage, spoilt, monkeypatch):
    source = modules.BY_SLUG["csv"]

    def mended(item):
        return source.parse(replace(item, data={name: value.lstrip("-") for name, value in item.data.items()}))

    monkeypatch.setitem(modules.BY_SLUG, "csv", replace(source, parse=mended))
    ran = manage("requeue", "--reject", str(spoilt.pk))
    assert (ran.code, ran.last_line) == (0, "1 of 1 rejected record in now.")
    spoilt.refresh_from_db()
    assert (spoilt.state, spoilt.closed_at is not None) == ("resolved", True)
    assert Quote.objects.get(listing__symbol="BAD").price_usd == 5
    assert Reject.objects.get(state="open").reason.startswith("price_usd is no number")


def test_requeue_discards_all_of_one_error(manage, spoilt):
    ran = manage("requeue", "--reason", "is negative", "--discard")
    assert ran.out == "Gave up 1 rejected record; what is given up is kept with its reason.\n"
    spoilt.refresh_from_db()
    assert spoilt.state == "discarded"
    assert Reject.objects.filter(state="open").count() == 1
    ran = manage("requeue", "--reject", str(spoilt.pk), "--discard")
    assert ran.out == "No rejected record is open there: nothing was given up.\n"
    manage("requeue", "--all", "--discard")
    assert "every record and every page is in, but for 2 given up." in manage("requeue", "--list").out


def test_requeue_reads_a_failed_page_again(manage, provider):
    manage("ingest", "coinpaprika", "--inline")
    page = RawPayload.objects.get()
    Quote.objects.all().delete()
    RawPayload.objects.update(state="failed", error="Set aside: it killed its worker.", attempts=3)
    assert "Set aside" in manage("requeue", "--list").out
    ran = manage("requeue", "--page", str(page.pk))
    assert (ran.code, ran.last_line) == (0, f"Page {page.pk} is in: {Quote.objects.count()} records.")


def test_requeue_says_which_page_still_cannot_be_read(manage, provider):
    provider.fail("coinpaprika", Fault.HTML_200)
    manage("ingest", "coinpaprika", "--inline")
    page = RawPayload.objects.get()
    ran = manage("requeue", "coinpaprika")
    assert ran.code == 1
    assert ran.last_line.startswith(f"Page {page.pk} still can't be read: ")
    assert RawPayload.objects.get().state == "failed"


# -------------------------------------------------------------------------------------------------- resolve and prune


def test_resolve_puts_back_what_today_s_rule_puts_elsewhere(manage, provider):
    manage("ingest", "coingecko", "coinpaprika", "--inline")
    assert "0 moves" in manage("resolve", "--dry-run").out
    before = final_tables()
    bitcoin = Listing.objects.get(source_asset_id="btc-bitcoin")
    wrong = Asset.objects.get(slug="ethereum")
    assert bitcoin.asset.slug == "bitcoin"
    Listing.objects.filter(pk=bitcoin.pk).update(asset=wrong, method="chance")
    Quote.objects.filter(pk=bitcoin.pk).update(asset=wrong)

    dry = manage("resolve", "--dry-run").out
    assert "1 move;" in dry and "coinpaprika:btc-bitcoin" in dry and dry.startswith("Nothing is written")
    assert Listing.objects.get(pk=bitcoin.pk).asset == wrong
    assert "1 move;" in manage("resolve").out
    assert final_tables() == before
    assert Asset.objects.get(slug="bitcoin").quotes_count == 2
    assert "0 moves" in manage("resolve").out


def test_resolve_gives_every_listing_the_keys_of_today_s_rule(manage, provider):
    manage("ingest", "coinpaprika", "--inline")
    keys = sorted(ListingKey.objects.values_list("listing_id", "key"))
    first = Listing.objects.first()
    ListingKey.objects.filter(listing=first).delete()
    ListingKey.objects.create(listing=first, key=1)  # of yesterday's rule
    manage("resolve", "--dry-run")
    assert sorted(ListingKey.objects.values_list("listing_id", "key")) != keys
    manage("resolve")
    assert sorted(ListingKey.objects.values_list("listing_id", "key")) == keys


def test_prune_says_what_it_would_remove(manage, provider):
    manage("ingest", "csv", "--inline")
    assert manage("prune", "--dry-run").out.startswith("Would remove 0 pages older than 30 days.")
    assert manage("prune").out.startswith("Removed 0 pages older than 30 days")


# -------------------------------------------------------------------------------------------------------- createadmin


def test_createadmin_makes_an_account_whose_password_only_the_file_tells(manage, settings, tmp_path):
    settings.ADMIN_PASSWORD_FILE = tmp_path / "var" / "admin-password"
    ran = manage("createadmin")
    password = settings.ADMIN_PASSWORD_FILE.read_text().strip()
    assert (ran.code, ran.out) == (0, f"Made the superuser admin; its password is in {settings.ADMIN_PASSWORD_FILE}.\n")
    assert password not in ran.out + ran.err
    assert stat.S_IMODE(settings.ADMIN_PASSWORD_FILE.stat().st_mode) == 0o600
    user = authenticate(username="admin", password=password)
    assert user is not None and user.is_superuser


def test_createadmin_leaves_a_superuser_alone(manage, settings, tmp_path):
    settings.ADMIN_PASSWORD_FILE = tmp_path / "admin-password"
    get_user_model().objects.create_superuser("root", password="known to root")
    assert manage("createadmin").out == "There is a superuser already: root.\n"
    assert not settings.ADMIN_PASSWORD_FILE.exists()


def test_createadmin_makes_no_account_when_the_password_cannot_be_kept(manage, settings, tmp_path):
    (tmp_path / "file").write_text("in the way")
    settings.ADMIN_PASSWORD_FILE = tmp_path / "file" / "admin-password"
    assert manage.refused("createadmin").startswith("File exists: ")
    assert not get_user_model().objects.exists()
