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
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## make .venv and install the locked dependencies

# The installer runs again only when the lock or the project's metadata changed.
$(STAMP): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Needlecap needs Python 3.11 or newer; none was found." >&2; exit 1; }
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV) \
		|| { echo "Python's venv module does not work here; on Debian it is the package python3-venv." >&2; exit 1; }
	@echo "Installing the locked dependencies into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

run: setup ## serve everything on embedded servers; Ctrl-C stops it
	@exec $(BIN)/needlecap run --port $(PORT) --data-dir $(DATA_DIR)

test: lint ## check the style and the types, then run the whole suite
	$(BIN)/python -m pytest

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
