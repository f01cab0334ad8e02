# demo: from a fresh clone to tags on designs. demo-train: a whole network on the same designs, with
# torch. quick: the tests of a minute. test: all tests.
# coverage: all tests, with the lines that they miss. check: format, lint, types, all tests.
# site: the documentation as a web site. bench: the comparisons of speed, for half an hour, on Debian
# with openclipart-png and openclipart-svg; bench-quick: those that matter most, in three minutes.
# Each installs what it needs: Python 3.11.4 or newer and a package registry.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PYTEST = $(BIN)/python -m pytest -n 3 --dist worksteal
DEMO = demo
DEMO_TRAIN =

# Compiled once, not at the start of each of the hundreds of processes that tests start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo demo-train quick test coverage check format lint types tests site bench bench-quick clean

demo: $(VENV)/.installed
	$(BIN)/hangtag demo $(DEMO)
	@head -n 3 $(DEMO)/tags.jsonl

demo-train: demo $(VENV)/.installed-train
	$(BIN)/hangtag train $(DEMO)/dataset $(DEMO)/whole --no-freeze $(DEMO_TRAIN)
	$(BIN)/hangtag evaluate $(DEMO)/whole $(DEMO)/dataset
	$(BIN)/hangtag compare $(DEMO)/model $(DEMO)/whole $(DEMO)/dataset

quick: $(VENV)/.installed-dev
	$(PYTEST) -m "not slow"

test: $(VENV)/.installed-dev tests

coverage: $(VENV)/.installed-dev
	$(PYTEST) --cov --cov-report=term

check: $(VENV)/.installed-dev format lint types tests

format:
	$(BIN)/ruff format --check .

lint:
	$(BIN)/ruff check .

types:
	$(BIN)/mypy

tests:
	$(PYTEST)

site: $(VENV)/.installed-dev
	$(BIN)/mkdocs build

bench: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/tables.py

bench-quick: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/tables.py --quick

clean:
	rm -rf $(VENV) $(DEMO) site

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable .
	touch $@

$(VENV)/.installed-train: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable ".[train]"
	touch $@ $(VENV)/.installed

$(VENV)/.installed-dev: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable ".[dev]"
	touch $@ $(VENV)/.installed $(VENV)/.installed-train
