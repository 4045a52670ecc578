"""The repository keeps its word: what the documents name exists, and what exists is named."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from django.apps import apps
from django.conf import settings
from django.core.management import get_commands

from ingestion.source import Plan, Source
from ingestion.sources import SOURCES

ROOT = Path(settings.BASE_DIR)
README = ROOT / "README.md"
DOCUMENTS = [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
#: Ours: Django's and Celery's own commands need no row in the README.
OUR_COMMANDS = {path.stem for path in ROOT.glob("*/management/commands/[a-z]*.py")}
VARIABLE = r"[A-Z][A-Z0-9_]+"
#: Read by docker-compose.yml alone.
OF_COMPOSE = {"POSTGRES_PASSWORD", "REDIS_PASSWORD", "GRAFANA_PASSWORD", "FLOWER_PASSWORD", "BIND", "CSV_FOLDER"}


def tracked_files() -> list[Path]:
    """Every file of the repository, without what a running copy or a tool leaves in the folder."""
    if shutil.which("git"):
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
        if listed.returncode == 0 and listed.stdout:
            return [path for name in listed.stdout.decode().split("\0") if (path := ROOT / name).is_file()]
    visible = [
        path for path in ROOT.iterdir() if not path.name.startswith(".") and path.name not in ("static", "htmlcov")
    ]
    deep = [file for path in visible for file in ([path] if path.is_file() else path.rglob("*"))]
    return [path for path in deep if path.is_file() and "__pycache__" not in path.parts]


# ------------------------------------------------------------------------------------------------------- the variables


def variables_of_settings() -> dict[str, str | None]:
    """Every variable that the settings read, with its default as text; None where the default is not a plain value."""
    found: dict[str, str | None] = {}
    for node in ast.walk(ast.parse((ROOT / "cryptoetl" / "settings.py").read_text())):
        if not isinstance(node, ast.Call) or not node.args or not isinstance(node.args[0], ast.Constant):
            continue
        reader, name = ast.unparse(node.func), node.args[0].value
        if reader in ("whole", "choice", "switch", "address", "words", "secret", "env.str", "os.environ.get"):
            given = node.args[1] if len(node.args) > 1 else None
        elif reader == "setting":
            given = node.args[2]
        elif reader == "base_url":
            given = ast.Constant("")
        else:
            continue
        plain = isinstance(given, ast.Constant) and reader not in ("env.str", "os.environ.get")
        found[name] = shown(given.value) if plain else None  # type: ignore[union-attr]
    return found


def shown(value: object) -> str:
    """A default as a person writes it in `.env`."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def variables_of_example() -> dict[str, str]:
    text = (ROOT / ".env.example").read_text()
    return dict(re.findall(rf"^#?({VARIABLE})=(.*)$", text, flags=re.MULTILINE))


def variables_of_documentation() -> set[str]:
    text = (ROOT / "docs" / "CONFIGURATION.md").read_text()
    return set(re.findall(rf"^\| `({VARIABLE})` \| .*\| .*\| .*\|$", text, flags=re.MULTILINE))


def test_the_example_holds_every_variable_that_is_read_and_no_other() -> None:
    # ENV_FILE names the file itself.
    assert set(variables_of_example()) == set(variables_of_settings()) | OF_COMPOSE | {"ENV_FILE"}


def test_the_documentation_explains_every_variable_and_no_other() -> None:
    assert variables_of_documentation() == set(variables_of_example())


