"""64-bit hashes that are the same in every process and version, of things that nobody has a reason to forge."""

from __future__ import annotations

from xxhash import xxh3_64_intdigest

_HALF = 1 << 63


def hash64(data: bytes) -> int:
    """Signed, as PostgreSQL's bigint."""
    return xxh3_64_intdigest(data) - _HALF
