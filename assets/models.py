"""What is known of assets: who writes each table, and the rules as constraints.

    Asset 1 ──< Listing 1 ── 1 Quote          one real-world coin, its ids at the sources, each source's current word
                   └──< PricePoint            every word kept, partitioned by month of observation
                   └──< HourCandle, DayCandle the points of an hour and of a day; CandleDue: pages not yet in them
    Tally                                     how many rows there are
    Candidate, Decision                       pairs in doubt, and what a person said of them

Only `assets.store` writes assets, listings, quotes and observed points, `assets.backfilled` points of a source's own
history, `assets.candles` candles; only people (admin, commands) write decisions.
Every number is an exact decimal of any size; null means that the source did not say.
"""

from __future__ import annotations

from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class Figure(models.DecimalField):
    """PostgreSQL's numeric without precision or scale: the digits as the source wrote them, however many."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("max_digits", None)
        kwargs.setdefault("decimal_places", None)
        kwargs.setdefault("null", True)
        kwargs.setdefault("blank", True)
        super().__init__(*args, **kwargs)

    def db_type(self, connection: object) -> str:
        return "numeric"

    def check(self, **kwargs: object) -> list:
        return []


class Transaction(models.Field):
    """PostgreSQL's xid8: the transaction that wrote the row. It only ever counts up, over restarts as well."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs | {"editable": False})

    def db_type(self, connection: object) -> str:
        return "xid8"


class ThisTransaction(models.Func):
    """The one that asks."""

    function = "pg_current_xact_id"
    arity = 0
    output_field: models.Field = Transaction()


class Source(models.Model):
    """What the read side must know of a source. Written by `ingestion` (registry and finished sweeps)."""

    id = models.SmallAutoField(primary_key=True)
    slug = models.SlugField(unique=True)
    title = models.TextField()
    identity_rank = models.SmallIntegerField(help_text="The lowest names the asset.")
    enabled = models.BooleanField(
        default=True, db_default=True, help_text="A disabled source takes no part in a consensus."
    )
    interval_seconds = models.PositiveIntegerField(
        help_text="How often it runs; three of them without news make a quote stale."
    )
    planned_seconds = models.PositiveIntegerField(
        default=0, db_default=0, help_text="What its plan or the settings asked for at the last start."
    )
    last_sweep_at = models.DateTimeField(null=True, blank=True, help_text="When its latest whole sweep ended.")
    last_sweep_records = models.PositiveIntegerField(default=0, db_default=0)

    class Meta:
        db_table = "assets_source"
        ordering = ("identity_rank", "slug")
        verbose_name = "source"

    def __str__(self) -> str:
        return self.slug


class Asset(models.Model):
    """One real-world asset, whatever the number of sources, with the price that its fresh quotes agree on.

    The slug is the anchor listing's id (`bitcoin` at CoinGecko, without a colon), else `source:id`: a fact of its
    members, never of the order in which they came. The consensus columns are written with the quotes that change them.
    """

    class Agreement(models.TextChoices):
        NONE = "none", "no fresh quote"
        SINGLE = "single", "one source"
        AGREE = "agree", "sources agree"
        DISAGREE = "disagree", "sources disagree"
        MEDIAN = "median", "median of 3+"

    slug = models.TextField(help_text="The public asset_id.")
    symbol = models.TextField(blank=True)
    name = models.TextField(blank=True)
    rank = models.IntegerField(null=True, blank=True)
    price_usd = Figure(help_text="Null when no fresh quote exists or when sources disagree.")
    price_min = Figure()
    price_max = Figure()
    market_cap = Figure()
    volume_24h = Figure()
    percent_change_24h = Figure()
    spread_bps = Figure(help_text="(max - min) / mid of the quotes used, in hundredths of a percent.")
    agreement = models.TextField(choices=Agreement, default=Agreement.NONE, db_default=Agreement.NONE)
    sources_used = models.JSONField(default=list, db_default=[])
    left_out = models.JSONField(default=list, db_default=[], help_text="Quotes not used, each with the reason.")
    quotes_count = models.SmallIntegerField(default=0, db_default=0)
    observed_at = models.DateTimeField(null=True, blank=True, help_text="Of the oldest quote used.")
    fresh_until = models.DateTimeField(
        null=True, blank=True, help_text="When the next fresh quote goes stale and the consensus is due again."
    )
    changed_at = models.DateTimeField(db_default=Now(), help_text="When anything shown of this asset last changed.")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ("rank", "id")
        # Not `unique=True`, which makes a second index, for patterns.
        constraints = (models.UniqueConstraint(fields=["slug"], name="asset_slug_once"),)
        indexes = (
            models.Index(fields=["rank", "id"], name="asset_rank"),
            models.Index("symbol", "rank", name="asset_symbol"),
        )

    def __str__(self) -> str:
        return self.slug


