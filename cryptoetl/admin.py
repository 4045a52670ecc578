"""The admin's pages about other people's models (accounts, schedules), in the look of the rest."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest
from django_celery_beat import admin as beat
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from assets.admin.reading import Explained, ReadOnlyAdmin, ago
from assets.wording import span
from cryptoetl.key_admin import ApiKeyAdmin as ApiKeyAdmin

admin.site.empty_value_display = "–"
for model in (User, Group, PeriodicTask, ClockedSchedule, CrontabSchedule, IntervalSchedule, SolarSchedule):
    admin.site.unregister(model)


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):
    pass


class TaskSelect(UnfoldAdminSelectWidget, beat.TaskSelectWidget):
    template_name = "unfold/widgets/select.html"


class PeriodicTaskForm(beat.PeriodicTaskForm):
    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.fields["task"].widget = UnfoldAdminTextInputWidget()
        self.fields["regtask"].widget = TaskSelect()


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(Explained, beat.PeriodicTaskAdmin, ModelAdmin):
    """What is done by itself, and how often. A change made here stays."""

    form = PeriodicTaskForm
    date_hierarchy = None
    list_display = ("name", "enabled", "how_often", "last_sent", "total_run_count")
    list_filter = ("enabled",)

    @display(description="how often")
    def how_often(self, task: PeriodicTask) -> str:
        return f"every {span(task.schedule.run_every)}" if task.interval else str(task.scheduler)

    @display(description="last sent", ordering="last_run_at")
    def last_sent(self, task: PeriodicTask) -> object:
        return ago(task.last_run_at)


@admin.register(IntervalSchedule)
class IntervalScheduleAdmin(beat.IntervalScheduleAdmin, ModelAdmin):
    pass


@admin.register(CrontabSchedule)
class CrontabScheduleAdmin(beat.CrontabScheduleAdmin, ModelAdmin):
    pass


@admin.register(LogEntry)
class LogEntryAdmin(ReadOnlyAdmin):
    """Who did what here, and when."""

    list_display = ("when", "user", "content_type", "object_repr", "change")
    list_filter = ("user",)
    list_select_related = ("user", "content_type")
    search_fields = ("object_repr", "change_message")
    search_help_text = "a row's name, or a word of what was done"
    fields = readonly_fields = ("when", "user", "content_type", "object_repr", "change")

    @display(description="when", ordering="action_time")
    def when(self, entry: LogEntry) -> object:
        return ago(entry.action_time)

    @display(description="what was done")
    def change(self, entry: LogEntry) -> str:
        return entry.get_change_message() or entry.get_action_flag_display()

    def has_view_permission(self, request: HttpRequest, obj: LogEntry | None = None) -> bool:
        return bool(request.user.is_superuser)
