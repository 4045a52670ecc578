"""Answers are packed for who takes it: zstd where the client says so, which costs a fraction of gzip's time, else gzip.

A stream stays a stream: what has come goes out at once, and closing it closes what it is made of.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import zstandard
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django.utils.cache import patch_vary_headers

#: Shorter answers would hardly get shorter.
WORTH_IT = 200
LEVEL = 3
#: The weight of an encoding that the client does not want.
REFUSED = re.compile(r"\s*q\s*=\s*0(\.0*)?\s*", re.ASCII | re.IGNORECASE)
#: Packed as they are.
PACKED = ("application/vnd.apache.parquet",)


class Packing(GZipMiddleware):
    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if response.has_header("Content-Encoding") or response.get("Content-Type") in PACKED:
            return response
        # Also on 304 and on what is short: a cache must know before it keeps one of them.
        patch_vary_headers(response, ("Accept-Encoding",))
        if not response.streaming and len(response.content) < WORTH_IT:  # type: ignore[attr-defined]
            return response
        taken = takes(request.META.get("HTTP_ACCEPT_ENCODING", ""))
        if "zstd" not in taken:
            # Django looks for the word alone, wherever and however it is written.
            request.META["HTTP_ACCEPT_ENCODING"] = "gzip" if "gzip" in taken else ""
            return super().process_response(request, response)
        if response.streaming:
            response.streaming_content = packed(response.streaming_content)  # type: ignore[attr-defined]
            del response["Content-Length"]
        else:
            response.content = zstandard.ZstdCompressor(LEVEL).compress(response.content)  # type: ignore[attr-defined]
            response["Content-Length"] = str(len(response.content))  # type: ignore[attr-defined]
        response["Content-Encoding"] = "zstd"
        return response


def takes(accepted: str) -> set[str]:
    """The encodings that are named in the header, in small letters, but those with a quality of 0."""
    found = set()
    for part in accepted.split(","):
        name, _, weight = part.partition(";")
        if not REFUSED.fullmatch(weight):
            found.add(name.strip().lower())
    return found


def packed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    packer = zstandard.ZstdCompressor(LEVEL).compressobj()
    for chunk in chunks:
        yield packer.compress(chunk) + packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    yield packer.flush()
