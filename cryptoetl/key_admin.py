"""API keys in the admin: made there and shown once, changed in name and limit, revoked; never read again."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from unfold.admin import ModelAdmin
from unfold.decorators import display

from assets.admin.confirming import confirmed, on_its_page
from assets.admin.reading import Explained, ago, label
from assets.wording import counted
from cryptoetl import keys
from cryptoetl.models import ApiKey

STATES = {"valid": "success", "expired": "warning", "revoked": "danger"}


@admin.register(ApiKey)
class ApiKeyAdmin(Explained, ModelAdmin):
    """Keys of the API. Each is shown once, when it is made, and kept as a hash."""

    list_display = ("name", "begins", "scope", "state", "a_minute", "made", "used")
    list_filter = ("scope",)
    search_fields = ("name", "shown")
    search_help_text = "a name, or how the key begins"
    fields: Any = ("name", "scope", "per_minute", "expires_at")
    actions = ("revoke",)
    actions_detail = ("revoke_here",)
    list_filter_submit = False

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        """What a key may do is settled when it is made."""
        return self.fields if obj is None else ("begins", "state", *self.fields, "made", "created_by", "used")

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        return () if obj is None else ("begins", "state", "scope", "made", "created_by", "used")

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        """A key is revoked, and stays in the list: who had it is worth knowing afterwards."""
        return False

    def has_operate_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm("cryptoetl.change_apikey"))

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        if change:
            return super().save_model(request, obj, form, change)
        text = keys.write(obj, by=str(request.user))
        # In this answer alone: the message is gone once it is shown.
        messages.warning(
            request,
            format_html('The key is <code class="cx-key">{}</code>: copy it now, it is never shown again.', text),
        )

    @display(description="key", ordering="shown")
    def begins(self, key: ApiKey) -> str:
        return f"{key.shown}…"

    @display(description="state")
    def state(self, key: ApiKey) -> Any:
        its = keys.state(key)
        return label(its, STATES[its])

    @display(description="a minute", ordering="per_minute")
    def a_minute(self, key: ApiKey) -> str:
        return f"{key.per_minute:,}" if key.per_minute else "–"

    @display(description="made", ordering="created_at")
    def made(self, key: ApiKey) -> Any:
        return ago(key.created_at)

    @display(description="last used", ordering="last_used_at")
    def used(self, key: ApiKey) -> Any:
        return ago(key.last_used_at)

    @confirmed(
        "Revoke", "End these keys for good? Whoever uses them is refused from now on.", icon="block", danger=True
    )
    def revoke(self, request: HttpRequest, chosen: QuerySet[ApiKey]) -> str | None:
        ended = keys.revoke(ApiKey.objects.filter(pk__in=chosen.values("pk")))
        if not ended:
            messages.warning(request, "None of these is valid any more.")
            return None
        return f"Revoked {counted(ended, 'key')}."

    revoke_here = on_its_page(revoke)
