"""Who calls, and whether they may: DRF's questions, answered by API keys.

Nobody needs a key to read unless `API_KEY_REQUIRED` says so; to start or cancel a run everybody does. A key that is
wrong is refused even where none is needed: its owner wants to know.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db.models.functions import Now
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission

from assets.reader import reading
from cryptoetl.keys import find
from cryptoetl.models import ApiKey

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.views import APIView

#: How exactly `last_used_at` is kept: a write for each request would cost more than the request.
USED_EVERY = timedelta(minutes=1)


def sent(request: Request) -> str | None:
    """The key that came with the request: `Authorization: Bearer ...`, or `X-API-Key`."""
    scheme, _, rest = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() == "bearer":
        return str(rest.strip())
    return request.META.get("HTTP_X_API_KEY")


class Bearer(BaseAuthentication):
    """DRF's question who calls: `request.auth` is the ApiKey, None without one."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, ApiKey] | None:
        text = sent(request)
        if text is None:
            return None
        key = find(text)
        if key is None:
            raise exceptions.AuthenticationFailed("There is no such API key, or it is no longer valid.")
        if key.last_used_at is None or datetime.now(UTC) - key.last_used_at > USED_EVERY:
            with reading(False):
                ApiKey.objects.filter(pk=key.pk).update(last_used_at=Now())
        return AnonymousUser(), key

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="cryptoetl"'


class Scoped(BasePermission):
    """DRF's question whether the caller may: by the view's `scope` (`read` unless it says otherwise, None for all)."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        scope = getattr(view, "scope", ApiKey.Scope.READ)
        needed = scope == ApiKey.Scope.OPERATE or (scope is not None and settings.API_KEY_REQUIRED)
        if not needed:
            return True
        key: Any = request.auth
        if key is None:
            raise exceptions.NotAuthenticated("This needs an API key: Authorization: Bearer KEY.")
        if scope == ApiKey.Scope.OPERATE and key.scope != ApiKey.Scope.OPERATE:
            raise exceptions.PermissionDenied(
                "This API key may only read; starting and cancelling needs one that may operate."
            )
        return True
