"""Headers that every answer carries: what a browser may do with it, and how much of a limit is left.

A page may load from here alone, scripts included, and be framed by nobody. The admin's pages hold scripts of their own
and expressions that are compiled in the browser (Unfold, Alpine), so there both are allowed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from corsheaders.middleware import CorsMiddleware
from django.conf import settings
from django.http import HttpRequest, HttpResponse

#: Inline styles are everywhere; icons come as data.
PAGES = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; worker-src 'self' blob:;"
    " object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
ADMIN = PAGES + "; script-src 'self' 'unsafe-inline' 'unsafe-eval'"
#: What is no page loads nothing.
DATA = "default-src 'none'; frame-ancestors 'none'"


class Headers:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        is_page = response.get("Content-Type", "").startswith("text/html")
        policy = DATA if not is_page else ADMIN if request.path_info.startswith("/admin") else PAGES
        response.setdefault("Content-Security-Policy", policy)
        response.setdefault("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()")
        if response.status_code == 304:
            # Django counts the body that isn't there; the number would be taken for that of the answer kept (RFC 9110).
            del response["Content-Length"]
        limit = getattr(request, "rate_limit", None)
        if limit is not None:
            for name, value in limit.headers().items():
                response[name] = value
        return response


class Cors(CorsMiddleware):
    """Stands aside while no page of another origin is let in."""

    def __call__(self, request: HttpRequest) -> Any:
        let_in = settings.CORS_ALLOW_ALL_ORIGINS or settings.CORS_ALLOWED_ORIGINS
        return super().__call__(request) if let_in else self.get_response(request)
