"""OpenAPI out of what the views declare, so that the document can't differ from them."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse

from assets.parameters import Parameter
from assets.serializers import ErrorSerializer


def shown(parameter: Parameter) -> OpenApiParameter:
    # An example in words: one in the schema is filled in by /docs, and all filters at once find nothing.
    description = parameter.description + (f" For example `{parameter.example}`." if parameter.example else "")
    # A list is one value with commas between, not a parameter that comes again.
    listed: dict[str, Any] = {"style": "form", "explode": False} if parameter.schema["type"] == "array" else {}
    return OpenApiParameter(
        parameter.name, dict(parameter.schema), OpenApiParameter.QUERY, parameter.required, description, **listed
    )


IF_NONE_MATCH = OpenApiParameter(
    "If-None-Match",
    str,
    OpenApiParameter.HEADER,
    description="The `ETag` of an answer that the caller has: 304 if nothing has changed since.",
)
#: What is said with an answer that a caller may keep.
VALIDATORS = {
    "ETag": "Changes if and only if the data shown does.",
    "Last-Modified": "When the data shown last changed.",
    "Cache-Control": "How long the answer may be kept.",
}
#: Where requests are limited.
LIMITS = {
    "RateLimit-Limit": "Where requests are limited: the bucket's size.",
    "RateLimit-Remaining": "Requests left in it.",
    "RateLimit-Reset": "Seconds until it is full.",
    "RateLimit-Policy": "The bucket's size with its time.",
}


def answered(name: str, description: str, *statuses: str) -> OpenApiParameter:
    """A header of answers with these statuses; of all, if none is named."""
    return OpenApiParameter(
        name, str, OpenApiParameter.HEADER, description=description, response=list(statuses) or True
    )


class Schema(AutoSchema):
    """What drf-spectacular asks about a view."""

    def get_override_parameters(self) -> list[Any]:
        found: list[Any] = [shown(parameter) for parameter in getattr(self.view, "parameters", ())]
        for name, description in getattr(self.view, "path_parameters", {}).items():
            kind: Any = int if name == "id" else str
            found.append(OpenApiParameter(name, kind, OpenApiParameter.PATH, True, description))
        for name, (description, kind) in getattr(self.view, "header_parameters", {}).items():
            found.append(OpenApiParameter(name, kind, OpenApiParameter.HEADER, description=description))
        if getattr(self.view, "is_conditional", False):
            found.append(IF_NONE_MATCH)
            found += [answered(name, description, "200", "304") for name, description in VALIDATORS.items()]
        if getattr(self.view, "scope", None) is not None:
            found += [answered(name, description) for name, description in LIMITS.items()]
        found.append(answered("Retry-After", "Seconds after which to come again.", "429", "503"))
        formats = [renderer.format for renderer in self.view.renderer_classes if renderer.format != "html"]
        found.append(
            OpenApiParameter(
                "format",
                {"type": "string", "enum": formats, "default": formats[0]},
                OpenApiParameter.QUERY,
                description="The form of the answer; wins over the header `Accept`.",
            )
        )
        return found

    def _get_format_parameters(self) -> list[Any]:
        return []

    def get_tags(self) -> list[str]:
        return [getattr(self.view, "tag", "system")]

    def get_summary(self) -> str:
        return str(self.view.get_view_name())

    def get_auth(self) -> list[Any]:
        """Whether a key is needed."""
        scope = getattr(self.view, "scope", None)
        return [{"key": []}, {"header": []}] if scope == "operate" or (scope and settings.API_KEY_REQUIRED) else []

    def get_request_serializer(self) -> Any:
        return getattr(self.view, "body_serializer", None)

    def get_operation_id(self) -> str:
        name = type(self.view).__name__.removesuffix("View")
        return name[0].lower() + name[1:]

    def map_renderers(self, attribute: str) -> list[str]:
        return [kind for kind in super().map_renderers(attribute) if kind != "text/html"]

    def get_response_serializers(self) -> Any:
        answers: dict[Any, Any] = {}
        for status, serializer, description in getattr(self.view, "answers", ()):
            answers[status] = OpenApiResponse(serializer or ErrorSerializer, description)
        if not answers:
            answers[200] = OpenApiResponse(getattr(self.view, "serializer_class", None), "The answer.")
        answers[400] = OpenApiResponse(ErrorSerializer, "A parameter can't be used; `fields` names it.")
        if (scope := getattr(self.view, "scope", None)) is not None:
            answers[401] = OpenApiResponse(ErrorSerializer, "A key is needed, or the one sent is not valid.")
            answers[429] = OpenApiResponse(ErrorSerializer, "Too many requests: `Retry-After` says when to come again.")
        if scope == "operate":
            answers[403] = OpenApiResponse(ErrorSerializer, "The key may only read.")
        if getattr(self.view, "path_parameters", None) or getattr(self.view, "names_rows", False):
            answers[404] = OpenApiResponse(ErrorSerializer, "There is no such thing.")
        if getattr(self.view, "leads_elsewhere", False):
            answers[308] = OpenApiResponse(None, "It has another address now: `Location`.")
        if getattr(self.view, "is_conditional", False):
            answers[304] = OpenApiResponse(None, "The caller has it as it is.")
        answers[405] = OpenApiResponse(ErrorSerializer, "It is asked for in another way: `Allow`.")
        answers[406] = OpenApiResponse(ErrorSerializer, "There is no such form of it.")
        answers[503] = answers.get(503) or OpenApiResponse(ErrorSerializer, "The database can't be reached.")
        if getattr(self.view, "errors_in_json", False):
            return {
                (status, "application/json") if status >= 400 else status: answer for status, answer in answers.items()
            }
        return answers

    def get_examples(self) -> list[OpenApiExample]:
        status = str(next((status for status, _, _ in getattr(self.view, "answers", ())), 200))
        kind = getattr(self.view, "example_type", "application/json")
        return [
            OpenApiExample(name, value=value, response_only=True, status_codes=[status], media_type=kind)
            for name, value in getattr(self.view, "examples", {}).items()
        ]
