"""What a whole sweep says about the listings that it did not hold, and which sweeps say nothing about them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction

from assets.models import Listing, Source
from assets.tests.factories import load, record
from ingestion import sweeps


@pytest.mark.django_db
def test_a_listing_was_not_last_seen_before_it_was_first_seen():
    source = load("coingecko", record("new", "NEW", "New", price_usd="1"))
    Source.objects.filter(pk=source.pk).update(last_sweep_at=datetime.now(UTC) - timedelta(hours=1))
    with transaction.atomic():
        sweeps.settle(source, 99)
    listing = Listing.objects.get()
    assert (listing.missed_sweeps, listing.last_seen_at) == (1, listing.first_seen_at)
