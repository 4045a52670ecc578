"""The kill matrix: whole systems of real processes and servers, killed by a seeded plan, that must come out the same.

    plan.py       which process or server is killed where: a pure function of the seed
    points.py     inside the processes: at every place where a kill may hurt they stop and ask whether to go on
    referee.py    outside: counts these places, answers, and says when a kill is due
    kills.py      carries it out
    crew.py       starts worker and beat, and starts again what was killed, as a supervisor does
    system.py     PostgreSQL, Redis, the providers and the crew of one torture, reached by SQL alone
    scenario.py   one seed: a fresh database, two sweeps, the kills, silence, the comparison
    tables.py     what has to be equal, and what must never have happened

Nothing here calls the product's functions: it is started as a user starts it, and judged by its tables.
"""
