"""OpenAPI out of what the views declare, so that the document can't differ from them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse

from assets.parameters import Parameter
from assets.serializers import ErrorSerializer


def shown(parameter: Parameter) -> OpenApiParameter:
    schema = dict(parameter.schema)
    if parameter.example is not None:
        schema["example"] = parameter.example
    # A list is one value with commas between, not a parameter that comes again.
    listed: dict[str, Any] = {"style": "form", "explode": False} if schema["type"] == "array" else {}
    return OpenApiParameter(
        parameter.name, schema, OpenApiParameter.QUERY, parameter.required, parameter.description, **listed
    )


class Schema(AutoSchema):
    """What drf-spectacular asks about a view."""

    def get_override_parameters(self) -> list[Any]:
        found: list[Any] = [shown(parameter) for parameter in getattr(self.view, "parameters", ())]
        for name, description in getattr(self.view, "path_parameters", {}).items():
            kind: Any = int if name == "id" else str
            found.append(OpenApiParameter(name, kind, OpenApiParameter.PATH, True, description))
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
        return []

    def get_operation_id(self) -> str:
        name = type(self.view).__name__.removesuffix("View")
        return name[0].lower() + name[1:]

    def map_renderers(self, attribute: str) -> list[str]:
        return [kind for kind in super().map_renderers(attribute) if kind != "text/html"]

    def get_response_serializers(self) -> Any:
        answers: dict[Any, Any] = {}
        for status, serializer, description in getattr(self.view, "answers", ()):
            answers[status] = OpenApiResponse(serializer, description)
        if not answers:
            answers[200] = OpenApiResponse(getattr(self.view, "serializer_class", None), "The answer.")
        answers[400] = OpenApiResponse(ErrorSerializer, "A parameter can't be used; `fields` names it.")
        if getattr(self.view, "path_parameters", None) or getattr(self.view, "names_rows", False):
            answers[404] = OpenApiResponse(ErrorSerializer, "There is no such thing.")
        if getattr(self.view, "leads_elsewhere", False):
            answers[308] = OpenApiResponse(None, "It has another address now: `Location`.")
        answers[406] = OpenApiResponse(ErrorSerializer, "There is no such form of it.")
        answers[503] = answers.get(503) or OpenApiResponse(ErrorSerializer, "The database can't be reached.")
        return answers

    def get_examples(self) -> list[OpenApiExample]:
        return [
            OpenApiExample(name, value=value, response_only=True, status_codes=["200"], media_type="application/json")
            for name, value in getattr(self.view, "examples", {}).items()
        ]
