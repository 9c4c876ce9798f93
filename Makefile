# Needs Python >= 3.11 and make. Every target does its own set-up; `make help` lists them.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up
PORT ?= 8080
DATA_DIR ?= .needlecap

# The first Python on the path that is new enough. `make PYTHON=/path/to/python3` names another.
PYTHON ?= $(shell for candidate in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo "$$candidate"; break; }; done)

.DEFAULT_GOAL := help
.PHONY: help setup run test lint format lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## make .venv and install the locked dependencies

# The installer runs again only when the lock or the project's metadata changed.
$(STAMP): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Needlecap needs Python 3.11 or newer; none was found." >&2; exit 1; }
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV) \
		|| { echo "Python's venv module does not work here; on Debian it is the package python3-venv." >&2; exit 1; }
	@echo "Installing the locked dependencies into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes \
		-r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@# On all cores. Some libraries bring templates that are no valid Python: that they fail is no fault.
	@$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib services shared || true
	@touch $(STAMP)

run: setup ## serve everything on embedded servers; Ctrl-C stops it
	@exec $(BIN)/needlecap run --port $(PORT) --data-dir $(DATA_DIR)

# The suite's hundreds of databases are made in memory where the machine has 4 GB of it to give.
SCRATCH = $(shell df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 && $$4 > 4000000 { print "/dev/shm" }')

# Compiled files are kept, whatever the environment says: else each process that the tests start would compile
# everything anew. Files of tests come in the order of their folders: whole systems first, as they take longest.
test: lint ## check the style and the types, then run the whole suite
	@scratch=$$(mktemp -d "$(or $(SCRATCH),$${TMPDIR:-/tmp})/needlecap-test.XXXXXX") \
		&& trap 'rm -rf "$$scratch"' EXIT && trap 'exit 130' INT TERM \
		&& PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --basetemp "$$scratch/suite" \
			--numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

lint: setup ## style, types and import directions
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## let ruff fix and format what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# --universal resolves for every platform and Python that requires-python allows, not just this one.
lock: setup ## pin every dependency again, with hashes
	$(BIN)/uv pip compile --no-config --universal --upgrade --extra dev --generate-hashes \
		--no-annotate --no-emit-index-url --no-emit-find-links --quiet \
		--custom-compile-command "make lock" --output-file requirements.lock pyproject.toml

clean: ## remove what set-up and the tools made, but no data
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# What each image installs: the lock's versions, no others. Run it after `make lock`.
PIN := $(BIN)/uv pip compile --no-config --universal --generate-hashes --constraints requirements.lock \
	--no-annotate --no-emit-index-url --no-emit-find-links --quiet --custom-compile-command "make lock-images"
.PHONY: lock-images samples prove-compose

lock-images: setup ## pin what each container image installs, as requirements.lock has it
	$(PIN) --extra api --output-file deploy/images/requirements-api.txt pyproject.toml
	$(PIN) --extra worker --output-file deploy/images/requirements-worker.txt pyproject.toml
	$(PIN) --extra cli --extra migrate --output-file deploy/images/requirements-operator.txt pyproject.toml
	grep -o 'hatchling==[0-9.]*' pyproject.toml | head -1 \
		| $(PIN) --output-file deploy/images/requirements-build.txt -

samples: setup ## write the sample data again (deploy/samples)
	$(BIN)/python deploy/samples/generate.py

prove-compose: setup ## build the images, run docker-compose.yml for real and break it; needs Docker
	$(BIN)/python -m deploy.prove_compose $(PROOF_OPTIONS)

.PHONY: bench bench-quick

bench: setup ## measure against floors and peers, in under ten minutes, and write deploy/benchmarks/RESULTS.md
	$(BIN)/python -m deploy.benchmarks

bench-quick: setup ## the same in about a minute, a run of each; nothing is written
	$(BIN)/python -m deploy.benchmarks --quick

.PHONY: chaos crashes

crashes: setup ## let a process die before and after each named commit, publish and projection; two minutes
	NEEDLECAP_WHOLE_CRASH_MATRIX=1 $(BIN)/python -m pytest tests/integration/crashes

chaos: setup ## kill every part at random under load for CHAOS_MINUTES (10), then audit exactly; CHAOS_SEED repeats
	$(BIN)/python -m tests.chaos

.PHONY: fuzz-api audit

fuzz-api: setup ## thousands of made-up requests with keys of each role, against /openapi.json; ten minutes or so
	SCHEMATHESIS_EXAMPLES=200 $(BIN)/python -m pytest --timeout 3600 --numprocesses auto --maxprocesses 4 \
		tests/integration/coverage_api/test_schemathesis.py

audit: setup ## check the locked dependencies; for known vulnerabilities it asks osv.dev, and says so when it cannot
	$(BIN)/python -m pip check --disable-pip-version-check
	$(BIN)/python -m deploy.audit_dependencies $(AUDIT_OPTIONS)

.PHONY: properties full-size

full-size: setup ## 1,000 members and 20,000 events in random order: the stored state, a rebuild and the model agree
	NEEDLECAP_PROPERTY_SEARCH=2 $(BIN)/python -m pytest --capture no --quiet \
		tests/integration/accounting/test_random_traffic.py

properties: setup ## search sixty times as long as `make test` for a history that is counted wrong; twenty minutes or so
	NEEDLECAP_PROPERTY_SEARCH=60 $(BIN)/python -m pytest --timeout 7200 \
		tests/unit/domain tests/unit/accounting tests/integration/accounting
