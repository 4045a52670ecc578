"""What goes wrong, in one shape: {"request_id", "error": {"code", "message", "fields"?}}, and never a traceback.

A caller's mistake is 400 with the name of the parameter; a database that is away is 503; our own bug is logged and 500.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.core.exceptions import DisallowedHost, PermissionDenied, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from rest_framework import exceptions
from rest_framework.response import Response

log = logging.getLogger(__name__)

#: Seconds after which a caller that met a 503 may try again.
TRY_AGAIN_AFTER = 5


class Invalid(exceptions.APIException):
    """The caller's parameters can't be used: `fields` names each with its reason."""

    status_code = 400
    default_code = "invalid"

    def __init__(self, fields: Mapping[str, str]) -> None:
        self.fields = dict(fields)
        what = "; ".join(f"{name} {reason}" for name, reason in self.fields.items())
        super().__init__(f"The request can't be answered: {what}.")


class Conflict(exceptions.APIException):
    """What is asked for can't be done as things stand."""

    status_code = 409
    default_code = "conflict"


class Unserved(exceptions.APIException):
    """It can't be answered now, and may be soon."""

    status_code = 503
    default_code = "unavailable"


def body(request: Any, code: str, message: str, fields: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The one shape of an error."""
    error: dict[str, Any] = {"code": code, "message": message}
    if fields:
        error["fields"] = dict(fields)
    return {"request_id": getattr(request, "request_id", ""), "error": error}


def exception_handler(error: Exception, context: Mapping[str, Any]) -> Response:
    """DRF's hook: every exception of a view becomes an answer."""
    request = context["request"]
    if isinstance(error, Http404):
        error = exceptions.NotFound(str(error) or None)
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    elif isinstance(error, SuspiciousOperation):
        return Response(body(request, "bad_request", "The request can't be read."), 400)
    elif isinstance(error, OperationalError | InterfaceError):
        log.warning("the database can't answer", extra={"error": str(error).strip(), "path": request.path})
        return unserved(request, error)
    elif not isinstance(error, exceptions.APIException):
        log.error("a fault of ours", exc_info=error, extra={"path": request.path})
        return Response(
            body(request, "internal", "A fault of cryptoetl itself; the log has it by this request_id."), 500
        )

    headers = {}
    if challenge := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if (wait := getattr(error, "wait", None)) is not None:
        headers["Retry-After"] = str(max(int(wait), 1))
    elif error.status_code == 503:
        headers["Retry-After"] = str(TRY_AGAIN_AFTER)
    code = error.get_codes()
    return Response(
        body(request, code if isinstance(code, str) else "invalid", str(error.detail), getattr(error, "fields", None)),
        error.status_code,
        headers=headers,
    )


def unserved(request: Any, error: Exception) -> Response:
    """503: the database is away, or took longer than it may."""
    slow = type(error.__cause__).__name__ == "QueryCanceled"
    message = "The answer took longer than it may: narrow the question." if slow else "The database can't be reached."
    return Response(
        body(request, "timeout" if slow else "database_unavailable", message),
        503,
        headers={"Retry-After": str(TRY_AGAIN_AFTER)},
    )


# Django's own handlers: for what fails before a view is found (a Host that isn't ours), and in the admin.


def said(
    request: HttpRequest, status: int, code: str, message: str, fields: Mapping[str, str] | None = None
) -> HttpResponse:
    """The one shape of an error; for a browser a page with the same words."""
    content = body(request, code, message, fields)
    if "text/html" not in request.META.get("HTTP_ACCEPT", ""):
        return JsonResponse(content, status=status)
    context = {**content, "status": status, "phrase": HTTPStatus(status).phrase, "demo": settings.DEMO}
    return HttpResponse(render_to_string("assets/error.html", context), status=status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if isinstance(exception, DisallowedHost):
        fields = {"Host": "is none of ALLOWED_HOSTS"}
        return said(request, 400, "bad_request", "This host name is not answered here.", fields)
    return said(request, 400, "bad_request", "The request can't be read.")


def forbidden(request: HttpRequest, exception: Exception | None = None, reason: str = "") -> HttpResponse:
    """`reason` is given where a form doesn't carry what its page gave it."""
    stale = "The form comes from elsewhere, or was open for too long: open its page anew, and send it again."
    return said(request, 403, "permission_denied", stale if reason else "You may not do this.")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return said(request, 404, "not_found", "There is nothing at this address.")


def server_error(request: HttpRequest) -> HttpResponse:
    if isinstance(sys.exception(), OperationalError | InterfaceError):
        response = said(request, 503, "database_unavailable", "The database can't be reached.")
        response["Retry-After"] = str(TRY_AGAIN_AFTER)
        return response
    return said(request, 500, "internal", "A fault of cryptoetl itself; the log has it by this request_id.")
