"""Who may call the API with more rights, or more often, than a stranger: its keys."""

from __future__ import annotations

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models.functions import Now


class ApiKey(models.Model):
    """A caller's key. Only its hash is kept: it is shown once, when it is made (`cryptoetl.keys.make`).

    valid ──> expired (`expires_at` has passed)
      └─────> revoked (by a person, for good)
    """

    class Scope(models.TextChoices):
        READ = "read", "read"
        OPERATE = "operate", "read, start and cancel runs"

    name = models.CharField(max_length=200, help_text="Whose it is, and what for.")
    shown = models.TextField(editable=False, help_text="How it begins, to tell it from others.")
    digest = models.BinaryField(max_length=32, editable=False, help_text="SHA-256 of the key, which is random.")
    scope = models.TextField(choices=Scope, default=Scope.READ, db_default=Scope.READ)
    per_minute = models.PositiveIntegerField(
        "requests a minute",
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="At most; empty: API_KEY_LIMIT.",
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    created_by = models.TextField(blank=True, default="", editable=False)
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Not valid from then on; empty: never.")
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="To the minute.")

    class Meta:
        ordering = ("-id",)
        verbose_name = "API key"
        constraints = (
            models.UniqueConstraint(fields=["digest"], name="api_key_once"),
            models.CheckConstraint(condition=models.Q(scope__in=["read", "operate"]), name="api_key_scope"),
            models.CheckConstraint(
                condition=models.Q(per_minute=None) | models.Q(per_minute__gt=0), name="api_key_limit_positive"
            ),
        )

    def __str__(self) -> str:
        return f"{self.name} ({self.shown}…)"

    @staticmethod
    def valid() -> models.Q:
        return models.Q(revoked_at=None) & (models.Q(expires_at=None) | models.Q(expires_at__gt=Now()))

    def is_valid(self) -> bool:
        """Now, as the database has it."""
        return ApiKey.objects.filter(self.valid(), pk=self.pk).exists()
