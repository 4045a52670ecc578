"""Every request has an id, the caller's if it sent a sane one: in the answer, in every log line and every error."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from time import perf_counter

from django.http import HttpRequest, HttpResponse

from ingestion.logs import about

SANE = re.compile(r"[A-Za-z0-9._\-]{1,128}")


class RequestId:
    """Sets `request.request_id` and `request.began` (perf_counter seconds), and the header X-Request-ID."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        sent = request.META.get("HTTP_X_REQUEST_ID", "")
        request.request_id = sent if SANE.fullmatch(sent) else uuid.uuid4().hex  # type: ignore[attr-defined]
        request.began = perf_counter()  # type: ignore[attr-defined]
        with about(request_id=request.request_id):  # type: ignore[attr-defined]
            response = self.get_response(request)
        response["X-Request-ID"] = request.request_id  # type: ignore[attr-defined]
        return response
