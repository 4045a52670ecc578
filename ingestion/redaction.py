"""Secrets cut out of texts, however they are spelled there: as they are, in an address, in JSON, in HTML, in base64."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from functools import lru_cache

#: Characters that stand where a secret stood.
REDACTED = "[redacted]"
#: A secret's base64 shorter than this may be part of any word.
LEAST_BASE64 = 12
NAMED_IN_HTML = {"&": ("&amp;",), "<": ("&lt;",), ">": ("&gt;",), '"': ("&quot;",), "'": ("&apos;",)}


def redact(text: str, secrets: tuple[str, ...]) -> str:
    """The text without any of the secrets."""
    for secret in secrets:
        for signs, spelled in spellings(secret):
            if any(sign in text for sign in signs):
                text = spelled.sub(REDACTED, text)
    return text


def redact_bytes(body: bytes, secrets: tuple[str, ...]) -> bytes:
    """The body without any of the secrets, which are ASCII; every other byte is left as it was."""
    if not secrets:
        return body
    text = body.decode("latin-1")
    return body if (without := redact(text, secrets)) is text else without.encode("latin-1")


@lru_cache(maxsize=64)
def spellings(secret: str) -> tuple[tuple[tuple[str, ...], re.Pattern[str]], ...]:
    """Patterns of the secret, each with texts of which one stands wherever it matches: those are quick to look for."""
    # Every spelling leaves letters and digits as they are, but for JSON's, which may spell each character as a number.
    plain = max(re.findall(r"[A-Za-z0-9]*", secret), key=len)
    code = f"u00{ord(secret[0]):02x}"
    signs = (plain, code, f"u00{code[3:].upper()}")
    return (
        (signs, re.compile("".join(map(character, secret)))),
        *(((word,), re.compile(re.escape(word))) for word in sorted(set(in_base64(secret)))),
    )


def character(one: str) -> str:
    """A pattern of every spelling of the character."""
    code = f"{ord(one):02x}"
    in_json = rf"\\+u00(?i:{code})"
    if one.isalnum():
        return f"(?:{one}|{in_json})"
    in_address = f"%(?:25)*(?i:{code})"
    in_html = "|".join((f"&#0*{ord(one)};", f"&#[xX]0*(?i:{code});", *NAMED_IN_HTML.get(one, ())))
    # Last, for a percent sign is the first character of one that is spelled in an address.
    itself = r"\\+" if one == "\\" else rf"\\*{re.escape(one)}"
    return f"(?:{in_json}|{in_address}|{in_html}|{itself})"


def in_base64(secret: str) -> Iterator[str]:
    """What stands for the secret in base64, at any of the three places where it may begin."""
    for before in range(3):
        word = base64.b64encode(b"\0" * before + secret.encode()).decode()
        # The first and the last character may stand for bits of its neighbours too.
        whole = word.rstrip("=")[(0, 2, 3)[before] : -1 if word.endswith("=") else None]
        if len(whole) >= LEAST_BASE64:
            yield from (whole, whole.replace("+", "-").replace("/", "_"))
