"""What GET / answers, for the OpenAPI document."""

from __future__ import annotations

from typing import Any

HOME: dict[str, Any] = {
    "request_id": "9f0c1c1c7d7f4b6f8a52f3e4b7f0a1d2",
    "name": "cryptoetl",
    "version": "0.1.0",
    "status": "healthy",
    "links": {"data": "http://localhost:8000/data", "docs": "http://localhost:8000/docs"},
}