class Listing(models.Model):
    """A source's id for an asset. Written by `assets.newcomers`, `assets.placement` and sweeps.

    `last_seen_at` is null while the source's latest whole sweep held it (then the sweep's time is the answer), so a
    sweep in which nothing changed writes nothing here.
    """

    # A source is never deleted. What PostgreSQL holds to its table costs it a look-up for each row.
    source = models.ForeignKey(Source, models.PROTECT, related_name="listings", db_constraint=False, db_index=False)
    source_asset_id = models.TextField()
    asset = models.ForeignKey(Asset, models.PROTECT, related_name="listings")
    symbol = models.TextField(blank=True)
    name = models.TextField(blank=True)
    contracts = ArrayField(
        models.TextField(), default=list, db_default=[], help_text="chain:address, where the source gives them."
    )
    first_seen_at = models.DateTimeField(db_default=Now())
    last_seen_at = models.DateTimeField(null=True, blank=True, help_text="Null while the latest whole sweep held it.")
    missed_sweeps = models.SmallIntegerField(default=0, db_default=0)
    delisted_at = models.DateTimeField(null=True, blank=True, help_text="Missing from three whole sweeps since then.")
    method = models.TextField(
        blank=True, default="", db_default="", help_text="The evidence that put it into its asset."
    )
    confidence = models.DecimalField(max_digits=4, decimal_places=3, default=1, db_default=1)
    reasons = models.JSONField(default=list, db_default=[])

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=["source", "source_asset_id"], name="listing_once"),
            models.CheckConstraint(
                condition=Q(delisted_at=None) | Q(missed_sweeps__gt=0), name="listing_delisted_was_missed"
            ),
            models.CheckConstraint(condition=~Q(source_asset_id=""), name="listing_has_id"),
        )

    def __str__(self) -> str:
        return f"{self.symbol} {self.name} ({self.source_asset_id})"


class ListingKey(models.Model):
    """Where a listing may meet its like: 64 bits of each of its blocking keys. Written by `assets.filing` alone."""

    pk = models.CompositePrimaryKey("key", "listing_id")
    key = models.BigIntegerField()
    listing = models.ForeignKey(Listing, models.CASCADE, related_name="keys", db_constraint=False, db_index=False)

    class Meta:
        db_table = "assets_listing_key"


class ListingText(models.Model):
    """What a listing's symbol and name are found by: their grams of three letters. Written by `assets.searching`."""

    listing = models.OneToOneField(Listing, models.CASCADE, primary_key=True, related_name="text", db_constraint=False)
    grams = ArrayField(models.TextField())

    class Meta:
        db_table = "assets_listing_text"
        indexes = (GinIndex(fields=["grams"], name="listing_text_grams", fastupdate=False),)


class Unfiled(models.Model):
    """Listings whose texts are not filed yet, as triggers write them down: a row for each batch."""

    listing_ids = ArrayField(models.BigIntegerField())

    class Meta:
        db_table = "assets_unfiled"


class Quote(models.Model):
    """The current word of a source on a listing: one row, overwritten by a newer observation, never by an older one."""

    listing = models.OneToOneField(Listing, models.CASCADE, primary_key=True, related_name="quote", db_constraint=False)
    # Source and asset are the listing's, repeated here for readers. The listing's own asset is held to its table.
    source = models.ForeignKey(Source, models.PROTECT, related_name="+", db_constraint=False, db_index=False)
    asset = models.ForeignKey(Asset, models.PROTECT, related_name="quotes", db_constraint=False)
    price_usd = Figure()
    market_cap = Figure()
    volume_24h = Figure()
    percent_change_24h = Figure(help_text="Percent: -1.5 is minus 1.5 %.")
    rank = models.IntegerField(null=True, blank=True)
    circulating_supply = Figure()
    total_supply = Figure()
    max_supply = Figure()
    observed_at = models.DateTimeField(help_text="The source's own time of the observation.")
    page_id = models.BigIntegerField(help_text="The raw payload that holds it.")
    position = models.IntegerField(help_text="Its place in that payload, from 0.")
    digest = models.BigIntegerField(help_text="Of the record; an equal one changes nothing.")
    changed_at = models.DateTimeField(db_default=Now(), help_text="When this row was last written.")
    changed_in = Transaction(db_default=ThisTransaction(), help_text="By which transaction: see `assets.pagination`.")

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(price_usd=None) | Q(price_usd__gte=0), name="quote_price_not_negative"),
            models.CheckConstraint(condition=Q(rank=None) | Q(rank__gte=1), name="quote_rank_from_one"),
        )
        indexes = (
            models.Index(fields=["rank", "listing"], name="quote_rank"),
            models.Index(fields=["changed_in", "listing"], name="quote_changed"),
            models.Index(fields=["observed_at", "listing"], name="quote_observed"),
        )

    def __str__(self) -> str:
        return f"quote of {self.listing}"


