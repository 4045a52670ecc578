"""Workers, people, readers and housekeeping, each in a thread with a connection of its own, by the seed."""

from __future__ import annotations

import json
import queue
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from django.db import connection
from django.db.models import Model, QuerySet
from django.test import Client

from assets import candles, changes, store
from assets.models import Asset, Candidate, Decision, Listing, Source
from assets.resolving import decide, resolve_all, undo
from ingestion import finish, lease, pipeline, reconciling, replaying, requeueing, retention, runs, tasks
from ingestion.models import RawPayload, Reject, Run
from ingestion.source import Page

NOW = datetime.now(UTC).replace(microsecond=0)
#: So few that two sources mean each other's coins all the time.
NAMES = [f"{word}{more}" for word in ("ace", "bee", "cat", "dog") for more in ("", " token", " swarm", " inu")]
COINS = 40
#: Seconds that each rests between two acts, at most.
RESTS = {
    "person": 0.2,
    "resolver": 2,
    "replayer": 0.3,
    "requeuer": 0.4,
    "canceller": 2,
    "resetter": 1,
    "switcher": 1.5,
    "keeper": 1.5,
    "reconciler": 0.7,
    "reconciler too": 0.7,
    "roller": 0.2,
    "reader": 0.2,
    "walker": 0.05,
    "listener": 0.1,
    **{f"worker {number}": 0.01 for number in range(3)},
    **{f"sweep of {slug}": 0.1 for slug in ("coingecko", "coinpaprika")},
}
PATHS = ("/assets?page_size=100", "/data?search=ace", "/data/summary", "/assets?symbol=ace", "/stats", "/stats/events")
PATHS += ("/data?format=csv", f"/data?as_of={NOW:%Y-%m-%dT%H:%M:%SZ}", "/stats/runs")


def coin(random: Random, slug: str, number: int, later: int) -> str:
    """A coin as its source says it: another name now and then, at a price near to or far from the other source's."""
    listed = NAMES[number % len(NAMES)]
    name = listed if random.random() < 0.9 else random.choice(NAMES)
    own = listed.replace(" ", "-") + (f"-{number}" if number >= len(NAMES) else "")
    price: Any = random.choice((number + 1, number + 1, number + 1.01, 3 * number + 3, None if number % 7 else "x"))
    at = NOW + timedelta(seconds=later - random.choice((0, 0, 0, 1, 2, 3600)))
    said = {
        "id": own,
        "symbol": name[:3].upper(),
        "name": name.title(),
        "last_updated": f"{min(at, datetime.now(UTC)):%Y-%m-%dT%H:%M:%SZ}",
    }
    if slug == "coingecko":
        return json.dumps(said | {"current_price": price})
    return json.dumps(said | {"id": f"{name[:3]}-{own}", "quotes": {"USD": {"price": price}}})


def any_of(rows: QuerySet) -> Any:
    return rows.order_by("?").first()


