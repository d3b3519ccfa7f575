PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help run test check man bench bench-plot crash soak mutants format clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

run: $(READY) ## The main job on real input: checksum and compress Python's standard library
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh tests/demo.sh

test: $(READY) ## Run the whole suite
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/pytest

check: $(READY) ## Lint, check types and hold the imports to one direction
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

man: $(READY) ## Write the man page: build/prokerja.1
	@mkdir -p build
	@$(BIN)/prokerja help --man > build/prokerja.1
	@echo "man -l build/prokerja.1"

bench: $(READY) ## Measure speed against the limit and the peers (QUICK=1: the short form)
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m tests.bench $(if $(QUICK),--quick) $(BENCH)

bench-plot: $(READY) ## Draw how costs grow with the file: tests/bench/results/growth.png
	@$(BIN)/python -m tests.bench.plot

crash: $(READY) ## Prove that faults lose nothing (CRASH=--short: the short form)
	@$(BIN)/python -m tests.crash $(CRASH)

soak: $(READY) ## A week in two minutes: everything that happens to a queue, at once (MINUTES=30)
	@$(BIN)/python -m tests.crash.soak --minutes $(or $(MINUTES),2) $(SOAK)

mutants: $(READY) ## Break promises one by one, and see that the suite notices (MUTANTS="clock retried": some)
	@$(BIN)/python -m tests.mutants $(MUTANTS)

format: $(READY) ## Format the code
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

clean: ## Remove what the targets have made
	rm -rf $(VENV) build tests/bench/.env tests/bench/results .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
