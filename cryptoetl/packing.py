"""Answers are packed for who takes it: zstd where the client says so, which costs a fraction of gzip's time, else gzip.

A stream stays a stream: what has come goes out at once, and closing it closes what it is made of.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import zstandard
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django.utils.cache import patch_vary_headers

#: Shorter answers would hardly get shorter.
WORTH_IT = 200
LEVEL = 3
#: Packed as they are.
PACKED = ("application/vnd.apache.parquet",)


class Packing(GZipMiddleware):
    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        short = not response.streaming and len(response.content) < WORTH_IT  # type: ignore[attr-defined]
        if short or response.has_header("Content-Encoding") or response.get("Content-Type") in PACKED:
            return response
        if not takes_zstd(request.META.get("HTTP_ACCEPT_ENCODING", "")):
            return super().process_response(request, response)
        patch_vary_headers(response, ("Accept-Encoding",))
        if response.streaming:
            response.streaming_content = packed(response.streaming_content)  # type: ignore[attr-defined]
            del response["Content-Length"]
        else:
            response.content = zstandard.ZstdCompressor(LEVEL).compress(response.content)  # type: ignore[attr-defined]
            response["Content-Length"] = str(len(response.content))  # type: ignore[attr-defined]
        response["Content-Encoding"] = "zstd"
        return response


def takes_zstd(accepted: str) -> bool:
    for part in accepted.split(","):
        name, _, quality = part.partition(";")
        if name.strip().lower() == "zstd":
            return quality.replace(" ", "").lower() not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def packed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    packer = zstandard.ZstdCompressor(LEVEL).compressobj()
    for chunk in chunks:
        yield packer.compress(chunk) + packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    yield packer.flush()
