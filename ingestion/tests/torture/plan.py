"""What is killed where: a pure function of the seed, so that a seed that failed can be repeated.

The first kill of a seed is a cell of the matrix, boundary by victim, so that any 25 seeds in a row hold every cell; up
to three more fall anywhere. A place in the course of a seed is a share of what an undisturbed run passes of its kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

#: Each boundary between two stages, by the points next to it.
BOUNDARIES: dict[str, tuple[str, ...]] = {
    "fetched": ("fetch answered",),
    "page stored": ("fetch stored",),
    "checkpoint moved": ("fetch moved", "fetch commit", "fetch committed"),
    "published": ("fetch send", "fetch sent"),
    "normalized": ("normalize commit", "normalize committed"),
}
VICTIMS = ("child", "worker", "beat", "redis", "postgres")
MATRIX = [(boundary, victim) for boundary in BOUNDARIES for victim in VICTIMS]

#: Where else a kill may fall, by weight.
POINTS = {
    **{f"fetch {point}": 2 for point in ("asked", "answered", "stored", "moved", "send", "sent", "ended")},
    **{f"fetch {point}": 4 for point in ("sql", "commit", "committed")},
    **{f"normalize {point}": 4 for point in ("sql", "commit", "committed")},
    "normalize ending": 4,
    **{f"{task} {point}": 1 for task in ("fetch", "normalize", "start") for point in ("begun", "ended")},
    **{
        f"{doing} {point}": 1
        for doing in ("reconcile", "start", "beat", "command")
        for point in ("sql", "send", "sent")
    },
    **{f"{doing} {point}": 1 for doing in ("reconcile", "command") for point in ("commit", "committed")},
    **{f"roll_up {point}": 2 for point in ("sql", "commit", "committed")},
}
#: Who may be killed there. `child` is whoever reached the point: for beat and the command, themselves.
#: `redis-empty` loses what Redis had on its disk, `backend` is one of PostgreSQL's, `everything` is a power cut;
#: `sleeper` is not killed but stopped, until long after others have taken it for dead, and then goes on.
ANYONE = {
    "sleeper": 3,
    "child": 5,
    "worker": 3,
    "beat": 1,
    "redis": 2,
    "redis-empty": 2,
    "postgres": 3,
    "backend": 2,
    "everything": 1,
}
TRIGGERS = ("command", "beat")


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill: when a point is reached, or at a moment."""

    victim: str
    point: str
    """What is done and which point of it; empty for a moment of the clock."""
    share: float
    """Of the times that an undisturbed run reaches the point, or of the time that it takes."""
    down: float
    """Seconds until a server is started again."""

    def __str__(self) -> str:
        where = f"{self.share:.0%} of {self.point!r}" if self.point else f"{self.share:.0%} of the time"
        return f"{self.victim} at {where}, down {self.down:.2f} s"


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens to one seed's system."""

    seed: int
    trigger: str
    """Who starts the runs: the command, or beat."""
    workers: int
    kills: tuple[Kill, ...]

    def __str__(self) -> str:
        return f"{self.workers} workers, runs by {self.trigger}: " + "; ".join(map(str, self.kills))


def plan_of(seed: int) -> Plan:
    """Always the same for a seed."""
    random = Random(seed)
    trigger, workers = random.choice(TRIGGERS), random.choice((1, 1, 2))
    boundary, victim = MATRIX[seed % len(MATRIX)]
    kills = [Kill(victim, random.choice(BOUNDARIES[boundary]), random.random(), down(random))]
    points = [point for point in POINTS if not point.startswith(OTHER[trigger])]
    for _ in range(random.choice((0, 1, 1, 2, 2, 3))):
        point = random.choices(points, [POINTS[point] for point in points])[0] if random.random() < 0.65 else ""
        victim = random.choices(list(ANYONE), list(ANYONE.values()))[0]
        kills.append(Kill(victim, point, random.random(), down(random)))
    return Plan(seed, trigger, workers, tuple(kills))


#: What is never reached when runs are started so.
OTHER = {"command": ("start ",), "beat": ("command ",)}


def down(random: Random) -> float:
    """Mostly as quick as a supervisor."""
    return round(random.choice((0.0, 0.0, random.uniform(0, 0.5))), 2)
