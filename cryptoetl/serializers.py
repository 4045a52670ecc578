"""The shape of GET /."""

from __future__ import annotations

from rest_framework import serializers

from assets.serializers import DemoSerializer


class HomeSerializer(DemoSerializer):
    request_id = serializers.CharField()
    name = serializers.CharField()
    version = serializers.CharField()
    status = serializers.ChoiceField(["healthy", "degraded", "unhealthy"])
    links = serializers.DictField(child=serializers.URLField())
