"""Actions that ask before they act, and are written into the admin's log for every row that they touched.

The same method serves a list (rows that were ticked) and a row's own page; nothing is changed by a GET.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import messages
from django.contrib.admin import helpers
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.decorators import action
from unfold.enums import ActionVariant

from assets.admin.reading import key_of, no_such_row

#: Rows named on the page that asks, and rows that get an entry of their own in the log.
NAMED, LOGGED = 20, 100

#: What a person hears whose "same" contradicts what was said before.
NOT_FOLLOWED = " Not all of them are one asset, for other decisions keep them apart: undo those, or this one."

#: Does it, and says what was done (None: nothing was, the method has said why by itself).
Act = Callable[[Any, HttpRequest, QuerySet], str | None]


def confirmed(
    title: str, question: str, *, icon: str = "play_arrow", danger: bool = False, reason: bool = False
) -> Callable[[Act], Any]:
    """An action for lists. `reason` adds a field for a person's words, in request.POST["reason"]."""

    def decorate(act: Act) -> Any:
        @action(
            description=title,
            permissions=["operate"],
            icon=icon,
            variant=ActionVariant.DANGER if danger else ActionVariant.DEFAULT,
        )
        @wraps(act)
        def ask_then_act(admin: Any, request: HttpRequest, chosen: QuerySet) -> HttpResponse | None:
            if not admin.has_operate_permission(request):
                raise PermissionDenied
            if request.POST.get("confirmed") != "yes":
                return page_that_asks(admin, request, chosen, title, question, danger=danger, reason=reason)
            touched = list(chosen[:LOGGED])
            done = act(admin, request, chosen)
            if done:
                messages.success(request, done)
                LogEntry.objects.log_actions(str(request.user.pk), touched, CHANGE, f"{title}: {done}")
            return None

        return ask_then_act

    return decorate


def on_its_page(list_action: Any) -> Any:
    """The same action, for the page of one row."""

    @action(
        description=list_action.short_description,
        permissions=["operate"],
        icon=list_action.icon,
        variant=list_action.variant,
        url_path=list_action.original_function_name.replace("_", "-"),
    )
    def act_here(admin: Any, request: HttpRequest, object_id: str) -> HttpResponse:
        key = key_of(admin, object_id)
        if key is None:
            return no_such_row(admin, request, object_id)
        chosen = admin.get_queryset(request).filter(pk=key)
        answer: HttpResponse | None = list_action(admin, request, chosen)
        if answer is not None:
            return answer
        here = f"admin:{admin.opts.app_label}_{admin.opts.model_name}"
        if chosen.all().exists():  # asked anew: the action may have taken the row away
            return HttpResponseRedirect(reverse(f"{here}_change", args=[object_id]))
        return HttpResponseRedirect(reverse(f"{here}_changelist"))

    return act_here


def page_that_asks(
    admin: Any,
    request: HttpRequest,
    chosen: QuerySet,
    title: str,
    question: str,
    *,
    danger: bool,
    reason: bool,
) -> TemplateResponse:
    """What is about to happen to which rows."""
    some = list(chosen[: NAMED + 1])
    context = {
        **admin.admin_site.each_context(request),
        "title": title,
        "question": question,
        "opts": admin.opts,
        "rows": some[:NAMED],
        "more": max(chosen.order_by()[:10_001].count() - NAMED, 0) if len(some) > NAMED else 0,
        "danger": danger,
        "reason": reason,
        "action": request.POST.get("action", ""),
        "select_across": request.POST.get("select_across", "0"),
        "keys": request.POST.getlist(helpers.ACTION_CHECKBOX_NAME),
        "checkbox": helpers.ACTION_CHECKBOX_NAME,
        "back": request.META.get("HTTP_REFERER") or ".",
        "media": admin.media,
    }
    return TemplateResponse(request, "admin/cryptoetl/confirm.html", context)
