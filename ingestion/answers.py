"""What an answer says beside its records: the provider's error, when to come back, in which encoding it is.

All of it is a stranger's text, so nothing here raises, whatever it says.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec


def provider_error(text: str) -> tuple[str, str]:
    """The error code ("" if none) and the message out of the shapes in which the providers say it."""
    if "1020" in text and "<" in text[:200]:
        return "1020", "access denied"
    try:
        error = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return "", ""
    for key in ("error", "status"):
        if isinstance(error, dict) and isinstance(error.get(key), dict):
            error = error[key]
    if not isinstance(error, dict):
        return "", ""
    said = error.get("error_message") or error.get("error") or error.get("message") or ""
    return str(error.get("error_code", "")), str(said)[:200].replace("\0", "␀")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that the answer asks to wait: Retry-After in both forms, or CoinGecko's x-ratelimit-reset."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(min(int(value[:9]), 86_400))
    moment = http_date(value)
    if moment is None and (reset := headers.get("x-ratelimit-reset", "").strip()):
        # "2025-07-25 14:54:00 +0000", or Unix seconds.
        try:
            moment = (
                datetime.fromtimestamp(int(reset), UTC)
                if reset.isdigit()
                else datetime.strptime(reset, "%Y-%m-%d %H:%M:%S %z")
            )
        except (ValueError, OverflowError, OSError):
            return None
    if moment is None:
        return None
    # Counted from the source's own time: whose clock is wrong, theirs or ours, does not matter then.
    now = http_date(headers.get("date")) or datetime.now(UTC)
    return min(max((moment - now).total_seconds(), 0.0), 86_400.0)


def http_date(value: str | None) -> datetime | None:
    """An HTTP date as aware UTC, None if it is none."""
    try:
        moment = parsedate_to_datetime(value or "")
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None


def charset(content_type: str) -> str:
    """The codec of text that a Content-Type names, UTF-8 if it names none that exists."""
    name = content_type.partition("charset=")[2].split(";")[0].strip("\"' ") or "utf-8"
    try:
        "".encode(name)
    except (LookupError, ValueError):  # `undefined` is a codec that refuses everything
        return "utf-8"
    return name.lower()