class Tally(models.Model):
    """How many rows came or went: the sum over all is how many there are, exact and cheap at any size.

    Triggers add a row for each statement that adds or removes quotes or assets, so no two writers wait for each other
    here; `prune` adds them up.
    """

    source_id = models.SmallIntegerField(null=True, help_text="Of quotes.")
    quotes = models.BigIntegerField(default=0, db_default=0)
    assets = models.BigIntegerField(default=0, db_default=0)

    class Meta:
        db_table = "assets_tally"


class PricePoint(models.Model):
    """One observation of one listing, kept. Partitioned by month of `observed_at`."""

    pk = models.CompositePrimaryKey("listing_id", "observed_at")
    listing = models.ForeignKey(Listing, models.DO_NOTHING, related_name="points", db_constraint=False)
    observed_at = models.DateTimeField()
    price_usd = Figure(null=False)
    market_cap = Figure()
    volume_24h = Figure()
    page_id = models.BigIntegerField(
        null=True, help_text="The raw payload it came from; null: not observed by us, but backfilled from its history."
    )

    class Meta:
        managed = False
        db_table = "assets_price_point"


class Candle(models.Model):
    """What the price points of one listing in one bucket (UTC) make: see `assets.candles`, which alone writes it."""

    pk = models.CompositePrimaryKey("listing_id", "start")
    listing = models.ForeignKey(Listing, models.DO_NOTHING, related_name="+", db_constraint=False)
    start = models.DateTimeField()
    open = Figure(null=False)
    high = Figure(null=False)
    low = Figure(null=False)
    close = Figure(null=False)
    count = models.IntegerField(help_text="Points in it.")
    backfilled = models.IntegerField(help_text="Those of them that come from the source's own history.")
    last_at = models.DateTimeField(help_text="Of the last point in it.")

    class Meta:
        abstract = True


class HourCandle(Candle):
    """An hour. Partitioned by month, and dropped with the points of that month."""

    class Meta:
        managed = False
        db_table = "assets_candle_hour"


class DayCandle(Candle):
    """A day. Kept when its points are gone."""

    class Meta:
        managed = False
        db_table = "assets_candle_day"


class CandleDue(models.Model):
    """A page whose points are not in the candles yet: written with the points, deleted with the candles written."""

    source = models.ForeignKey(Source, models.CASCADE, related_name="+", db_index=False)
    page_id = models.BigIntegerField()

    class Meta:
        db_table = "assets_candle_due"


class Candidate(models.Model):
    """Two listings that may be one coin, kept apart until a person decides. Rewritten whenever they are resolved."""

    a = models.ForeignKey(Listing, models.CASCADE, related_name="+")
    b = models.ForeignKey(Listing, models.CASCADE, related_name="+")
    score = models.DecimalField(max_digits=4, decimal_places=3)
    reasons = models.JSONField(default=list)
    seen_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ("-score", "id")
        constraints = (
            models.UniqueConstraint(fields=["a", "b"], name="candidate_once"),
            models.CheckConstraint(condition=Q(a__lt=models.F("b")), name="candidate_ordered"),
        )

    def __str__(self) -> str:
        return f"{self.a} and {self.b}"


class Decision(models.Model):
    """A person's word on two listings: who, when, why. It wins over every rule, in every resolve and replay."""

    a = models.ForeignKey(Listing, models.CASCADE, related_name="+")
    b = models.ForeignKey(Listing, models.CASCADE, related_name="+")
    same = models.BooleanField(help_text="True: one asset. False: two.")
    reason = models.TextField(blank=True)
    decided_by = models.TextField()
    decided_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ("-decided_at",)
        constraints = (
            models.UniqueConstraint(fields=["a", "b"], name="decision_once"),
            models.CheckConstraint(condition=Q(a__lt=models.F("b")), name="decision_ordered"),
        )

    def __str__(self) -> str:
        return f"{self.a} {'=' if self.same else '≠'} {self.b}"


class Event(models.Model):
    """Something a reader of the data should know of: a listing appeared, its source fell silent about it, it went
    missing for good, came back, moved.
    """

    class Kind(models.TextChoices):
        LISTED = "listed"
        STALE = "stale", "went stale"
        DELISTED = "delisted"
        RELISTED = "relisted"
        MOVED = "moved", "moved to another asset"

    listing = models.ForeignKey(Listing, models.CASCADE, related_name="events")
    kind = models.TextField(choices=Kind)
    detail = models.TextField(blank=True, default="", db_default="")
    at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ("-at", "-id")
        indexes = (models.Index(fields=["-at", "-id"], name="event_at"),)

    def __str__(self) -> str:
        return f"{self.listing} {self.get_kind_display()}"
