"""The admin as a person uses it: pages that are looked at, and actions that ask before they act."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.messages import get_messages
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse


def words(answer: Any) -> str:
    """What is on the page, without its markup."""
    text = re.sub(r"<(script|style).*?</\1>", " ", answer.content.decode(), flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text).replace("&#x27;", "'"))


class Browser:
    """Someone who is logged in."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def open(self, path: str, status: int = 200) -> str:
        answer = self.client.get(path)
        assert answer.status_code == status, (path, answer.status_code)
        return words(answer)

    def list_of(self, model: type[Model], query: str = "") -> str:
        return self.open(list_path(model) + query)

    def page_of(self, row: Model) -> str:
        return self.open(row_path(row))

    def queries_of(self, path: str) -> int:
        """How many queries a page makes."""
        with CaptureQueriesContext(connection) as captured:
            self.open(path)
        return len(captured)

    def choose(self, action: str, rows: Sequence[Model], **more: str) -> Any:
        """The action on rows that were ticked; without confirmed="yes" it asks."""
        posted = {"action": action, ACTION_CHECKBOX_NAME: [row.pk for row in rows], **more}
        return self.client.post(list_path(type(rows[0])), posted)

    def act(self, action: str, rows: Sequence[Model], **more: str) -> list[str]:
        """The action, confirmed; the messages that it leaves."""
        answer = self.choose(action, rows, confirmed="yes", **more)
        assert answer.status_code == 302, words(answer)
        said = messages_of(answer)
        # As a browser does; what was said is said once.
        self.client.get(answer["location"])
        return said


def list_path(model: type[Model]) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def row_path(row: Model, page: str = "change") -> str:
    meta = row._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_{page}", args=[row.pk])


def messages_of(answer: Any) -> list[str]:
    return [re.sub(r"<[^>]+>", "", str(message)) for message in get_messages(answer.wsgi_request)]
