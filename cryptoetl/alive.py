"""A file whose time says that this worker or this beat is alive: for orchestrators, a `stat` is the whole probe.

A worker touches HEARTBEAT_FILE with every heartbeat it sends, so only while its loop turns and its broker is there;
beat with every message that the broker took, and the reconciler's goes out every 15 seconds.
"""

from __future__ import annotations

from pathlib import Path

from celery.signals import after_task_publish, beat_init, heartbeat_sent
from django.conf import settings


def watch() -> None:
    """From now on this process shows that it lives, if HEARTBEAT_FILE names where."""
    if settings.HEARTBEAT_FILE:
        heartbeat_sent.connect(touch)
        beat_init.connect(watch_beat)


def watch_beat(**_: object) -> None:
    """Web and workers publish too: only beat's own messages show that beat lives."""
    after_task_publish.connect(touch)


def touch(**_: object) -> None:
    Path(settings.HEARTBEAT_FILE).touch()