class World:
    def __init__(self, seed: int, seconds: float, boss: Model) -> None:
        self.seed, self.boss = seed, boss
        self.end = time.monotonic() + seconds
        self.pages: queue.Queue[int] = queue.Queue()
        self.acts: Counter[str] = Counter()
        self.troubles: list[str] = []
        self.later = 0
        self.walked: dict[int, dict[str, Any]] = {}
        self.resume, self.begun = "/data?cursor=&page_size=7", False
        self.heard: dict[int, dict[str, Any]] = {}
        self.feed = changes.Changes()
        self.position, _ = self.feed.position()

    def go_round(self) -> None:
        """All of them act until the time is up."""
        threads = [threading.Thread(target=self.live, args=(name, rest)) for name, rest in RESTS.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def live(self, name: str, rest: float) -> None:
        random = Random(f"{self.seed} {name}")
        kind, _, of = name.partition(" of ")
        act: Callable[..., None] = getattr(self, kind.split()[0])
        try:
            while time.monotonic() < self.end:
                try:
                    act(random, *filter(None, [of]))
                    self.acts[name] += 1
                except Exception:
                    self.troubles.append(f"{name}: {traceback.format_exc()}")
                threading.Event().wait(random.random() * rest)
        finally:
            connection.close()

    # ----------------------------------------------------------------------------------------------------- ingestion

    def sweep(self, random: Random, slug: str) -> None:
        with suppress(runs.AlreadyActive):
            run = runs.start_run(Source.objects.get(slug=slug), Run.Trigger.COMMAND, full=random.random() < 0.2)
            if claimed := lease.claim(run.pk):
                run, held = claimed
                with held:
                    try:
                        self.store_pages(random, run, held)
                    except pipeline.Cancelled as stop:
                        finish.fetched(held, Run.Status.CANCELLED, str(stop))
                    except lease.LeaseLost:
                        pass
                    else:
                        finish.fetched(held, Run.Status.COMPLETED)

    def store_pages(self, random: Random, run: Run, held: lease.Lease) -> None:
        pipeline.begin_sweep(run, held)
        missed = random.sample(range(COINS), random.choice((0, 2)))
        numbers = [number for number in range(COINS) if number not in missed]
        pages = random.choice((1, 2, 4))
        for page in range(pages):
            self.later += 1
            items = [coin(random, run.source.slug, number, self.later // 3) for number in numbers[page::pages]]
            if random.random() < 0.2:
                items.append(random.choice(("1", "{}", coin(random, run.source.slug, numbers[0], 0))))
            body = f"[{','.join(items)}]"[: -9 if random.random() < 0.05 else None].encode()
            after = None if page == pages - 1 else str(page)
            page_id = pipeline.store_page(run, held, Page(body, after, "", datetime.now(UTC), records=len(items)))
            for _ in range(random.choice((1, 1, 2))):  # a message comes twice now and then
                self.pages.put(page_id)
            if pipeline.is_cancelled(run):
                raise pipeline.Cancelled(finish.CANCELLED)

    def worker(self, _: Random) -> None:
        with suppress(queue.Empty):
            tasks.normalize(self.pages.get(timeout=0.2))

    def replayer(self, _: Random) -> None:
        ids = RawPayload.objects.exclude(state="stored").order_by("?").values_list("pk", flat=True)[:5]
        pages = RawPayload.objects.filter(pk__in=list(ids)).select_related("source", "body").order_by("pk")
        list(replaying.replay(pages.iterator()))

    def requeuer(self, random: Random) -> None:
        if random.random() < 0.3:
            requeueing.discard(Reject.objects.filter(pk__in=Reject.objects.order_by("?")[:3].values("pk")))
        elif random.random() < 0.5:
            list(requeueing.read_again(requeueing.pages_of(Reject.objects.filter(state="open")), within=1))
        elif (page := any_of(RawPayload.objects.filter(state="failed"))) and replaying.requeue(page):
            self.pages.put(page.pk)

    # ------------------------------------------------------------------------------------------------------- people

    def person(self, random: Random) -> None:
        kind = random.random()
        if kind < 0.4 and (pair := any_of(Candidate.objects.select_related("a", "b"))):
            decide(pair.a, pair.b, same=random.random() < 0.5, by="a person")
        elif kind < 0.7 and len(two := Listing.objects.order_by("?")[:2]) == 2:
            decide(*two, same=random.random() < 0.4, by="a person")
        elif decision := any_of(Decision.objects.all()):
            undo(decision)

    def resolver(self, random: Random) -> None:
        resolve_all(dry_run=random.random() < 0.3)

    def canceller(self, _: Random) -> None:
        if run := any_of(Run.objects.filter(status__in=Run.ACTIVE)):
            runs.cancel(run)

    def resetter(self, _: Random) -> None:
        with suppress(runs.AlreadyActive):
            runs.reset_checkpoint(any_of(Source.objects.all()))

    def switcher(self, _: Random) -> None:
        client, source = Client(), any_of(Source.objects.all())
        client.force_login(self.boss)
        for form in ({}, {"enabled": "on"}):
            assert client.post(f"/admin/assets/source/{source.pk}/change/", form).status_code == 302

    # --------------------------------------------------------------------------------------------------- housekeeping

    def keeper(self, _: Random) -> None:
        retention.prune()
        store.make_partitions(["2020-01-01", "2020-02-01"])

    def reconciler(self, _: Random) -> None:
        for page_id in reconciling.reconcile().pages:
            self.pages.put(page_id)

    def roller(self, random: Random) -> None:
        candles.roll_up(pages=random.choice((1, 3, 50)))

    # ------------------------------------------------------------------------------------------------------ readers

    def reader(self, random: Random) -> None:
        client = Client()
        path = random.choice(PATHS)
        answer = client.get(path)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.content[:300]!r}"
        if answer.streaming:
            next(iter(answer.streaming_content))
            answer.close()  # hangs up in the middle
        if asset := any_of(Asset.objects.all()):
            for more in ("", "/history?interval=1h", "/history"):
                answer = client.get(f"/assets/{asset.slug}{more}")
                assert answer.status_code in (200, 301, 308, 404), f"{asset.slug}{more}: {answer.status_code}"

    def walker(self, _: Random) -> None:
        """Goes through /data by cursor, and then asks again and again for what has changed."""
        client, address = Client(), self.resume
        while address:
            page = client.get(address).json()
            self.walked |= {row["id"]: row for row in page["data"]}
            if page["next"] is None or not self.begun:
                self.resume, self.begun = page["resume"], page["next"] is None
            address = page["next"]

    def listener(self, _: Random) -> None:
        """Hears what /stream tells."""
        now, _ = self.feed.position()
        found, last = self.feed.between(self.position, now, None)
        while found:
            self.heard |= {row["id"]: row for one in found for row in [json.loads(one.text)]}
            found, last = self.feed.between(self.position, now, last)
        self.position = now
