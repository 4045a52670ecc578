"""Images and compose file: what runs has no rights, no build tools and no secret of its own."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings

from cryptoetl.tests.test_repository import variables_of_settings
from ingestion.metrics import exposition
from ingestion.models import Pulse
from ingestion.workers import QUEUES

ROOT = Path(settings.BASE_DIR)
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("migrate", "web", "worker", "beat", "flower")
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def last_stage() -> str:
    return DOCKERFILE.rsplit("\nFROM ", 1)[1]


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


def test_the_file_holds_what_the_system_consists_of() -> None:
    monitoring = {name for name, service in SERVICES.items() if service.get("profiles") == ["monitoring"]}
    assert set(SERVICES) - monitoring == {"db", "redis", "migrate", "web", "worker", "beat"}
    assert monitoring == {"prometheus", "grafana", "flower"}


def test_no_secret_has_a_default_and_a_missing_one_is_told_in_a_sentence() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    used = re.findall(r"\$\{((?:\w*(?:PASSWORD|SECRET)\w*))([^}]*)\}", text)
    assert {name for name, _ in used} == {
        *("SECRET_KEY", "POSTGRES_PASSWORD", "REDIS_PASSWORD", "GRAFANA_PASSWORD", "FLOWER_PASSWORD"),
    }
    for name, rest in used:
        assert rest == f":?{name} is not set; `make env` makes one."


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_shows_its_health_or_ends(name: str) -> None:
    service = SERVICES[name]
    from_the_image = name in ("web", "flower") and "HEALTHCHECK" in DOCKERFILE
    ends = service.get("restart") == "no"
    assert from_the_image or ends or service["healthcheck"]["test"]
    if ends:
        assert service["healthcheck"] == {"disable": True}


@pytest.mark.parametrize("name", OURS)
def test_one_that_still_starts_is_ended_at_once(name: str) -> None:
    """SIGTERM ends no first process of a container that has not asked for it."""
    assert SERVICES[name]["init"] is True


@pytest.mark.parametrize("name", ("web", "worker", "beat"))
def test_nothing_starts_before_the_database_is_migrated(name: str) -> None:
    assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert SERVICES["migrate"]["depends_on"]["db"] == {"condition": "service_healthy"}


@pytest.mark.parametrize("name", OURS)
def test_our_containers_can_do_little(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert "privileged" not in service


def test_every_variable_reaches_the_containers() -> None:
    """But for those that say where things are outside of them."""
    outside = {"PORT", "VAR", "ENV_FILE", "HEARTBEAT_FILE", "CRYPTOETL_DEMO"}
    for name in OURS:
        assert set(variables_of_settings()) - outside <= set(SERVICES[name]["environment"]), name


def test_a_worker_that_is_stopped_has_time_to_hand_its_tasks_back() -> None:
    worker = SERVICES["worker"]
    assert worker["environment"]["REMAP_SIGTERM"] == "SIGQUIT"
    assert seconds(worker["stop_grace_period"]) >= max(settings.CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT + 10, 31)


@pytest.mark.parametrize("file", ("docker-compose.yml", "Procfile"))
def test_every_queue_has_a_worker(file: str) -> None:
    queues = re.findall(r"--queues=(\S+)", (ROOT / file).read_text())
    assert [set(listed.split(",")) for listed in queues] == [set(QUEUES)]


def test_more_workers_than_one_are_possible() -> None:
    assert not {"container_name", "ports", "hostname"} & set(SERVICES["worker"])


@pytest.mark.parametrize("name", [name for name in SERVICES if name not in OURS])
def test_images_of_others_have_a_version(name: str) -> None:
    assert re.fullmatch(r"[\w/]+:v?\d[\w.]*", SERVICES[name]["image"])


def test_redis_keeps_every_message() -> None:
    command = " ".join(SERVICES["redis"]["command"])
    assert "--appendonly yes --appendfsync everysec" in command
    assert "--maxmemory-policy noeviction" in command


def test_postgresql_keeps_its_data_where_version_18_has_it() -> None:
    assert SERVICES["db"]["volumes"] == ["db:/var/lib/postgresql"]


def test_the_image_installs_locked_packages_and_runs_without_rights() -> None:
    installations = re.findall(r"\bpip .*\binstall\b.*", DOCKERFILE)
    assert installations
    assert all("--require-hashes" in line for line in installations)
    assert re.search(r"^USER \d+:\d+$", last_stage(), flags=re.MULTILINE)
    assert "HEALTHCHECK" in last_stage()
    assert not re.search(r"apt-get|gcc|build-essential|\bpip\b", last_stage())


def test_the_image_holds_only_what_is_named() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    assert {line for line in lines if line.startswith("!")} == {
        *("!assets", "!cryptoetl", "!ingestion", "!data", "!manage.py"),
        *("!requirements/base.txt", "!requirements/flower.txt"),
    }


def test_flower_runs_on_the_very_packages_of_the_workers() -> None:
    def packages(name: str) -> set[str]:
        return set(re.findall(r"^[a-z][^ ]*==\S+", (ROOT / "requirements" / name).read_text(), flags=re.MULTILINE))

    assert packages("base.txt") <= packages("flower.txt")


# ---------------------------------------------------------------------------------------------------------- monitoring


def metrics_asked_for() -> set[str]:
    """The names in the alert rules and in the dashboard."""
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())
    expressions = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    board = json.loads((ROOT / "deploy" / "grafana" / "dashboards" / "cryptoetl.json").read_text())
    expressions += [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    return {name for expression in expressions for name in re.findall(r"\bcryptoetl_\w+", expression)}


@pytest.mark.django_db
def test_alerts_and_dashboard_ask_for_metrics_that_exist() -> None:
    Pulse.objects.create(name="reconcile")
    given = set(re.findall(r"^# TYPE (\S+)", exposition().decode(), flags=re.MULTILINE))
    asked = metrics_asked_for()
    assert len(asked) > 15
    assert asked <= given


def test_every_alert_is_shown_firing_and_staying_calm() -> None:
    folder = ROOT / "deploy" / "prometheus"
    alerts = re.findall(r"alert: (\w+)", (folder / "alerts.yml").read_text())
    shown = (folder / "alerts_test.yml").read_text()
    assert {name: shown.count(name) for name in alerts if shown.count(name) < 2} == {}


def test_the_dashboard_asks_the_data_source_that_is_provisioned() -> None:
    folder = ROOT / "deploy" / "grafana"
    (source,) = yaml.safe_load((folder / "provisioning" / "datasources" / "prometheus.yml").read_text())["datasources"]
    board = json.loads((folder / "dashboards" / "cryptoetl.json").read_text())
    assert {panel["datasource"]["uid"] for panel in board["panels"]} == {source["uid"]}
    assert source["url"] == "http://prometheus:9090"


def test_what_is_mounted_is_there() -> None:
    mounts = [mount.split(":")[0] for service in SERVICES.values() for mount in service.get("volumes", [])]
    folders = [mount for mount in mounts if mount.startswith("./")]
    assert folders
    assert [folder for folder in folders if not (ROOT / folder).exists()] == []
