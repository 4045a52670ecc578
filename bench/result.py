"""What is measured, and over how much."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Result:
    what: str
    records: int
    seconds: float
    ratio: float | None = None
    """Of what `against` names."""
    against: str = ""
    target: float | None = None
    """The least that the ratio should be."""
    drawn: bool = True
    """Whether the chart shows it: records that were ingested."""

    @property
    def per_second(self) -> float:
        return self.records / self.seconds


@dataclass(frozen=True, slots=True)
class Size:
    records: int
    by_the_orm: int
    """Of the records, for what takes a millisecond each."""
    csv_rows: int
    listings_there: int
    points_there: int
    history_points: int
    api_rows: tuple[int, int, int]
    """Rows of /data: few, as many as others are measured with, and many."""
    api_seconds: float
    """That each app is asked."""
    identity_known: int
    identity_newcomers: int


SIZES = {
    "small": Size(
        records=20_000,
        by_the_orm=300,
        csv_rows=60_000,
        listings_there=50_000,
        points_there=500_000,
        history_points=400_000,
        api_rows=(1_000, 20_000, 100_000),
        api_seconds=2,
        identity_known=10_000,
        identity_newcomers=4_000,
    ),
    "full": Size(
        records=200_000,
        by_the_orm=5_000,
        csv_rows=5_000_000,
        listings_there=1_000_000,
        points_there=10_000_000,
        history_points=20_000_000,
        api_rows=(10_000, 1_000_000, 10_000_000),
        api_seconds=10,
        identity_known=50_000,
        identity_newcomers=20_000,
    ),
}
