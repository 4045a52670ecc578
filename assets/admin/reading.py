"""What the admin's pages share: read-only where the pipeline writes, no count over a huge table, how things look."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from inspect import getdoc
from typing import Any

import msgspec
from django.contrib.admin.utils import unquote
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin, TabularInline

from assets.templatetags import figures

#: Rows are counted up to here: a person finds by filters, not by leafing through a million.
COUNTED = 10_000
#: Digits of a price in a list; its page has them all.
DIGITS = 8


class CappedPaginator(Paginator):
    """Pages of a list that may be huge: it counts to COUNTED and no further."""

    template_name = "admin/cryptoetl/pages.html"

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        if isinstance(rows, list):
            return len(rows)
        count: int = rows.order_by()[: COUNTED + 1].count()
        return count

    @property
    def said(self) -> str:
        return f"{self.count:,}" if self.count <= COUNTED else f"more than {COUNTED:,}"


def key_of(admin: Any, object_id: str) -> Any:
    """The key that a part of an address names; None for what can be no key of this table."""
    try:
        return admin.opts.pk.to_python(unquote(object_id))
    except ValidationError:
        return None


def no_such_row(admin: Any, request: HttpRequest, object_id: str) -> HttpResponse:
    """Back to the overview with a word of it, as Django does for a row that is not there."""
    answer: HttpResponse = admin._get_obj_does_not_exist_redirect(request, admin.opts, object_id)
    return answer


class Explained:
    """A list whose first words say what is in it: those of its class."""

    list_before_template = "admin/cryptoetl/lead.html"

    @property
    def lead(self) -> str:
        return " ".join((getdoc(type(self)) or "").split())


class ReadOnlyAdmin(Explained, ModelAdmin):
    """Pages about what the pipeline writes. A person looks, and acts through actions."""

    paginator = CappedPaginator
    show_full_result_count = False
    list_per_page = 50
    list_fullwidth = True
    list_filter_submit = False
    compressed_fields = False
    actions_on_top = True

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        """What the page can do is looked up by its key: one that can be none is told before."""
        if object_id is not None and key_of(self, object_id) is None:
            return no_such_row(self, request, object_id)
        return super().changeform_view(request, object_id, form_url, extra_context)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """The list as Django makes it; one that nothing narrows down offers no way back to all."""
        changelist = super().get_changelist_instance(request)
        if not changelist.query and not changelist.get_filters_params():
            changelist.full_result_count = changelist.result_count
        return changelist

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_operate_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who may use the actions: whoever may change such a row by Django's permissions."""
        meta = self.opts
        return bool(request.user.has_perm(f"{meta.app_label}.change_{meta.model_name}"))


class ReadOnlyInline(TabularInline):
    """Rows of another table, to look at."""

    extra = 0
    per_page = 20
    can_delete = False
    show_change_link = False
    hide_title = True

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


# --------------------------------------------------------------------------------------------------- how things look


def link(name: str, key: object, text: object) -> SafeString:
    """A link to the page of a row: `name` is app_model."""
    return format_html('<a class="cx-link" href="{}">{}</a>', reverse(f"admin:{name}_change", args=[key]), text)


def list_link(name: str, text: object, **query: object) -> SafeString:
    """A link to a list, filtered."""
    return format_html('<a class="cx-link" href="{}">{}</a>', list_address(name, **query), text)


def list_address(name: str, **query: object) -> str:
    return reverse(f"admin:{name}_changelist", query=query or None)


def item_link(page_id: int, position: int) -> SafeString:
    """A link to the very record in its raw payload."""
    where = reverse(
        "admin:ingestion_rawpayload_items", args=[page_id], query={"at": position}, fragment=f"item-{position}"
    )
    return format_html('<a class="cx-link cx-whole" href="{}">page {}, record {}</a>', where, page_id, position + 1)


def label(text: object, kind: str = "") -> SafeString:
    """A coloured word: success, warning, danger, info, or plain."""
    return format_html('<span class="cx-label cx-{}">{}</span>', kind or "plain", text)


def figure(value: Decimal | int | None, unit: str = "") -> SafeString | str:
    """A number as people read it; all its digits when the pointer rests on it. A dash: the source did not say."""
    if value is None:
        return "–"
    number = Decimal(value)
    exact = f"{number:,f}" if abs(number.as_tuple().exponent) < 60 else str(number)  # type: ignore[arg-type]
    if number and abs(number) < Decimal("1e-9"):
        shown = f"{number:.{DIGITS - 1}g}"
    elif abs(number) >= 1000:
        shown = f"{number:,.2f}" if abs(number) < 10**6 else f"{number:,.0f}"
    else:
        shown = f"{number:.{DIGITS}g}"
        shown = f"{Decimal(shown).normalize():f}"
    return format_html('<span class="cx-number" title="{}">{}{}</span>', exact, shown, unit)


def method(listing: Any) -> str:
    """By what evidence a listing is in its asset."""
    return "it names the asset" if listing.method == "anchor" else listing.method or "–"


def percent(value: Decimal | None) -> SafeString | str:
    """To two decimals; all of them when the pointer rests on it."""
    if value is None:
        return "–"
    return format_html('<span class="cx-number" title="{}">{} %</span>', f"{value:f}", f"{value:+z,.2f}")


def large(value: Decimal | None) -> SafeString | str:
    """A large sum of money in short; all its digits when the pointer rests on it."""
    if value is None or value < 1000:
        return dollars(value)
    return format_html('<span class="cx-number" title="{}">${}</span>', f"{value:,f}", figures.short(value))


def dollars(value: Decimal | None) -> SafeString | str:
    shown = figure(value)
    return shown if value is None else format_html("${}", shown)


def ago(at: datetime | None) -> SafeString | str:
    """As everywhere; a dash for none."""
    return figures.ago(at) if at else "–"


def pretty(value: Any) -> SafeString:
    """JSON, indented."""
    return code(json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True, default=str))


def indented(text: str) -> str:
    """JSON indented, each number with every digit that it came with; any other text as it is."""
    if text.lstrip()[:1] not in ("{", "["):
        return text
    try:
        return msgspec.json.format(text, indent=2)
    except msgspec.DecodeError:
        return text


def code(text: str) -> SafeString:
    return format_html('<pre class="cx-code">{}</pre>', text)


def rows(pairs: Iterable[tuple[object, object]]) -> SafeString:
    """A small table of names and values."""
    lines = format_html_join("", "<tr><th>{}</th><td>{}</td></tr>", pairs)
    return format_html('<table class="cx-facts">{}</table>', lines)


def grid(headers: Sequence[str], lines: Sequence[Sequence[object]], empty: str = "None.") -> SafeString | str:
    """A table inside a page."""
    if not lines:
        return empty
    head = format_html_join("", "<th>{}</th>", ((name,) for name in headers))
    body = format_html_join(
        "", "<tr>{}</tr>", ((format_html_join("", "<td>{}</td>", ((cell,) for cell in line)),) for line in lines)
    )
    return format_html('<table class="cx-grid"><thead><tr>{}</tr></thead><tbody>{}</tbody></table>', head, body)


def bullets(items: Sequence[object]) -> SafeString | str:
    if not items:
        return "–"
    lines = format_html_join("", "<li>{}</li>", ((item,) for item in items))
    return format_html('<ul class="cx-bullets">{}</ul>', lines)
