"""The OpenAPI document and the two pages that show it: everything they load comes from here, so they work offline."""

from __future__ import annotations

from typing import Any

from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiJsonRenderer2, OpenApiYamlRenderer2
from drf_spectacular.views import SpectacularAPIView, SpectacularRedocView, SpectacularSwaggerSplitView

from assets.reading import ErrorsInJson, Negotiation


class Json(OpenApiJsonRenderer2):
    format = "json"


class Yaml(OpenApiYamlRenderer2):
    format = "yaml"


class SchemaDocument(ErrorsInJson, SpectacularAPIView):
    """OpenAPI 3, as JSON unless YAML is asked for."""

    scope = None
    renderer_classes = [Json, OpenApiJsonRenderer, Yaml]  # noqa: RUF012
    authentication_classes = ()
    content_negotiation_class = Negotiation


class Swagger(ErrorsInJson, SpectacularSwaggerSplitView):
    """Its script comes by itself, as a page may run none that stands in it."""

    scope = None
    authentication_classes = ()


class Redoc(ErrorsInJson, SpectacularRedocView):
    """Its template is ours: the original one asks Google for fonts."""

    scope = None
    authentication_classes = ()


def once_each(endpoints: list[Any], **_: Any) -> list[Any]:
    """The addresses for the document: the one without a slash at its end stands for both."""
    return [endpoint for endpoint in endpoints if endpoint[0] == "/" or not endpoint[0].endswith("/")]


def empty_cursors(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """An empty `cursor` begins a walk."""
    for item in result["paths"].values():
        for operation in item.values():
            for parameter in operation.get("parameters", []):
                if parameter["name"] == "cursor":
                    parameter["allowEmptyValue"] = True
    return result
