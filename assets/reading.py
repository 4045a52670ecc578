"""What every address of the API has in common: strict parameters, one envelope, validators for caches, no session.

The browsable pages read no cookie and ask no database about the visitor, so they answer as long as the view does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from time import perf_counter
from typing import Any, ClassVar

from django.conf import settings
from django.http import HttpResponse
from django.http.request import MediaType
from django.urls import path
from django.urls.resolvers import URLPattern
from django.utils.http import http_date, parse_etags
from rest_framework.exceptions import APIException, NotAcceptable, NotFound, Throttled
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from xxhash import xxh3_128

from assets.errors import Invalid
from assets.parameters import Asked, Parameter, read
from assets.reader import reading
from assets.renderers import JSONRenderer

#: Ranges of `Accept` that are looked at: nobody has more to say.
MOST_RANGES = 64


class Negotiation(DefaultContentNegotiation):
    """`?format=` wins over the header `Accept`, and one that isn't there is the caller's mistake.

    Of the header the weights count (`q`), which DRF leaves out: a form with 0 is not wanted, however wide the rest is.
    """

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        renderers = list(renderers)
        wanted = request.query_params.get("format")
        if wanted is None:
            first = renderers[0]
            accept = request.META.get("HTTP_ACCEPT") or "*/*"
            # What programs send: nothing to weigh up.
            if accept in ("*/*", first.media_type):
                return first, first.media_type
            ranges = [MediaType(part) for part in accept.split(",", MOST_RANGES)[:MOST_RANGES]]
            best = max(renderers, key=lambda renderer: wish(ranges, renderer.media_type))
            if not wish(ranges, best.media_type)[0]:
                forms = ", ".join(str(renderer.media_type) for renderer in renderers)
                raise NotAcceptable(f"Accept asks for nothing that there is here: {forms}.")
            return best, best.media_type
        for renderer in renderers:
            if renderer.format == wanted:
                return renderer, renderer.media_type
        raise Invalid({"format": "must be one of " + ", ".join(str(renderer.format) for renderer in renderers)})


def wish(ranges: Iterable[MediaType], form: str) -> tuple[float, int]:
    """(weight, closeness) of the range of `Accept` that names the form most closely; 0 when it isn't wanted."""
    main, _, sub = form.partition("/")
    closeness, weight = max(
        (
            (one.specificity, one.quality)
            for one in ranges
            if one.main_type in ("*", main) and one.sub_type in ("*", sub)
        ),
        default=(0, 0.0),
    )
    return weight, closeness


class ErrorsInJson:
    """What can only be shown as itself: what goes wrong, and what it is (OPTIONS), is said as everywhere else."""

    errors_in_json = True

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        if getattr(response, "exception", False) or request.method == "OPTIONS":
            request.accepted_renderer, request.accepted_media_type = JSONRenderer(), JSONRenderer.media_type
        return super().finalize_response(request, response, *args, **kwargs)  # type: ignore[misc]


class Reading(APIView):
    """A view that only reads."""

    #: What a caller's API key must be good for; None where nobody needs one, whatever the settings.
    scope: str | None = "read"
    content_negotiation_class = Negotiation
    parameters: tuple[Parameter, ...] = ()
    #: Parts of the address, each with its description.
    path_parameters: ClassVar[Mapping[str, str]] = {}
    examples: ClassVar[Mapping[str, Any]] = {}
    #: What people call it; the class's name, when it says nothing.
    summary: str = ""
    #: Whether it answers with validators (see `conditional`).
    is_conditional = False

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """Asked and rendered as somebody who may only read, unless it is here to change something."""
        with reading(self.scope != "operate"):
            response = super().dispatch(request, *args, **kwargs)
            return response.render() if isinstance(response, Response) else response

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """What is refused before the caller is counted counts all the same."""
        try:
            super().initial(request, *args, **kwargs)
        except Throttled:
            raise
        except APIException:
            self.check_throttles(request)
            raise

    def get_authenticators(self) -> list[Any]:
        """Where nobody needs a key none is looked at: these answer whatever is down, and keys are in the database."""
        return super().get_authenticators() if self.scope is not None else []

    def get_view_name(self) -> str:
        return self.summary or str(super().get_view_name())

    def asked(self, request: Request) -> Asked:
        """The caller's parameters. Raises Invalid."""
        query = request.META.get("QUERY_STRING", "").encode("latin-1", "replace")
        # A browser sends what was left empty in the form, too.
        return read(filled_in(query) if request.accepted_renderer.format == "html" else query, self.parameters)

    def answer(self, request: Request, content: Mapping[str, Any], status: int = 200) -> HttpResponse:
        """The envelope: who asked, how long it took, and the content."""
        envelope = {"request_id": id_of(request), "api_latency_ms": latency_ms(request), **content}
        renderer = request.accepted_renderer
        if isinstance(renderer, JSONRenderer):
            return HttpResponse(renderer.render(envelope), status=status, content_type=renderer.media_type)
        return Response(envelope, status)

    def conditional(
        self,
        request: Request,
        content: Mapping[str, Any],
        parts: Sequence[str | bytes],
        modified: datetime | None,
        due: datetime | None = None,
    ) -> HttpResponse:
        """The envelope with ETag and Last-Modified, or 304 when the caller has this very data.

        The tag is of the data as it is shown, so it changes if and only if the data does; it is weak because request_id
        and latency differ from answer to answer. It may be kept until the next run is due, by programs: a person who
        asks for a run looks at its page right after.
        """
        data = xxh3_128()
        for part in (request.accepted_renderer.format, *parts):
            data.update(part if isinstance(part, bytes) else part.encode())
            data.update(b"\0")
        tag = f'W/"{data.hexdigest()}"'
        sent = parse_etags(request.META.get("HTTP_IF_NONE_MATCH", ""))
        if sent == ["*"] or tag in (known if known.startswith("W/") else f"W/{known}" for known in sent):
            response = HttpResponse(status=304)
            del response["Content-Type"]
        else:
            response = self.answer(request, content)
        response["ETag"] = tag
        left = int((due - datetime.now(UTC)).total_seconds()) if due is not None else 0
        kept = left > 0 and request.accepted_renderer.format == "json"
        # What takes a key to read, no cache between keeps for those who have none.
        whose = "private" if settings.API_KEY_REQUIRED else "public"
        response["Cache-Control"] = f"{whose}, max-age={left}" if kept else f"{whose}, no-cache"
        if modified is not None:
            response["Last-Modified"] = http_date(modified.timestamp())
        return response


def filled_in(query: bytes) -> bytes:
    """The query without empty values; an empty cursor begins a walk."""
    return b"&".join(part for part in query.split(b"&") if not part.endswith(b"=") or part == b"cursor=")


class Nowhere(Reading):
    """There is nothing at this address: the first page leads to all there are."""

    schema = None
    summary = "Nothing here"

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        raise NotFound("There is nothing at this address.")


def id_of(request: Any) -> str:
    """The id that `ingestion.middleware` gave to the request."""
    return str(request.request_id)


def latency_ms(request: Any) -> float:
    return round((perf_counter() - request.began) * 1000, 3)


def at(route: str, view: Callable[..., Any], name: str) -> list[URLPattern]:
    """The address with and without a slash at its end; the one without is the one that links and the schema name.

    With the slash comes first: a part of an address may hold slashes, and would swallow it.
    """
    return [path(f"{route}/", view), path(route, view, name=name)]
