# Every target sets up what it needs. `make` alone lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
VENV_BENCH := .venv-bench
VENV_CLIENT := .venv-client
VENV_DOCS := .venv-docs
CONCEPT ?= doctor
RECIPE ?= laion400m
PROBE_ARGS ?=
BENCH_ARGS ?=
# By file in two processes: each has threads of its own, and memory for a model.
PYTEST_ARGS ?= -n 2 --dist loadfile

# img2dataset imports albumentations, which would look for updates on the network.
export NO_ALBUMENTATIONS_UPDATE := 1
# The checkpoint is small: more threads than cores slow it down.
export TOKENIZERS_PARALLELISM := false

.PHONY: help setup probe test check bench goldens notebooks docs tables testbed demo-data clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

setup: $(VENV)/.ready ## create .venv with the pinned dependencies

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else "laion-probe needs Python 3.11 to 3.13; set PYTHON=python3.12, say")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

probe: setup ## report on a concept in the demo data: make probe CONCEPT=doctor [RECIPE=laion5b-en]
	$(BIN)/laion-probe probe "$(CONCEPT)" --recipe "$(RECIPE)" $(PROBE_ARGS)

test: setup $(VENV_CLIENT)/.ready ## run all tests
	$(BIN)/python -m pytest $(PYTEST_ARGS)

# clip-retrieval's client, to query our server with; it asks for packages that its client never loads.
$(VENV_CLIENT)/.ready: requirements-client.lock | $(VENV)/.ready
	$(PYTHON) -m venv $(VENV_CLIENT)
	$(BIN)/uv pip sync --quiet --python $(VENV_CLIENT)/bin/python requirements-client.lock
	@touch $@

check: setup ## formatting, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup $(VENV_BENCH)/.ready ## measure beside named peers; write docs/benchmarks.md [BENCH_ARGS=…]
	$(BIN)/python -m tools.bench $(BENCH_ARGS)

# The peers live here alone: none of our code needs them.
$(VENV_BENCH)/.ready: requirements-bench.lock | $(VENV)/.ready
	$(PYTHON) -m venv $(VENV_BENCH)
	$(BIN)/uv pip sync --quiet --compile-bytecode --python $(VENV_BENCH)/bin/python requirements-bench.lock
	@touch $@

goldens: setup ## rewrite tests/goldens from what the code computes now; read the diff
	$(BIN)/python -m tools.goldens

notebooks: setup ## execute the notebooks in place
	$(BIN)/python -m tools.notebooks

docs: setup $(VENV_DOCS)/.ready ## build the site of the documentation, with links checked: site/index.html
	$(BIN)/python -m tools.docs $(abspath $(VENV_DOCS)/bin/zensical)

$(VENV_DOCS)/.ready: requirements-docs.lock | $(VENV)/.ready
	$(PYTHON) -m venv $(VENV_DOCS)
	$(BIN)/uv pip sync --quiet --python $(VENV_DOCS)/bin/python requirements-docs.lock
	@touch $@

tables: setup ## measure again what docs/{coverage,estimators,skin-tone,published,neighbourhoods,explore,rebalance}.md say (about 15 minutes)
	$(BIN)/python -m tools.coverage
	$(BIN)/python -m tools.interval_coverage
	$(BIN)/python -m tools.skin_tone
	$(BIN)/python -m tools.published
	$(BIN)/python -m tools.null_neighbourhoods
	$(BIN)/python -m tools.spread_coverage
	$(BIN)/python -m tools.rebalance_coverage

testbed: setup ## train and ask the 24 small models of docs/testbed.md (about 45 minutes; goes on where it was)
	$(BIN)/python -m tools.testbed_table

demo-data: setup ## rebuild data/demo from public packages (trains the checkpoint: about an hour)
	$(BIN)/python -m tools.demo_data

clean: ## remove runs and caches, keep .venv
	rm -rf runs site .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
