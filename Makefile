# Everything a person types. Works on a machine with Python 3.11 or newer and make, and nothing else.
# Programs are run as `python -m NAME`: a script's first line can't hold a path with a space.

PY := .venv/bin/python
LOCAL := $(PY) -m cryptoetl.local
# Compiled modules are kept, whatever the shell says: each of many processes would compile everything once more.
unexport PYTHONDONTWRITEBYTECODE
# The settings of a hardened installation, for the checks that only read the code. No server stands at these addresses.
CHECK_ENV := env ENV_FILE=/dev/null DEBUG=false HTTPS=true ALLOWED_HOSTS=example.org \
	SECRET_KEY=only-for-checks-Zq7vT2mXw9RfLk4Ns8BdHy3Gc6Pj1Ue5Ao0Ii \
	DATABASE_URL=postgres://checks@127.0.0.1:1/none REDIS_URL=redis://127.0.0.1:1/0

# Each job of the tests has a PostgreSQL and a Redis of its own. A file stays in one job: its fixtures are made once.
# One more than there are processors: some tests do little but wait for what they killed to come back.
JOBS_ARGS = --numprocesses $(or $(JOBS),$(shell $(PY) -c "import os; print(min(os.cpu_count() + 1, 4))")) \
	--dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help up down demo logs verify test test-coverage torture check bench soak lock env
.PHONY: run-requirements dev-requirements bench-requirements

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

up: run-requirements ## start everything and load the first data (PORT=8000, VAR=.var)
	@$(LOCAL) up

down: ## stop everything that `make up` started; the data stays
	@if [ -d "$${VAR:-.var}" ] || [ -f .env ] || [ -d .venv ]; then $(MAKE) -s run-requirements && $(LOCAL) down; else echo "Nothing was started here."; fi

demo: run-requirements ## the same system with data of its own, no network needed; `make demo DOWN=1` removes it
	@$(LOCAL) demo $(if $(filter-out 0,$(DOWN)),--down)

logs: run-requirements ## follow the logs
	@$(LOCAL) logs

verify: run-requirements ## look at the running copy from outside, a line for each thing
	@$(LOCAL) verify

test: dev-requirements ## the whole suite; PAYLOADS=dir adds recorded payloads, TESTS=path picks some, JOBS=n side by side
	@$(PY) -m pytest $(JOBS_ARGS) $(TESTS)

test-coverage: dev-requirements ## the suite, with a report of what it covers
	@$(PY) -m pytest --cov --cov-report=term-missing $(JOBS_ARGS) $(TESTS)

torture: dev-requirements ## kill workers, beat, Redis and PostgreSQL by plan and compare the tables; SEEDS=200, SEED=n for one
	@$(PY) -m ingestion.tests.torture $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),25))

check: dev-requirements ## format, lint, import rules, types, missing migrations, deployment
	@$(PY) -m ruff format --check --quiet || { echo "Format it: $(PY) -m ruff format"; exit 1; }
	@$(PY) -m ruff check --quiet
	@said=$$($(PY) -c "from importlinter.cli import lint_imports_command as main; main()" --no-logo 2>&1) \
		|| { echo "$$said"; exit 1; }
	@$(CHECK_ENV) $(PY) -m mypy
	@$(CHECK_ENV) $(PY) -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run
	@$(CHECK_ENV) $(PY) manage.py check --deploy --fail-level WARNING
	@echo "All checks passed."

bench: bench-requirements ## measure, print a table, write bench.json and its chart; SIZE=full takes an hour
	@$(PY) -m bench

soak: run-requirements ## run the demo at ten times its cadence for MINUTES=10 and see whether anything grows
	@$(LOCAL) soak

env: run-requirements ## write generated passwords for docker compose into .env
	@$(LOCAL) env

lock: dev-requirements ## write requirements/*.txt anew from requirements/*.in
	@for name in pip base flower local dev bench; do \
		$(PY) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade \
			--custom-compile-command "make lock" --output-file requirements/$$name.txt requirements/$$name.in || exit 1; \
	done

# The lock is copied into .venv once it is installed; the same lock again is nothing to do.
run-requirements:
	@{ cmp -s requirements/local.txt .venv/local.txt 2>/dev/null && $(PY) -c "" 2>/dev/null; } || sh requirements/install local

dev-requirements:
	@{ cmp -s requirements/dev.txt .venv/dev.txt 2>/dev/null && $(PY) -c "" 2>/dev/null; } || sh requirements/install dev

bench-requirements:
	@{ cmp -s requirements/bench.txt .venv/bench.txt 2>/dev/null && $(PY) -c "" 2>/dev/null; } || sh requirements/install bench
