# Everything a developer runs. Needs Python 3.11 or later and make; each target does its own set-up.

PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
# Tests mostly wait: one process more than there are cores. ARGS="-n 0 …" runs them in one.
PROCESSES ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
PYTEST := $(BIN)/pytest --numprocesses=$(PROCESSES) --dist=loadfile --no-loadscope-reorder
INSTALLED := $(VENV)/installed
# The peers that only `make bench` needs are installed too.
MEASURED := $(VENV)/measured
# The file that `make up` writes while it runs.
RUNNING := $(or $(EMBEDDED_DIRECTORY),./var)/services.env
# mypy's Django plugin loads the settings; nothing is connected to.
STATIC_ENV := SECRET_KEY=static DATABASE_URL=postgresql://127.0.0.1/static REDIS_URL=redis://127.0.0.1
UV_COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-annotate --no-header

.DEFAULT_GOAL := help
.PHONY: help setup demo test faults up check bench lock manage

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

setup: $(INSTALLED) ## make .venv and install the pinned requirements, if they changed

$(INSTALLED): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Counterpoint needs Python 3.11 or later; '$(PYTHON)' is not: make PYTHON=python3.11 …" >&2; \
		exit 2; }
	@echo "Installing into $(VENV); this takes about a minute, once."
	@test -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV) || { \
		echo "'$(PYTHON) -m venv' failed; on Debian and Ubuntu it is the package python3-venv." >&2; \
		exit 2; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		-r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps \
		-e .
	@touch $@

demo: setup ## run the main job on real services and show what happened
	@$(BIN)/python -m counterpoint.demo $(ARGS)

test: setup ## run the tests: make test ARGS=tests/jobs for some of them
	@$(PYTEST) $(ARGS)

faults: setup ## kill, drop and restart while workflows run: make faults ARGS="--minutes 10 --seed 7"
	@$(BIN)/python -m tests.faults $(ARGS)

up: setup ## run everything on this machine until Ctrl-C; ARGS="web worker" for some processes
	@$(BIN)/python -m counterpoint.embedded up $(ARGS)

check: setup ## lint, types, import layers, event contracts, then the tests
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(STATIC_ENV) $(BIN)/mypy
	@$(STATIC_ENV) $(BIN)/lint-imports
	@$(STATIC_ENV) $(BIN)/python manage.py event_schemas --check
	@$(PYTEST) $(ARGS)

bench: $(MEASURED) ## measure this engine beside its peers: make bench ARGS="--only chain --rounds 1"
	@$(BIN)/python -m bench $(ARGS)

$(MEASURED): $(INSTALLED) requirements/bench.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		-r requirements/bench.txt
	@touch $@

manage: setup ## run a management command on what `make up` runs: make manage ARGS=showmigrations
	@test -f $(RUNNING) || { echo "Nothing runs: start it with 'make up'." >&2; exit 2; }
	@. $(RUNNING) && $(BIN)/python manage.py $(ARGS)

lock: ## pin the newest versions that requirements/*.in allow (needs uv)
	@$(UV_COMPILE) --upgrade requirements/base.in -o requirements/base.txt
	@$(UV_COMPILE) --constraint requirements/base.txt requirements/dev.in -o requirements/dev.txt
	@$(UV_COMPILE) --constraint requirements/dev.txt requirements/bench.in -o requirements/bench.txt
