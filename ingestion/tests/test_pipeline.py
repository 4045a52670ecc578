"""What a run promises while nothing breaks: everything goes in once, exactly, and says so."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from django.db import connection

from assets import prepared
from assets.models import Asset, Event, Listing, PricePoint, Quote, Source
from cryptoetl.demo import Fault, ProviderServer
from ingestion import parsing, replaying, tasks
from ingestion.models import Checkpoint, RawBody, RawPayload, Reject, Run
from ingestion.runs import start_run
from ingestion.tests.conftest import PAGES, point_at, run_to_end


def written() -> int:
    """Rows that hold data, as the database counts what was ever written to them."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT xmin::text::bigint, count(*) FROM (
                   SELECT xmin FROM assets_quote UNION ALL SELECT xmin FROM assets_listing
                   UNION ALL SELECT xmin FROM assets_asset UNION ALL SELECT xmin FROM assets_price_point) rows
               GROUP BY 1 ORDER BY 1"""
        )
        return hash(tuple(cursor.fetchall()))


def test_three_sources_meet_in_one_asset(ingest, provider):
    for slug in ("coinpaprika", "coingecko", "csv"):
        run = ingest(slug)
        assert (run.status, run.error) == ("completed", ""), slug
        assert run.processed == run.inserted > 100
    bitcoin = Asset.objects.get(slug="bitcoin")
    assert set(bitcoin.listings.values_list("source__slug", flat=True)) == {"coingecko", "coinpaprika", "csv"}
    assert bitcoin.quotes_count == 3


def test_the_order_of_sources_does_not_matter(ingest, provider):
    def assets() -> set[tuple[str, tuple[str, ...]]]:
        return {
            (asset.slug, tuple(sorted(f"{one.source.slug}:{one.source_asset_id}" for one in asset.listings.all())))
            for asset in Asset.objects.prefetch_related("listings__source")
        }

    for slug in ("csv", "coinpaprika", "coingecko"):
        ingest(slug)
    backwards = assets()
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE assets_asset, assets_listing, assets_quote CASCADE")
    Checkpoint.objects.update(cursor=None, in_sweep=False)
    for slug in ("coingecko", "coinpaprika", "csv"):
        ingest(slug)
    assert assets() == backwards


def test_an_unchanged_second_run_writes_no_row_and_says_so(ingest, provider):
    for slug in ("coingecko", "coinpaprika", "csv"):
        ingest(slug)
    before, bodies = written(), RawBody.objects.count()
    for slug in ("coingecko", "coinpaprika", "csv"):
        run = ingest(slug)
        assert (run.status, run.inserted, run.updated, run.rejected) == ("completed", 0, 0, 0), slug
        assert run.unchanged == run.processed > 100
    assert written() == before
    assert RawBody.objects.count() == bodies


def test_a_changed_price_arrives_and_the_old_one_stays_in_history(ingest, provider):
    ingest("coingecko")
    first = Quote.objects.get(listing__source_asset_id="bitcoin")
    provider.set_price("bitcoin", Decimal("123456.789012345678901234567890"))
    run = ingest("coingecko")
    assert run.updated >= 1
    assert run.inserted == 0
    now = Quote.objects.get(listing__source_asset_id="bitcoin")
    assert now.price_usd == Decimal("123456.789012345678901234567890")
    assert now.observed_at > first.observed_at
    assert set(PricePoint.objects.filter(listing_id=now.pk).values_list("price_usd", flat=True)) == {
        first.price_usd,
        now.price_usd,
    }


@pytest.mark.parametrize(
    "price", ["1.234E-17", "1e30", "0.10", "9223372036854775807", "123456789012345678901234567890.123456789"]
)
def test_numbers_are_exact_decimals_of_any_size(ingest, provider, price):
    provider.set_price("bitcoin", Decimal(price))
    ingest("coingecko")
    assert Quote.objects.get(listing__source_asset_id="bitcoin").price_usd == Decimal(price)


def test_an_older_observation_never_overwrites_a_newer_one(ingest, provider):
    ingest("coingecko")
    old = RawPayload.objects.order_by("pk").first()
    provider.change_prices()
    ingest("coingecko")
    newest = list(Quote.objects.order_by("pk").values("pk", "price_usd", "observed_at", "page_id"))
    for done in replaying.replay(iter([old])):
        assert done.inserted == done.updated == 0
    assert list(Quote.objects.order_by("pk").values("pk", "price_usd", "observed_at", "page_id")) == newest


def test_replay_of_everything_changes_nothing(ingest, provider):
    ingest("coingecko")
    provider.change_prices()
    ingest("coingecko")
    before = written()
    *_, done = replaying.replay(RawPayload.objects.order_by("pk").iterator())
    assert (done.inserted, done.updated, done.failed) == (0, 0, 0)
    assert done.unchanged > 100
    assert written() == before


def test_replay_from_nothing_gives_what_the_ingestion_gave(ingest, provider):
    columns = (
        "listing__source_asset_id",
        "price_usd",
        "market_cap",
        "rank",
        "observed_at",
        "page_id",
        "position",
        "digest",
    )
    ingest("coingecko")
    provider.change_prices()
    ingest("coingecko")
    quotes = list(Quote.objects.order_by("listing__source_asset_id").values_list(*columns))
    points = PricePoint.objects.count()
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE assets_asset, assets_listing, assets_quote, assets_price_point CASCADE")
    for _ in replaying.replay(RawPayload.objects.order_by("pk").iterator()):
        pass
    assert list(Quote.objects.order_by("listing__source_asset_id").values_list(*columns)) == quotes
    assert PricePoint.objects.count() == points


def test_what_a_source_writes_for_unknown_is_null(ingest, provider):
    ingest("coinpaprika")
    ingest("coingecko")
    assert Quote.objects.filter(max_supply=0).count() == 0
    assert Quote.objects.filter(source__slug="coinpaprika", market_cap=0).count() == 0
    assert Quote.objects.filter(source__slug="coinpaprika", max_supply=None).exists()
    assert Quote.objects.filter(source__slug="coingecko", market_cap=None).exists()


def test_a_body_is_kept_exactly_as_received(ingest, provider):
    import requests

    run = ingest("coinpaprika")
    body = requests.get(provider.url("coinpaprika") + "/tickers?quotes=USD", timeout=10).content
    assert parsing.as_bytes(run.payloads.get().body) == body


@pytest.mark.parametrize(
    ("body", "encoding", "stored_as"),
    [
        (b"plain", "utf-8", "utf-8"),
        ("Übercoin;1,5\r\n".encode("latin-1"), "latin-1", "latin-1"),
        ("Übercoin\n".encode("utf-16-le"), "utf-16-le", "utf-16-le"),
        (b"\xff\xfe\x00binary\x00", "utf-8", "base64"),
        (b"nul \x00 in text", "utf-8", "base64"),
        (b"", "utf-8", "utf-8"),
        (b'[{"name": "Wrong \xff byte"}]', "utf-8", "latin-1"),
        (b"what", "no-such-codec", "latin-1"),
    ],
)
def test_every_body_comes_back_to_the_byte(body, encoding, stored_as):
    text, codec = parsing.as_text(body, encoding)
    assert codec == stored_as
    assert "\0" not in text
    assert parsing.as_bytes(RawBody(text=text, encoding=codec)) == body


def test_the_view_for_people_at_psql_shows_every_record_as_received(ingest, provider):
    for slug in ("coingecko", "csv"):
        run = ingest(slug)
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*), count(DISTINCT (page_id, position)), max(received_at) FROM raw_{slug}")
            count, places, received_at = cursor.fetchone()
            assert count == places == run.processed
            assert received_at is not None
    with connection.cursor() as cursor:
        cursor.execute("SELECT payload ->> 'name' FROM raw_coingecko WHERE payload ->> 'id' = 'bitcoin'")
        assert cursor.fetchall() == [("Bitcoin",)]


def viewed(body: str, meta: dict | None = None) -> list[tuple]:
    """Position and payload of each record of the page, as the view shows them."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM ingestion_items(%s, %s::jsonb)", [body, json.dumps(meta or {})])
        return [(position, json.loads(payload)) for position, payload in cursor.fetchall()]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("NaN", "NaN"),
        ("-Infinity", "-Infinity"),
        ("1e1000000000000000000", "1e1000000000000000000"),
        (r'"a\u0000b"', "a␀b"),
        (r'"a\\u0000b"', r"a\u0000b"),
        (r'"a\ud800b"', "a�b"),
        (r'"a\udc00b"', "a�b"),
        (r'"\ud83d\ude00"', "😀"),
    ],
)
def test_the_view_shows_the_records_beside_one_that_can_not_be_read(written, shown):
    assert viewed(f'[{{"id": 1}}, {{"odd": {written}}}, {{"id": NaN}}]') == [
        (0, {"id": 1}),
        (1, {"odd": shown}),
        (2, {"id": "NaN"}),
    ]
    assert viewed(f'{{"all": [{{"odd": {written}}}]}}', {"items": "all"}) == [(0, {"odd": shown})]
    assert viewed("<html>") == viewed('{"a": NaN') == []


