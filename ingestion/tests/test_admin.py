"""The admin's pages about ingestion: they open, they don't ask the database a question a row, and actions ask first."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from django.contrib.admin import site
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.db.models.functions import Now
from django.urls import reverse
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from assets.admin.reading import ReadOnlyAdmin
from assets.models import Asset, Listing, Quote, Source
from cryptoetl.demo import ProviderServer, bundled_coins
from ingestion.models import Checkpoint, Drift, FieldSeen, Gate, RawPayload, Reject, Run
from ingestion.parsing import as_bytes
from ingestion.runs import start_run
from ingestion.tests.browsing import Browser, list_path, messages_of, row_path, words
from ingestion.tests.conftest import point_at, run_to_end

NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def provider(settings) -> Iterator[ProviderServer]:
    with ProviderServer(coins=list(bundled_coins())[:60]) as server:
        point_at(server, settings)
        yield server


@pytest.fixture
def browser(tables, client) -> Browser:
    client.force_login(get_user_model().objects.create_superuser("root", password="known to root"))
    return Browser(client)


@pytest.fixture
def loaded(browser, provider, settings, tmp_path) -> Browser:
    """All three sources in, two records of the CSV rejected."""
    settings.CSV_SOURCE_PATH = str(tmp_path / "coins.csv")
    lines = ["symbol,name,price_usd", "BTC,Bitcoin,91000", "BAD,Bad <b>coin</b>,-5", "ODD,Odd,many"]
    (tmp_path / "coins.csv").write_text("\n".join(lines) + "\n")
    for slug in ("coingecko", "coinpaprika", "csv"):
        run_to_end(slug)
    return browser


def csv() -> Source:
    return Source.objects.get(slug="csv")


# ------------------------------------------------------------------------------------------------------------- pages


def test_every_page_of_the_admin_opens(loaded):
    for model in site._registry:
        loaded.list_of(model)
        row = model._default_manager.first()
        if row is not None:
            loaded.page_of(row)
    loaded.open(reverse("admin:index"))


def test_every_list_of_ours_begins_by_saying_what_is_in_it(browser):
    for model, admin in site._registry.items():
        if isinstance(admin, ReadOnlyAdmin):
            assert "__doc__" in vars(type(admin)) and admin.lead, model
            assert admin.lead in browser.list_of(model), model


def test_every_page_opens_while_there_is_nothing_to_show(browser):
    for model in site._registry:
        browser.list_of(model)
    assert "Nothing ran yet" in browser.open(reverse("admin:index"))


@pytest.mark.parametrize("part", ["abc", "1.5", "%00", "%C2%B2", "9" * 30])
def test_what_can_be_no_row_leads_back(browser, part):
    """For %C2%B2, a superscript two, Python says that it is a digit."""
    for model in site._registry:
        page = list_path(model)
        answer = browser.client.get(f"{page}{part}/change/")
        assert (answer.status_code, answer.headers.get("Location")) == (302, "/admin/"), page
    for action in ("run_cancel_here", "rawpayload_replay_here", "reject_read_again_here"):
        here = reverse(f"admin:ingestion_{action}", args=["0"]).replace("/0/", f"/{part}/")
        assert browser.client.get(here).status_code in (200, 302), here


@pytest.mark.parametrize("model", [Run, RawPayload, Reject, Drift, FieldSeen, Listing, Asset, Quote])
def test_a_list_asks_as_many_questions_for_many_rows_as_for_few(loaded, model, monkeypatch):
    many(model)
    counts = []
    for rows in (2, 40):
        monkeypatch.setattr(site._registry[model], "list_per_page", rows)
        counts.append(loaded.queries_of(list_path(model)))
    assert model.objects.count() > 2
    assert counts[0] == counts[1] <= 20, counts


def many(model: type) -> None:
    """More than two rows of those that three small runs make few of."""
    run = Run.objects.filter(source=csv()).first()
    page = run.payloads.earliest("pk")
    if model is Run:
        Run.objects.bulk_create(
            Run(source=csv(), trigger="api", status="failed", finished_at=run.finished_at) for _ in range(50)
        )
    if model is RawPayload:
        RawPayload.objects.bulk_create(
            RawPayload(
                run=run, source=csv(), sweep=1, number=n, url="x", body_id=page.body_id, received_at=page.received_at
            )
            for n in range(2, 50)
        )
    if model is Reject:
        Reject.objects.bulk_create(
            Reject(source=csv(), run=run, payload=page, position=n, reason="x", raw="x", fingerprint=bytes([n] * 16))
            for n in range(50)
        )
    if model is Drift:
        Drift.objects.bulk_create(Drift(source=csv(), run=run, kind="added", path=f"f{n}") for n in range(50))


@pytest.mark.parametrize("model", [Source, Gate, Checkpoint])
def test_the_small_lists_ask_few_questions(loaded, model):
    assert loaded.queries_of(list_path(model)) <= 12


def test_a_run_s_page_asks_as_many_questions_for_many_pages_as_for_few(loaded):
    run = Run.objects.get(source=csv())
    before = loaded.queries_of(row_path(run))
    many(RawPayload)
    many(Reject)
    assert loaded.queries_of(row_path(run)) <= before + 2


def test_a_list_of_payloads_never_fetches_bodies(loaded, django_assert_max_num_queries):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as captured:
        loaded.list_of(RawPayload)
    assert not any('"ingestion_rawbody"."text"' in query["sql"] for query in captured)


def test_a_huge_list_is_counted_to_ten_thousand_and_no_further(loaded, monkeypatch):
    from assets.admin import reading

    monkeypatch.setattr(reading, "COUNTED", 20)
    assert Listing.objects.count() > 21
    assert "more than 20 listings" in loaded.list_of(Listing)


def test_a_list_leads_back_to_all_where_it_is_narrowed_down_and_nowhere_else(loaded):
    assert "( Show all )" not in loaded.list_of(Listing)
    assert "( Show all )" in loaded.list_of(Listing, "?q=bitcoin")
    assert "( Show all )" in loaded.list_of(RawPayload, f"?run__id__exact={Run.objects.first().pk}")


def test_times_are_said_with_their_zone(loaded):
    PeriodicTask.objects.update(last_run_at=Now())
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", loaded.page_of(PeriodicTask.objects.first()))


def test_what_the_pipeline_writes_is_not_edited_by_hand(loaded):
    for model in (Run, RawPayload, Reject, Checkpoint, Gate, Asset, Listing, Quote):
        row = model._default_manager.first()
        assert loaded.client.post(row_path(row), {"state": "x"}).status_code == 403
        assert loaded.client.get(row_path(row, "delete")).status_code == 403
        assert loaded.client.get(list_path(model) + "add/").status_code == 403


def test_nobody_sees_anything_without_logging_in(loaded, client):
    client.logout()
    for path in (reverse("admin:index"), list_path(Run), row_path(RawPayload.objects.first(), "download")):
        answer = client.get(path)
        assert (answer.status_code, answer["location"].split("?")[0]) == (302, "/admin/login/")


# -------------------------------------------------------------------------------------------------------- raw payloads


def test_a_record_is_shown_as_it_came_beside_what_is_made_of_it(loaded):
    quote = Quote.objects.get(listing__source_asset_id="bitcoin", source__slug="coingecko")
    page = RawPayload.objects.get(pk=quote.page_id)
    shown = loaded.open(row_path(page, "items") + f"?at={quote.position}")
    assert "&quot;id&quot;: &quot;bitcoin&quot;" in shown
    assert f"price_usd {quote.price_usd}" in shown


def test_a_record_that_cannot_be_read_is_shown_with_its_reason_and_nothing_in_it_is_markup(loaded):
    page = RawPayload.objects.get(source=csv())
    answer = loaded.client.get(row_path(page, "items") + "?at=1")
    assert "price_usd is negative: '-5'" in words(answer)
    assert "Bad &lt;b&gt;coin&lt;/b&gt;" in answer.content.decode()
    assert "<b>coin</b>" not in answer.content.decode()


@pytest.mark.parametrize("query", ["?at=999999", "?at=-3", "?at=x", "?at=99999999999999999999999", ""])
def test_a_place_that_is_not_there_is_no_error(loaded, query):
    loaded.open(row_path(RawPayload.objects.get(source=csv()), "items") + query)


def test_a_page_is_downloaded_byte_for_byte(loaded):
    page = RawPayload.objects.select_related("body").filter(source__slug="coinpaprika").get()
    answer = loaded.client.get(row_path(page, "download"))
    assert answer.content == as_bytes(page.body)
    assert answer["content-disposition"] == f'attachment; filename="coinpaprika-run{page.run_id}-page1.json"'
    assert loaded.client.get("/admin/ingestion/rawpayload/4711/download/").status_code == 404


# ------------------------------------------------------------------------------------------------------------- actions


def test_an_action_asks_first_and_a_get_changes_nothing(loaded):
    asked = words(loaded.choose("run_now", [csv()]))
    assert "Run these sources now, from their checkpoints?" in asked and "Yes: Run now" in asked
    assert "Run these sources now" in loaded.open(row_path(csv(), "run_now_here"))
    assert not Run.objects.filter(trigger="admin").exists()
    assert not LogEntry.objects.exists()


def test_run_now_queues_a_run_and_is_written_down(loaded):
    said = loaded.act("run_now", [csv()])
    run = Run.objects.get(trigger="admin")
    assert (run.source, run.status, run.full) == (csv(), "queued", False)
    assert f"Queued run {run.pk} of {csv().title}." in said
    entry = LogEntry.objects.get()
    assert (entry.user.username, entry.object_id) == ("root", str(csv().pk))
    assert entry.get_change_message() == f"Run now: Queued run {run.pk} of {csv().title}."


def test_run_now_on_the_source_s_own_page(loaded):
    answer = loaded.client.post(row_path(csv(), "run_full_here"), {"confirmed": "yes"})
    assert (answer.status_code, answer["location"]) == (302, row_path(csv()))
    assert Run.objects.get(trigger="admin").full


def test_run_now_says_when_a_run_is_under_way(loaded):
    run = start_run(csv(), Run.Trigger.SCHEDULE)
    assert loaded.act("run_now", [csv()]) == [f"{csv().title} has a run under way (run {run.pk}, queued). It goes on."]
    assert not LogEntry.objects.exists()


def test_run_now_refuses_a_disabled_source(loaded):
    Source.objects.filter(slug="csv").update(enabled=False)
    assert loaded.act("run_now", [csv()]) == [f"{csv().title} is disabled: enable it first."]


def test_run_now_without_a_broker_queues_the_run_and_says_so(loaded, settings):
    settings.CELERY_BROKER_URL = NOWHERE
    said = loaded.act("run_now", [csv()])
    assert said[0].startswith("The broker at 127.0.0.1:1 can't be reached")
    assert Run.objects.get(trigger="admin").status == "queued"


def test_reset_makes_the_next_run_begin_at_the_beginning(loaded):
    assert Checkpoint.objects.get(source=csv()).cursor is not None
    loaded.act("reset", [csv()])
    assert Checkpoint.objects.get(source=csv()).cursor is None


def test_reset_leaves_a_source_alone_that_has_a_run_under_way(loaded):
    start_run(csv(), Run.Trigger.SCHEDULE)
    checkpoint = Checkpoint.objects.get(source=csv())
    assert loaded.act("reset", [checkpoint])[0].endswith("Its checkpoint is left alone.")
    assert Checkpoint.objects.get(source=csv()).cursor == checkpoint.cursor


def test_cancel_stops_what_is_under_way_and_resume_goes_on(loaded):
    run = start_run(csv(), Run.Trigger.SCHEDULE)
    assert loaded.act("cancel", [run]) == [f"Stopping run {run.pk}."]
    run.refresh_from_db()
    assert run.status == "cancelled"
    assert loaded.act("cancel", [run]) == ["None of these is under way."]
    loaded.act("resume", [run])
    assert Run.objects.filter(trigger="admin", source=csv(), full=False).exists()


def test_a_run_offers_only_what_can_be_done_with_it(loaded):
    ended = Run.objects.get(source=csv())
    assert "Resume" in loaded.page_of(ended) and "Requeue" not in loaded.page_of(ended)
    active = start_run(csv(), Run.Trigger.SCHEDULE)
    shown = loaded.page_of(active)
    assert "Cancel" in shown and "Resume" not in shown and "This run is under way" in shown


def test_replay_writes_again_what_is_missing(loaded):
    run = Run.objects.get(source__slug="coinpaprika")
    count = Quote.objects.filter(source=run.source).count()
    Quote.objects.filter(source=run.source).delete()
    said = loaded.act("replay_pages", [run])
    assert said == [f"1 of 1 page replayed: {count} new, 0 changed, 0 unchanged, 0 rejected, 0 unreadable."]
    assert Quote.objects.filter(source=run.source).count() == count


def test_a_failed_page_is_requeued(loaded):
    page = RawPayload.objects.get(source__slug="coinpaprika")
    RawPayload.objects.filter(pk=page.pk).update(state="failed", error="x", attempts=3)
    assert loaded.act("requeue_failed", [page]) == ["1 failed page on the way to be read again."]
    page.refresh_from_db()
    assert (page.state, page.attempts) == ("stored", 0)
    assert loaded.act("requeue_failed", [page]) == ["None of these has failed."]


def test_rejects_are_read_again_or_given_up(loaded):
    rejects = list(Reject.objects.order_by("pk"))
    assert loaded.act("read_again", rejects) == ["1 page read again, and 0 rejected records in."]
    assert loaded.act("give_up", rejects[:1]) == ["1 rejected record given up."]
    assert loaded.act("give_up", rejects[:1]) == ["None of these is open."]
    assert list(Reject.objects.order_by("pk").values_list("state", flat=True)) == ["discarded", "open"]
    assert loaded.act("read_again", rejects[:1]) == ["None of these is open."]


def test_drift_is_acknowledged(loaded):
    run = Run.objects.get(source=csv())
    drift = Drift.objects.create(source=csv(), run=run, kind="added", path="beta", detail="new", sample='{"beta": 1}')
    assert "beta" in loaded.list_of(Drift, "?seen=no")
    assert loaded.act("acknowledge", [drift]) == ["1 change acknowledged."]
    assert loaded.act("acknowledge", [drift]) == ["All of these were acknowledged before."]
    drift.refresh_from_db()
    assert drift.acknowledged_at is not None
    assert "beta" not in loaded.list_of(Drift, "?seen=no&q=beta").split("Nothing matches")[0].split("Acknowledged")[-1]


def test_an_open_circuit_is_closed_by_hand(loaded):
    gate = Gate.objects.get(source__slug="coingecko")
    Gate.objects.filter(pk=gate.pk).update(failures=7, open_until=Now())
    loaded.act("close", [gate])
    gate.refresh_from_db()
    assert (gate.failures, gate.open_until) == (0, None)


def test_a_source_that_is_switched_off_leaves_every_consensus_at_once(loaded):
    source = Source.objects.get(slug="coinpaprika")
    bitcoin = Asset.objects.get(slug="bitcoin")
    assert "coinpaprika" in bitcoin.sources_used
    assert loaded.client.post(row_path(source), {}).status_code == 302
    bitcoin.refresh_from_db()
    assert "coinpaprika" not in bitcoin.sources_used
    loaded.client.post(row_path(source), {"enabled": "on"})
    bitcoin.refresh_from_db()
    assert "coinpaprika" in bitcoin.sources_used


# --------------------------------------------------------------------------------------------------- who may do what


def test_someone_who_may_only_look_can_do_nothing(loaded, client):
    viewer = get_user_model().objects.create_user("viewer", password="x", is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client.force_login(viewer)
    assert "Run now" not in loaded.page_of(csv())
    assert client.get(row_path(csv(), "run_now_here")).status_code == 403
    assert client.post(row_path(csv(), "run_now_here"), {"confirmed": "yes"}).status_code == 403
    answer = loaded.choose("run_now", [csv()], confirmed="yes")
    assert "Queued" not in words(answer)
    assert client.post(row_path(csv()), {}).status_code == 403
    assert not Run.objects.filter(trigger="admin").exists()
    csv().refresh_from_db()
    assert csv().enabled


def test_someone_without_any_right_sees_nothing_of_it(loaded, client):
    client.force_login(get_user_model().objects.create_user("nobody", password="x", is_staff=True))
    shown = loaded.open(reverse("admin:index"))
    assert "Your account may not see runs yet" in shown
    assert "CoinGecko" not in shown and "completed" not in shown


def test_an_operator_by_permission_may_act(loaded, client):
    operators = Group.objects.create(name="operators")
    operators.permissions.set(Permission.objects.filter(codename__in=["view_source", "change_source"]))
    someone = get_user_model().objects.create_user("someone", password="x", is_staff=True)
    someone.groups.add(operators)
    client.force_login(someone)
    loaded.act("run_now", [csv()])
    assert Run.objects.filter(trigger="admin").exists()


# ------------------------------------------------------------------------------------------- the overview, schedules


def test_the_overview_shows_how_every_source_stands(loaded):
    shown = loaded.open(reverse("admin:index"))
    for source in Source.objects.all():
        assert source.title in shown
    assert "rejected records 2" in shown
    assert "failed pages 0" in shown
    assert "demo" not in shown.lower()


def test_the_overview_asks_as_many_questions_for_many_runs_as_for_few(loaded):
    before = loaded.queries_of(reverse("admin:index"))
    many(Run)
    assert loaded.queries_of(reverse("admin:index")) == before <= 25


def test_a_demo_says_so_on_every_page(loaded, settings):
    settings.DEMO = True
    assert "Overview (demo)" in loaded.open(reverse("admin:index"))
    for path in (reverse("admin:index"), list_path(Run), row_path(csv())):
        assert re.search(r"[^(]\bdemo\b[^)]", loaded.open(path)), path


def test_the_overview_stands_while_the_broker_is_away(loaded, settings):
    settings.CELERY_BROKER_URL = settings.REDIS_URL = NOWHERE
    assert "The broker at 127.0.0.1:1 can't be reached" in loaded.open(reverse("admin:index"))


def test_a_schedule_is_changed_and_the_change_stays(loaded):
    task = PeriodicTask.objects.get(name="ingest csv")
    hour = IntervalSchedule.objects.create(every=3600, period="seconds")
    form = {
        "name": task.name,
        "task": task.task,
        "regtask": "",
        "enabled": "on",
        "interval": hour.pk,
        "args": task.args,
        "kwargs": task.kwargs,
        "queue": task.queue,
        "expire_seconds": "3600",
        "headers": "{}",
    }
    assert "Ingest csv" in loaded.page_of(task) or "ingest csv" in loaded.page_of(task)
    answer = loaded.client.post(row_path(task), form)
    assert answer.status_code == 302, words(answer)
    assert messages_of(answer)
    from ingestion.registry import install_sources

    install_sources()
    task.refresh_from_db()
    assert task.interval == hour


def test_nothing_comes_from_another_host(loaded):
    for path in (reverse("admin:index"), list_path(Run), row_path(RawPayload.objects.first(), "items")):
        page = loaded.client.get(path).content.decode()
        assert 'src="http' not in page and 'rel="stylesheet" href="http' not in page
