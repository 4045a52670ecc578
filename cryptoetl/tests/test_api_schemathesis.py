"""Schemathesis over the whole schema: whatever is sent, the answer is one that /schema describes, and never 500.

The cases follow from the schema alone, so every run makes the same ones.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from hypothesis import HealthCheck, Phase
from schemathesis import GenerationMode, checks

from assets.tests.factories import coins
from cryptoetl import keys
from cryptoetl.wsgi import application
from ingestion.models import Run

#: Of each operation and each kind: what fits its description, and what doesn't.
CASES = 53
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
]
SETTINGS = hypothesis.settings(
    max_examples=CASES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def connection_kept() -> Iterator[None]:
    """A server's request may end with its connection, which here is the test's."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.mark.slow
@pytest.mark.django_db
def test_two_thousand_cases_are_answered_as_described(monkeypatch, connection_kept):
    coins("coingecko", 5)
    # One that has an end; and nobody is there to carry a run out.
    monkeypatch.setattr("assets.stream.begun", lambda *_: iter([b"retry: 3000\n\n"]))
    monkeypatch.setattr("ingestion.operating.send", lambda *_: None)
    _, text = keys.make("schemathesis", "operate")
    schema = schemathesis.openapi.from_wsgi("/schema", application)
    statuses: Counter[tuple[str, int]] = Counter()

    def ask(case: Any) -> None:
        answer = case.call(headers={"Authorization": f"Bearer {text}", "Accept-Encoding": "identity"})
        case.validate_response(answer, checks=CHECKS)
        statuses[f"{case.method} {case.path}", answer.status_code] += 1
        if answer.status_code >= 400 and "json" in str(answer.headers.get("content-type")):
            said = json.loads(answer.content)
            assert said["request_id"] and said["error"]["message"], answer.content
            assert answer.status_code != 400 or said["error"]["fields"], answer.content
        # One run of a source at a time: the next case finds none under way.
        Run.objects.all().delete()

    operations = [found.ok() for found in schema.get_all_operations()]
    for operation in operations:
        for mode in GenerationMode:
            case = operation.as_strategy(generation_mode=mode)
            SETTINGS(hypothesis.given(case=case)(ask))()
    total = sum(statuses.values())
    assert total >= 2000, statuses
    # Both roads were taken: what can be answered was, and what can't was refused.
    assert sum(count for (_, status), count in statuses.items() if status < 300) > 200, statuses
    assert sum(count for (_, status), count in statuses.items() if status == 400) > 200, statuses
    assert len({name for name, _ in statuses}) == len(operations) > 20
