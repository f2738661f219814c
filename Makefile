# Two commands on a bare machine: `make quickstart` and `make test`. Both make .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder
export RAY_USAGE_STATS_ENABLED = 0
export MLFLOW_DISABLE_TELEMETRY = true
export PYTHONWARNINGS =

.PHONY: help quickstart test test-long check lint types imports benchmark clean

help:
	@echo "make quickstart   render faces, train T, Q and LEGAN, evaluate, register, translate (6 to 25 minutes on 2 cores)"
	@echo "make test         the test suite, without what takes long"
	@echo "make test-long    the tests that take long: nodes killed, browsers, clusters of their own"
	@echo "make check        ruff, mypy --strict, import-linter"
	@echo "make benchmark    the figures of docs/figures.md, one script after the other"

quickstart: $(VENV)/.installed
	@PATH="$(abspath $(BIN)):$$PATH" ./quickstart.sh

test: $(VENV)/.installed
	@echo "== running the tests in two processes (about 4 minutes on 2 cores)"
	$(PYTEST) -m "not long" $(PYTEST_ARGS)

test-long: $(VENV)/.installed
	@echo "== running the long tests in two processes (about 9 minutes on 2 cores)"
	$(PYTEST) -m long $(PYTEST_ARGS)

check: lint types imports

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed
	$(BIN)/mypy

imports: $(VENV)/.installed
	$(BIN)/lint-imports

benchmark: $(VENV)/.installed
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

$(VENV)/.installed: pyproject.toml constraints.txt
	@echo "== making $(VENV) with $(shell $(PYTHON) --version)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.11 …"; exit 2; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@echo "== installing the pinned dependencies (a few minutes the first time: PyTorch alone is several GB)"
	@$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) build dist