def test_every_variable_of_the_example_has_a_comment_of_its_own() -> None:
    """A variable or a block of variables follows a line of comment."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    for before, line in pairwise(lines):
        if re.match(rf"#?{VARIABLE}=", line):
            assert before.startswith("#"), f"no comment before {line}"


@pytest.mark.parametrize(
    ("name", "default"), sorted((name, default) for name, default in variables_of_settings().items() if default)
)
def test_defaults_are_said_as_they_are(name: str, default: str) -> None:
    assert variables_of_example()[name] == default


def test_the_environment_is_read_in_one_place() -> None:
    """Beside the settings only what starts processes, before there are settings, reads it."""
    start = {Path("cryptoetl/settings.py"), Path("manage.py"), Path("cryptoetl/wsgi.py"), Path("cryptoetl/celery.py")}
    start |= {Path("requirements/install.py")}
    readers = {
        path.relative_to(ROOT)
        for path in tracked_files()
        if path.suffix == ".py" and "tests" not in path.parts and re.search(r"os\.(environ|getenv)", path.read_text())
    }
    starters = ("cryptoetl/local/", "cryptoetl/demo/", "bench/")
    elsewhere = {path for path in readers - start if not path.as_posix().startswith(starters)}
    assert elsewhere == set()


# ---------------------------------------------------------------------------------------------------------- the README


def by_plan(source: Source, say: Callable[[Plan], str]) -> str:
    """What the first plan has, and what the others have otherwise."""
    said = {name: say(plan) for name, plan in source.plans.items()}
    first, *_ = said.values()
    return "; ".join([first, *(f"`{name}`: {text}" for name, text in said.items() if text != first)])


def cadence(plan: Plan) -> str:
    return f"every {plan.every.total_seconds() / 60:g} min"


def limits(plan: Plan) -> str:
    month = "no monthly limit" if plan.calls_per_month is None else f"{plan.calls_per_month:,} a month"
    return f"{plan.calls_per_minute:,} calls a minute, {month}"


def table_under(heading: str) -> Iterator[list[str]]:
    """The rows of the first table below a heading of the README."""
    text = README.read_text().split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    for line in re.findall(r"^\|(.*)\|$", text, flags=re.MULTILINE)[2:]:
        yield [cell.strip() for cell in line.split("|")]


def test_the_table_of_sources_equals_the_sources() -> None:
    told = [(slug, title, often, bounds) for slug, title, often, _gives, bounds in table_under("Sources")]
    assert told == [
        (
            f"`{source.slug}`",
            f"[{source.title}]({source.home})" if source.home else source.title,
            by_plan(source, cadence) if source.network else "`ETL_INTERVAL_SECONDS`: every 5 min",
            by_plan(source, limits) if source.network else "none",
        )
        for source in SOURCES
    ]


def targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):.*## ", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))


def named(command: str) -> dict[str, set[str]]:
    """Word after `command` in code -> the documents that say so."""
    found: dict[str, set[str]] = {}
    for document in DOCUMENTS:
        text = document.read_text()
        code = re.findall(r"^```.*?^```", text, flags=re.MULTILINE | re.DOTALL) + re.findall(r"`[^`\n]+`", text)
        for word in re.findall(rf"\b{command} ([a-z][a-z_-]*)", "\n".join(code)):
            found.setdefault(word, set()).add(document.name)
    return found


def test_every_make_target_named_exists_and_every_target_is_named() -> None:
    said = named("make")
    assert {word: where for word, where in said.items() if word not in targets()} == {}
    assert targets() - {"help"} <= {word for word, where in said.items() if "README.md" in where}


def test_every_command_named_exists_and_every_command_of_ours_is_named() -> None:
    said = named(r"manage\.py")
    assert {word: where for word, where in said.items() if word not in get_commands()} == {}
    assert {word for word, where in said.items() if "README.md" in where} >= OUR_COMMANDS


def test_links_between_documents_lead_somewhere() -> None:
    dead = []
    for document in DOCUMENTS:
        text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            parts = urlsplit(link)
            if parts.scheme:
                continue
            target = (document.parent / unquote(parts.path)).resolve() if parts.path else document
            if not target.exists() or (parts.fragment and parts.fragment not in anchors(target)):
                dead.append(f"{document.name}: {link}")
    assert dead == []


def test_the_readme_leads_to_every_document() -> None:
    linked = set(re.findall(r"\]\((docs/[^)#]+\.md)\)", README.read_text()))
    assert {f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")} == linked


def test_the_architecture_says_of_every_table_what_is_in_it() -> None:
    ours = [
        model._meta.db_table
        for app in ("assets", "ingestion", "cryptoetl")
        for model in apps.get_app_config(app).get_models()
    ]
    rows = re.findall(r"^\| (`.*?) \|", (ROOT / "docs" / "ARCHITECTURE.md").read_text(), flags=re.MULTILINE)
    assert sorted(name for row in rows for name in re.findall(r"`(\w+_\w+)`", row)) == sorted(ours)


def anchors(document: Path) -> set[str]:
    """The headings of a document as links name them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_the_change_log_knows_this_version() -> None:
    assert f"[{settings.VERSION}]" in (ROOT / "CHANGELOG.md").read_text()


# -------------------------------------------------------------------------------------------- the machine it is made on

#: Split so that this file does not find itself.
TRACES = {
    "a path of somebody's machine": re.compile(
        r"(?<![\w.~-])/(?:" + "|".join(("work", "home/[a-z]", "Users/[A-Z]", "root/")) + ")"
    ),
    "a package index": re.compile("index" + "-url|trusted" + "-host|find" + "-links|PIP_" + "INDEX|/simp" + "le[/\"']"),
}


@pytest.mark.parametrize("trace", TRACES)
def test_no_file_names_the_machine_that_it_was_made_on(trace: str) -> None:
    found = []
    for path in tracked_files():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in TRACES[trace].finditer(text)]
    assert found == []
