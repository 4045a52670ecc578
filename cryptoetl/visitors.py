"""Sessions, log-ins and messages are the admin's: the API knows no visitors, and doesn't pay for them."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest
from django.http.response import HttpResponseBase


class AdminOnly:
    """A middleware that stands aside where no visitor is known."""

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info.startswith("/admin"):
            return super().__call__(request)  # type: ignore[misc]
        answer: Any = self.get_response(request)  # type: ignore[attr-defined]
        return answer


class Sessions(AdminOnly, SessionMiddleware):
    pass


class Authentication(AdminOnly, AuthenticationMiddleware):
    pass


class Messages(AdminOnly, MessageMiddleware):
    pass
