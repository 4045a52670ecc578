"""Every address of the system, each with and without a slash at its end; the one without is what links name."""

from django.contrib import admin
from django.urls import include, path, re_path
from django.views.generic import RedirectView

from assets.reading import Nowhere, at
from cryptoetl.documents import Redoc, SchemaDocument, Swagger
from cryptoetl.home import Home

handler400 = "assets.errors.bad_request"
handler403 = "assets.errors.forbidden"
handler404 = "assets.errors.not_found"
handler500 = "assets.errors.server_error"

urlpatterns = [
    path("", Home.as_view(), name="home"),
    path("", include("assets.urls")),
    path("", include("ingestion.urls")),
    *at("schema", SchemaDocument.as_view(), "schema"),
    *at("docs", Swagger.as_view(url_name="schema"), "docs"),
    *at("redoc", Redoc.as_view(url_name="schema"), "redoc"),
    path("admin", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    # Django's own page for a missing address is HTML, with DEBUG even a list of all there are; this one is ours.
    re_path(r"^(?!admin(/|$)|static/)", Nowhere.as_view()),
]
