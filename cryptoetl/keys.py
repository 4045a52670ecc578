"""API keys: made, found by their hash, revoked.

A key is 256 random bits, so that one round of SHA-256 keeps it as well as any slow hash would.
"""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from django.db.models.functions import Now

from cryptoetl.models import ApiKey

PREFIX = "cx_"
SHOWN = 10
#: What `write` makes: 32 bytes in URL-safe Base64. Anything else is not looked up.
SHAPE = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}", re.ASCII)


def make(name: str, scope: str, *, by: str = "", **more: Any) -> tuple[ApiKey, str]:
    """A new key and its text."""
    key = ApiKey(name=name, scope=scope, **more)
    return key, write(key, by=by)


def write(key: ApiKey, *, by: str) -> str:
    """The key is stored. Its text is returned, which nobody can find out later."""
    text = PREFIX + secrets.token_urlsafe(32)
    key.shown, key.digest, key.created_by = text[:SHOWN], digest(text), by
    key.full_clean()
    key.save()
    return text


def digest(text: str) -> bytes:
    return sha256(text.encode()).digest()


def find(text: str) -> ApiKey | None:
    """The valid key with that text."""
    if not SHAPE.fullmatch(text):
        return None
    return ApiKey.objects.filter(ApiKey.valid(), digest=digest(text)).first()


def state(key: ApiKey) -> str:
    """valid, expired or revoked."""
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= datetime.now(UTC) else "valid"


def revoke(keys: Any) -> int:
    """None of them is valid any more. How many were."""
    return int(keys.filter(ApiKey.valid()).update(revoked_at=Now()))
