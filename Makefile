# Everything runs from .venv. It is made on first use, with what chatd needs at run time; the first target that needs the
# development tools adds them. It is renewed when pyproject.toml or requirements-dev.txt changes.
# PYTHON: the interpreter to make it with (3.11 or newer).
# ARGS: further words for run, test, coverage, test-long, test-lowest, sim, mutants and bench.

PYTHON ?= python3
ARGS ?=
SEEDS ?= 500
BIN := .venv/bin
RUNTIME := .venv/.ready-run
READY := .venv/.ready
LOWEST := .venv-lowest
INSTALL := -m pip install --quiet --disable-pip-version-check
PARALLEL := -n 3 --dist worksteal

# The tests start hundreds of interpreters, and each would compile all modules again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run test check coverage test-long test-lowest sim mutants lint format bench dist clean
.NOTPARALLEL:

help: ## show this
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS='	' read -r name text; do \
		printf '  make %-12s %s\n' "$$name" "$$text"; done

run: $(RUNTIME) ## start a node in the foreground (ARGS="--listen 127.0.0.1:7421")
	@$(BIN)/chatd $(ARGS)

test: lint ## lint, types, import rules, and every test that is not long
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

check: test coverage test-long test-lowest ## everything that CI runs

coverage: $(READY) ## the tests that are not long, with branch coverage
	$(BIN)/python -m pytest $(PARALLEL) -m "not long and not no_cover" --cov --cov-report=term $(ARGS)

test-long: $(READY) ## the long tests: 400 more seeds, mutants, kills, containers
	$(BIN)/python -m pytest -m long $(ARGS)

test-lowest: $(LOWEST)/.ready ## the tests that are not long, with the oldest dependencies that pyproject.toml allows
	$(LOWEST)/bin/python -m pytest $(PARALLEL) -m "not long and not pinned" $(ARGS)

sim: $(READY) ## simulate whole nodes with faults (SEEDS=20000 for more than the tests do)
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

bench: $(RUNTIME) ## measure, beside what a user would pick instead
	$(BIN)/python -m bench $(ARGS)

dist: $(READY) ## build sdist and wheel in dist/, and check both with twine
	rm -rf dist
	$(BIN)/python -m hatchling build
	$(BIN)/python -m twine check --strict dist/*

clean: ## remove .venv, .venv-lowest and everything that was built
	rm -rf .venv $(LOWEST) build dist .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# hatchling builds the package, without an environment of its own for it.
$(RUNTIME): pyproject.toml requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit("chatd needs Python 3.11 or newer: make PYTHON=...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
	$(BIN)/python $(INSTALL) --constraint requirements-dev.txt hatchling
	$(BIN)/python $(INSTALL) --constraint requirements-dev.txt --no-build-isolation --editable .
	@touch $@

$(READY): $(RUNTIME)
	$(BIN)/python $(INSTALL) --requirement requirements-dev.txt
	@touch $@

$(LOWEST)/.ready: pyproject.toml requirements-dev.txt packaging/pin-lowest
	$(PYTHON) -m venv $(LOWEST)
	$(PYTHON) packaging/pin-lowest > $(LOWEST)/constraints.txt
	$(LOWEST)/bin/python $(INSTALL) --constraint $(LOWEST)/constraints.txt hatchling
	$(LOWEST)/bin/python $(INSTALL) --constraint $(LOWEST)/constraints.txt --no-build-isolation --editable .[test]
	@touch $@
