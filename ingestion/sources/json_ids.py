"""Which coin a JSON record is about that can't be read as a whole: its id alone."""

from __future__ import annotations

import msgspec

from ingestion.errors import Malformed
from ingestion.source import Identify, Item
from ingestion.sources.json_items import text

_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


def id_in(key: str) -> Identify:
    """An `identify` for records that hold their coin's id under this key."""

    def identify(item: Item) -> str:
        try:
            return text(_object.decode(item.raw)[key], key, required=True)
        except (msgspec.DecodeError, UnicodeError, RecursionError, KeyError):
            raise Malformed(f"{key} is missing.", key) from None

    return identify
