"""Starting and cancelling runs over HTTP, by the same functions as the admin and the commands. It takes a key that may.

A request that carries an `Idempotency-Key` can be sent again after a broken connection: it starts one run, however
often it comes, and every answer shows that run.
"""

from __future__ import annotations

import re
from typing import ClassVar

import msgspec
from django.http import HttpResponse
from gunicorn.http.errors import ParseException
from rest_framework.exceptions import NotFound
from rest_framework.request import Request

from assets.errors import Conflict, Invalid
from assets.models import Source
from assets.reading import Reading
from assets.tables import source_slug
from ingestion import broker, examples, runs
from ingestion.models import Run
from ingestion.serializers import RunAnswerSerializer, RunSerializer, StartSerializer
from ingestion.tasks import fetch, send
from ingestion.views import run_of

LARGEST_BODY = 16 * 1024
IDEMPOTENCY_KEY = "Idempotency-Key"
#: Of a sane key: what a header can carry, and no more than an index likes.
SANE = re.compile(r"[\x21-\x7e]{1,200}")
#: Where msgspec says what is wrong with a body.
AT, UNKNOWN = re.compile(r" - at `\$\.(\w+)`$"), re.compile(r"unknown field `(.*)`", re.DOTALL)


class Start(msgspec.Struct, forbid_unknown_fields=True):
    """What a request to start a run may say."""

    full: bool = False


class Operating(Reading):
    """What changes something: the envelope and the strictness of what reads."""

    tag = "operate"
    scope = "operate"
    serializer_class = RunAnswerSerializer
    examples: ClassVar = {"A queued run": examples.QUEUED}

    def shown(self, request: Request, run: Run) -> HttpResponse:
        """202 and where to follow it."""
        response = self.answer(request, {"data": RunSerializer(run).data}, 202)
        response["Location"] = f"/stats/runs/{run.pk}"
        return response


class SourceRuns(Operating):
    """Start a run of a source now, from where its checkpoint stands; `full` begins at the beginning.

    One run of a source at a time: 409 while another is under way. With an `Idempotency-Key` the same request may be
    sent again and starts nothing new. While the broker is away, the run waits in the database and starts when it is
    back.
    """

    summary = "Run a source now"
    path_parameters: ClassVar = {"slug": "The source's slug."}
    header_parameters: ClassVar = {
        IDEMPOTENCY_KEY: (
            "1 to 200 printable characters of ASCII without spaces: sent again, it gives the same run.",
            {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]{1,200}$"},
        )
    }
    body_serializer = StartSerializer
    answers = (
        (202, RunAnswerSerializer, "It is queued; `Location` is where to follow it."),
        (409, None, "A run of the source is under way, or the source is disabled."),
    )

    def post(self, request: Request, slug: str) -> HttpResponse:
        self.asked(request)
        body = start_of(request)
        request_key = request_key_of(request)
        source = Source.objects.filter(slug=source_slug(named(slug, "slug"))).first()
        if source is None:
            raise NotFound(f"There is no source {slug[:100]!r}.")
        # A request that comes again has its run already, whatever became of the source since.
        if not source.enabled and not Run.objects.filter(request_key=request_key or "").exists():
            raise Conflict(f"{source.title} is disabled: enable it in the admin first.", "disabled")
        try:
            run, is_new = runs.start_once(source, Run.Trigger.API, request_key, full=body.full)
        except runs.AlreadyActive as active:
            raise Conflict(f"{active} It goes on: /stats/runs/{active.run.pk}", "already_active") from None
        if (run.source_id, run.full) != (source.pk, body.full):
            raise Invalid({IDEMPOTENCY_KEY: "was sent before, with another request"})
        if is_new and not broker.trouble():
            send(fetch, run.pk)
        response = self.shown(request, run)
        if not is_new:
            response["Idempotency-Replayed"] = "true"
        return response


class RunCancel(Operating):
    """Stop a run after the page that it is at, a queued one at once. What is stored stays, and the next run goes on.

    Asked twice it says the same; 409 when the run had ended before.
    """

    summary = "Cancel a run"
    path_parameters: ClassVar = {"id": "The run's number."}
    answers = (
        (202, RunAnswerSerializer, "It stops; `Location` is where to follow it."),
        (409, None, "It has ended already."),
    )

    def post(self, request: Request, id: int) -> HttpResponse:
        self.asked(request)
        run = run_of(id)
        stops = runs.cancel(run)
        run.refresh_from_db()
        if not stops and run.status != Run.Status.CANCELLED:
            raise Conflict(f"Run {run.pk} has ended already: {run.status}.", "ended")
        return self.shown(request, run)


def start_of(request: Request) -> Start:
    """The body, JSON or empty. Raises Invalid with what can't be used."""
    body = body_of(request)
    if not body.strip():
        return Start()
    kind = request._request.content_type
    if kind != "application/json":
        raise Invalid({"Content-Type": "must be application/json"})
    try:
        return msgspec.json.decode(body, type=Start)
    except msgspec.ValidationError as error:
        said = str(error)
        if unknown := UNKNOWN.search(said):
            raise Invalid({unknown[1][:100]: "is no field here"}) from None
        if field := AT.search(said):
            raise Invalid({field[1]: "must be true or false"}) from None
        raise Invalid({"body": 'must be an object of JSON, as {"full": true}'}) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise Invalid({"body": "must be JSON"}) from None


def body_of(request: Request) -> bytes:
    """The body, whether its length was said before or it comes in chunks. Raises Invalid."""
    try:
        if request.META.get("HTTP_TRANSFER_ENCODING"):
            # Django takes a body whose length nobody says for none.
            body: bytes = request.META["wsgi.input"].read(LARGEST_BODY + 1)
        elif int(request.META.get("CONTENT_LENGTH") or 0) > LARGEST_BODY:
            raise Invalid({"body": f"must have at most {LARGEST_BODY:,} bytes"})
        else:
            body = request._request.body
    except (OSError, ParseException):
        raise Invalid({"body": "breaks off, or its chunks can't be read"}) from None
    if len(body) > LARGEST_BODY:
        raise Invalid({"body": f"must have at most {LARGEST_BODY:,} bytes"})
    return body


def request_key_of(request: Request) -> str | None:
    """The caller's `Idempotency-Key`, told from those of other callers. Raises Invalid."""
    sent = request.META.get("HTTP_IDEMPOTENCY_KEY")
    if sent is None:
        return None
    if not SANE.fullmatch(sent):
        raise Invalid({IDEMPOTENCY_KEY: "must be 1 to 200 printable characters of ASCII without spaces"})
    return f"{request.auth.pk}:{sent}"


def named(value: str, name: str) -> str:
    """A part of the address that is a text. Raises Invalid."""
    if "\0" in value or "\ufffd" in value:
        raise Invalid({name: "holds a NUL byte" if "\0" in value else "is not UTF-8"})
    return value
