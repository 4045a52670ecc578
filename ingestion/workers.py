"""Which workers are alive, asked through the broker; they answer within the time given or count as not there."""

from __future__ import annotations

from celery import current_app

#: Every queue that work is sent to.
QUEUES = ("fetch", "normalize", "maintenance")


def alive(timeout: float = 1.0) -> dict[str, tuple[str, ...]]:
    """Worker -> the queues that it takes work from. Raises what the broker's client raises when the broker is away."""
    answers = current_app.control.inspect(timeout=timeout).active_queues() or {}
    return {
        name: tuple(sorted(queue["name"] for queue in queues))
        for name, queues in sorted(answers.items())
        if isinstance(queues, list)
    }