def test_the_view_shows_the_records_beside_one_with_a_byte_that_is_no_character(ingest, provider):
    provider.fail("coingecko", Fault.BAD_UTF8, position=1)
    run = ingest("coingecko")
    assert run.rejected == 1
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*), count(*) FILTER (WHERE payload ->> 'id' = 'bitcoin') FROM raw_coingecko")
        assert cursor.fetchone() == (run.processed, 1)


@pytest.mark.parametrize("empty", [",,,,", '"",,"",,', " , ,,,", "   ", ""])
def test_an_empty_row_is_no_record_in_the_view_either(ingest, tmp_path, settings, empty):
    path = tmp_path / "coins.csv"
    row = '{0},{0} Coin,"1{0}",2,2026-11-20T00:00:00Z\n'
    settings.CSV_SOURCE_PATH = str(path)
    path.write_text(
        f"symbol,name,note,price,last_updated\n{row.format('A')}{empty}\n{row.format('B')}{row.format('C')}"
    )
    assert ingest("csv").processed == 3
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT quote.position, item.payload ->> 'symbol', item.payload ->> 'note', listing.symbol
               FROM assets_quote quote JOIN assets_listing listing ON listing.id = quote.listing_id
               LEFT JOIN raw_csv item ON item.page_id = quote.page_id AND item.position = quote.position
               ORDER BY quote.position"""
        )
        assert cursor.fetchall() == [(place, letter, f"1{letter}", letter) for place, letter in enumerate("ABC")]
        cursor.execute("SELECT count(*) FROM raw_csv")
        assert cursor.fetchone() == (3,)


def test_two_coins_with_one_symbol_stay_two(ingest, provider):
    for slug in ("coingecko", "coinpaprika"):
        ingest(slug)
    with connection.cursor() as cursor:
        cursor.execute("SELECT source_id, asset_id FROM assets_listing GROUP BY 1, 2 HAVING count(*) > 1")
        assert cursor.fetchall() == []
        cursor.execute("SELECT symbol FROM assets_asset WHERE symbol <> '' GROUP BY 1 HAVING count(*) >= 3")
        assert cursor.fetchall() != []


def test_ten_thousand_coins_in_one_source(ingest, settings):
    with ProviderServer(generated=10_000, coinpaprika_assets=10_000) as server:
        point_at(server, settings)
        settings.COINGECKO_COINS = 10_000
        run = ingest("coingecko")
        assert (run.status, run.pages, run.inserted) == ("completed", 40, 10_000)
    assert Quote.objects.count() == 10_000


def test_a_coin_twice_in_a_sweep_is_one_coin_and_one_missed_is_not_delisted(ingest, settings):
    with ProviderServer(generated=600) as server:
        point_at(server, settings)
        settings.COINGECKO_COINS = 600
        ingest("coingecko")
        server.fail("coingecko", Fault.SHIFT_TWICE, match={"page": 2}, count=3)
        run = ingest("coingecko")
        assert run.status == "completed"
        assert Listing.objects.count() == 600
        server.fail("coingecko", Fault.SHIFT_MISSED, match={"page": 2}, count=3)
        run = ingest("coingecko")
        assert run.status == "completed"
        assert Listing.objects.filter(delisted_at__isnull=False).count() == 0
        assert Listing.objects.filter(missed_sweeps=1).count() == 3
        ingest("coingecko")
        assert Listing.objects.filter(missed_sweeps__gt=0).count() == 0


def test_a_coin_missing_from_three_whole_sweeps_is_delisted_kept_and_back_when_it_is_back(ingest, provider):
    ingest("coingecko")
    listing = Listing.objects.get(source_asset_id="dogecoin")
    coin_at = Quote.objects.get(pk=listing.pk)
    provider.remove("dogecoin", source="coingecko")
    for missed in (1, 2):
        ingest("coingecko")
        listing.refresh_from_db()
        assert (listing.missed_sweeps, listing.delisted_at) == (missed, None)
        assert listing.last_seen_at is not None
    ingest("coingecko")
    listing.refresh_from_db()
    assert listing.delisted_at is not None
    assert Quote.objects.get(pk=listing.pk).price_usd == coin_at.price_usd
    assert listing.asset.agreement == "none"
    assert listing.events.get().kind == "delisted"


def test_a_coin_that_its_source_had_not_before_is_an_event_and_the_first_sweep_is_none(ingest, provider):
    ingest("coingecko")
    assert not Event.objects.exists()
    provider.add("new-coin", symbol="NEW", price="1.5")
    ingest("coingecko")
    ingest("coingecko")
    event = Event.objects.get()
    assert (event.kind, event.listing.source_asset_id) == ("listed", "new-coin")


def test_a_run_after_a_whole_sweep_begins_at_the_first_page(ingest, settings):
    with ProviderServer(generated=600) as server:
        point_at(server, settings)
        settings.COINGECKO_COINS = 600
        for _ in range(2):
            run = ingest("coingecko")
            assert (run.pages, run.whole) == (3, True)
        pages = [call.params.get("page") for call in server.calls_of("coingecko")]
        assert pages == ["1", "2", "3"] * 2


@pytest.mark.parametrize(("coins", "pages", "processed"), [(10, 1, 10), (250, 1, 250), (300, 2, 300), (251, 2, 252)])
def test_so_many_coins_are_asked_for_in_as_few_calls_as_possible(ingest, settings, coins, pages, processed):
    with ProviderServer(generated=600) as server:
        point_at(server, settings)
        settings.COINGECKO_COINS = coins
        run = ingest("coingecko")
        assert (run.status, run.pages, run.processed) == ("completed", pages, processed)
        assert len(server.calls_of("coingecko")) == pages


def test_a_sweep_that_goes_on_with_larger_pages_leaves_no_coin_out(ingest, settings):
    with ProviderServer(generated=600) as server:
        point_at(server, settings)
        settings.COINGECKO_COINS = 300
        server.fail("coingecko", Fault.KEY_INVALID, match={"page": 2})
        assert (ingest("coingecko").inserted, settings.COINGECKO_COINS) == (150, 300)
        settings.COINGECKO_COINS = 500
        assert ingest("coingecko").status == "completed"
        assert Listing.objects.count() == 500


def test_a_failed_run_goes_on_from_its_checkpoint_and_a_full_one_does_not(ingest, settings):
    with ProviderServer(generated=600) as server:
        point_at(server, settings)
        settings.COINGECKO_COINS = 600
        server.fail("coingecko", Fault.KEY_INVALID, match={"page": 2})
        run = ingest("coingecko")
        assert (run.status, run.pages, run.inserted) == ("failed", 1, 200)
        assert "HTTP 403" in run.error
        run = ingest("coingecko")
        assert (run.status, run.pages, run.inserted) == ("completed", 2, 400)
        server.fail("coingecko", Fault.KEY_INVALID, match={"page": 2})
        ingest("coingecko")
        run = ingest("coingecko", full=True)
        assert (run.status, run.pages, run.processed) == ("completed", 3, 600)


def test_fail_after_n_records_stops_at_the_whole_page_of_a_paged_source(ingest, settings):
    with ProviderServer(generated=600) as server:
        point_at(server, settings)
        settings.COINGECKO_COINS = 600
        settings.FAIL_AFTER_N_RECORDS = 300
        run = ingest("coingecko")
        assert (run.status, run.processed) == ("failed", 400)
        settings.FAIL_AFTER_N_RECORDS = None
        run = ingest("coingecko")
        assert (run.status, run.processed) == ("completed", 200)


def test_a_failed_run_does_not_poison_the_next_in_the_same_process(ingest, provider):
    provider.fail("coingecko", Fault.CUT_JSON)
    failed = ingest("coingecko")
    assert failed.status == "failed"
    good = ingest("coingecko")
    assert (good.status, good.inserted) == ("completed", good.processed)


def test_behind_a_pooler_a_run_goes_on_though_nothing_stays_prepared(market, monkeypatch):
    monkeypatch.setattr(prepared, "_pooled", False)

    def hand_over_the_connection(_: int) -> None:
        with connection.cursor() as cursor:
            cursor.execute("DEALLOCATE ALL")

    run = start_run(Source.objects.get(slug="coingecko"), Run.Trigger.COMMAND)
    tasks.carry(run.pk, hand_over_the_connection)
    run.refresh_from_db()
    assert (run.pages, run.outcome, run.error) == (PAGES, "completed", "")
    assert prepared._pooled


def test_one_run_per_source_at_a_time(tables, provider):
    from assets.models import Source
    from ingestion.runs import AlreadyActive, start_run

    source = Source.objects.get(slug="coingecko")
    run = start_run(source, Run.Trigger.ADMIN)
    with pytest.raises(AlreadyActive, match=f"run {run.pk}"):
        start_run(source, Run.Trigger.COMMAND)
    assert run_to_end("coinpaprika").status == "completed"


def test_counts_add_up_and_rejects_are_kept_with_their_reason(ingest, provider):
    provider.fail("coingecko", Fault.PRICE_STRING, position=3)
    run = ingest("coingecko")
    assert run.status == "completed"
    assert run.rejected == 1
    assert run.processed == run.inserted + run.rejected
    reject = Reject.objects.get()
    assert (reject.position, reject.field) == (3, "current_price")
    assert "current_price is text, not a number" in reject.reason
    assert '"current_price":"' in reject.raw.replace(" ", "")
