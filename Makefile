# Everything runs from .venv, which is made on first use and again when what it is made from changes.
# PYTHON: the interpreter to make it with (3.11 or newer).
# ARGS: further words for run, test, test-long, sim, mutants and bench.

PYTHON ?= python3
ARGS ?=
SEEDS ?= 500
BIN := .venv/bin
READY := .venv/.ready

.PHONY: help run test test-long check sim mutants lint format bench clean

help: ## show this
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS='	' read -r name text; do \
		printf '  make %-10s %s\n' "$$name" "$$text"; done

run: $(READY) ## start a node in the foreground (ARGS="--listen 127.0.0.1:7421")
	@$(BIN)/chatd $(ARGS)

test: lint ## lint, types, import rules, and every test that is not long, with branch coverage
	$(BIN)/python -m pytest -n 3 --dist worksteal --cov --cov-report=term $(ARGS)

test-long: $(READY) ## the tests that take longer or need a Docker engine
	$(BIN)/python -m pytest -m long $(ARGS)

check: test test-long ## everything that CI runs

sim: $(READY) ## simulate whole nodes with faults (SEEDS=20000 for more than make test does)
	$(BIN)/python -m tests.sim --seeds $(SEEDS) $(ARGS)

mutants: $(READY) ## break the code on purpose, one line at a time: a test has to notice each
	@$(BIN)/python -m tests.mutants $(ARGS)

lint: $(READY) ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy --strict
	$(BIN)/lint-imports

format: $(READY) ## let ruff mend what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(READY) ## measure, beside what a user would pick instead
	$(BIN)/python -m bench $(ARGS)

clean: ## remove .venv and everything that was built
	rm -rf .venv build dist .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit("chatd needs Python 3.11 or newer: make PYTHON=...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
