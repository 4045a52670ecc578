"""Everybody at the same rows at once: nobody hears of a deadlock, nothing is left lying, what stands is what was said.

`BESIDE_SEED=7 BESIDE_SECONDS=300` tries other interleavings, for longer.
"""

from __future__ import annotations

import os
from datetime import timedelta

import pytest
from django.db.models.functions import Now

from assets import candles, searching
from assets.models import Source
from ingestion import normalizing, reconciling, tasks
from ingestion.models import RawPayload, Run
from ingestion.tests.beside.actors import World
from ingestion.tests.beside.referee import deadlocks, wrong
from ingestion.tests.crew import wait_for

SEED, SECONDS = int(os.environ.get("BESIDE_SEED", "1")), float(os.environ.get("BESIDE_SECONDS", "10"))


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_everybody_at_once_leaves_what_one_after_the_other_would(django_user_model, settings, monkeypatch):
    settings.RAW_RETENTION_DAYS = 0
    monkeypatch.setattr(reconciling, "LOST_AFTER", timedelta())
    monkeypatch.setattr(tasks, "send", lambda task, *_: None)  # the reconciler finds what is lost
    Source.objects.update(interval_seconds=5)
    before = deadlocks()
    world = World(SEED, SECONDS, django_user_model.objects.create_superuser("boss"))
    world.go_round()
    assert not world.troubles, "\n".join(world.troubles[:3])
    assert min(world.acts[name] for name in ("sweep of coingecko", "worker 0", "person", "resolver", "walker")) > 0
    wait_for(all_is_done, "what was begun has ended")
    candles.catch_up()
    searching.file_texts()
    world.walker(None)
    world.listener(None)
    world.feed.close()
    assert list(wrong(world)) == []
    assert deadlocks() == before


def all_is_done() -> bool:
    # Runs that a page's storing broke off, as it was cancelled, have nobody who goes on with them here.
    given_up = Run.objects.filter(status__in=Run.ACTIVE, lease_token=None, fetched_at=None)
    given_up.update(fetched_at=Now(), outcome="failed", status="running", started_at=Now())
    for page_id in reconciling.reconcile().pages:
        normalizing.normalize(page_id)
    waiting = RawPayload.objects.filter(state="stored").exists()
    return not waiting and not Run.objects.filter(status__in=Run.ACTIVE).exists()
