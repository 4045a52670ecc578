"""The sources, in the order in which people see them. A new one is a module of its own and a word here."""

from ingestion.source import Source
from ingestion.sources import coingecko, coinpaprika, csv_file

SOURCES: tuple[Source, ...] = (coingecko.SOURCE, coinpaprika.SOURCE, csv_file.SOURCE)
BY_SLUG: dict[str, Source] = {source.slug: source for source in SOURCES}
