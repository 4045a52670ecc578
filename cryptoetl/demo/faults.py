"""What a provider can do to its callers, by name, and the script that says when.

Three families: an answer of its own in place of the real one (answers.py), the real answer with one thing wrong in it
(damage.py), and a connection that misbehaves (wire.py).
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from cryptoetl.demo.message import Request


class Fault(StrEnum):
    """Options stand in brackets; all have a default."""

    # The limit. [seconds: how long to wait, 1]
    RATE_LIMITED_SECONDS = "rate_limited_seconds"  # 429, Retry-After: whole seconds
    RATE_LIMITED_DATE = "rate_limited_date"  # 429, Retry-After: an HTTP date
    RATE_LIMITED_SILENT = "rate_limited_silent"  # 429, nothing said
    RATE_LIMITED_RESET = "rate_limited_reset"  # 429, x-ratelimit-reset: 2025-07-25 14:54:00 +0000
    RATE_LIMITED_HTML = "rate_limited_html"  # 429, a Cloudflare page
    PAYMENT_LIMIT = "payment_limit"  # 402, said of too many calls
    PAYMENT_PLAN = "payment_plan"  # 402, said of a plan too small
    # The server's own trouble. [seconds: adds a Retry-After to the 503]
    SERVER_ERROR = "server_error"  # 500, JSON
    BAD_GATEWAY_HTML = "bad_gateway_html"  # 502, HTML
    UNAVAILABLE = "unavailable"  # 503
    GATEWAY_TIMEOUT = "gateway_timeout"  # 504, HTML
    # Refusals.
    KEY_MISSING = "key_missing"  # 401, 10002
    KEY_DEACTIVATED = "key_deactivated"  # 401, 10004
    PRO_ONLY = "pro_only"  # 403, 10005
    PRO_KEY_AT_DEMO = "pro_key_at_demo"  # 400, 10010
    DEMO_KEY_AT_PRO = "demo_key_at_pro"  # 400, 10011
    TOO_FAR_BACK = "too_far_back"  # 401, 10012 in a shape of its own
    KEY_INVALID = "key_invalid"  # 403, CoinPaprika's words
    BLOCKED_HTML = "blocked_html"  # 403, Cloudflare's 1020
    BAD_REQUEST = "bad_request"  # 400
    NOT_FOUND = "not_found"  # 404
    # Elsewhere.
    REDIRECT_ELSEWHERE = "redirect_elsewhere"  # to another host, which answers [status: 302]
    REDIRECT_LOOP = "redirect_loop"  # to itself [status: 302]

    # The connection.
    DROPPED = "dropped"  # closed before any answer
    RESET = "reset"  # reset before any answer
    RESET_MID_BODY = "reset_mid_body"  # reset after half of the body
    HANG = "hang"  # accepts, never answers
    HANG_MID_BODY = "hang_mid_body"  # half of the body, then silence
    SLOW_DRIP = "slow_drip"  # [delay: seconds between pieces, 0.05; size: bytes a piece, 64]
    SLOW_START = "slow_start"  # answers late [delay: seconds, 1]
    TRUNCATED = "truncated"  # Content-Length larger than what comes
    TRUNCATED_CHUNKED = "truncated_chunked"  # chunks without their end
    OVERSIZED = "oversized"  # [size: bytes, 70 MB] of blanks in front, in chunks
    OVERSIZED_DECLARED = "oversized_declared"  # the same with a Content-Length
    OVERSIZED_GZIP = "oversized_gzip"  # the same as a small gzip
    GZIP_DAMAGED = "gzip_damaged"  # some bytes in the middle are others
    GZIP_CUT = "gzip_cut"  # the second half is missing
    WRONG_ENCODING = "wrong_encoding"  # says gzip, is not

    # The content. [position: which item, 0]
    CUT_JSON = "cut_json"  # ends in the middle, with the right length
    HTML_200 = "html_200"  # a page with status 200
    WRONG_CONTENT_TYPE = "wrong_content_type"  # the real JSON, called text/html
    EMPTY_BODY = "empty_body"
    EMPTY_LIST = "empty_list"  # [], or a CSV's header alone
    OBJECT_FOR_LIST = "object_for_list"  # {"data": [...]}
    LIST_FOR_OBJECT = "list_for_object"  # an item is a list
    NULL_ITEM = "null_item"
    NAN = "nan"
    INFINITY = "infinity"
    PRICE_STRING = "price_string"
    PRICE_NEGATIVE = "price_negative"
    PRICE_NULL = "price_null"
    PRICE_MISSING = "price_missing"
    PRICE_OBJECT = "price_object"
    HUGE_NUMBER = "huge_number"  # 400 digits
    HUGE_EXPONENT = "huge_exponent"  # 1e999999
    TINY_EXPONENT = "tiny_exponent"  # 1e-999999
    MISSING_ID = "missing_id"
    NULL_ID = "null_id"
    EMPTY_ID = "empty_id"
    DUPLICATE_ID = "duplicate_id"  # one coin twice in one page
    NUL_IN_NAME = "nul_in_name"  # \u0000, which no PostgreSQL text holds
    LONE_SURROGATE = "lone_surrogate"  # \ud800 in a name
    LONG_NAME = "long_name"  # 100,000 letters
    BAD_UTF8 = "bad_utf8"
    DEEP_NESTING = "deep_nesting"  # 100,000 brackets
    NEW_FIELD = "new_field"
    FUTURE_TIME = "future_time"  # last_updated in 2999
    BAD_TIME = "bad_time"  # last_updated is no time
    # The list moves while it is read. [count: coins, 1]
    SHIFT_TWICE = "shift_twice"  # the last of the page before come again
    SHIFT_MISSED = "shift_missed"  # the first of this page are never seen


@dataclass(slots=True)
class Entry:
    """One line of the script."""

    source: str
    fault: Fault
    times: int | None = 1
    """How many matching calls it still meets; None for all until healed."""
    after: int = 0
    """How many matching calls pass first."""
    path: str = ""
    """A part of the path, below the source's prefix; empty for every path."""
    match: Mapping[str, str] = field(default_factory=dict)
    """Query parameters that the call must have; a missing `page` counts as 1."""
    options: Mapping[str, Any] = field(default_factory=dict)

    def meets(self, request: Request) -> bool:
        if self.source != request.source or self.path not in request.path:
            return False
        given = {"page": "1", **request.params}
        return all(given.get(name) == str(value) for name, value in self.match.items())


class Script:
    """The faults to come, in their order. The first entry that a call meets is used up by it, and no other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[Entry] = []

    def add(self, entry: Entry) -> None:
        with self._lock:
            self._entries.append(entry)

    def heal(self, source: str = "") -> None:
        """Nothing fails any more (at this source)."""
        with self._lock:
            self._entries = [entry for entry in self._entries if source and entry.source != source]

    def pending(self, source: str = "") -> list[Entry]:
        with self._lock:
            return [entry for entry in self._entries if not source or entry.source == source]

    def take(self, request: Request) -> Entry | None:
        with self._lock:
            for entry in self._entries:
                if not entry.meets(request):
                    continue
                if entry.after > 0:
                    entry.after -= 1
                    continue
                if entry.times is not None:
                    entry.times -= 1
                    if entry.times <= 0:
                        self._entries.remove(entry)
                return entry
        return None
