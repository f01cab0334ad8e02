# demo: from a fresh clone to tags on designs. test: installs and runs all tests.
# check: format, lint, types, tests. site: the documentation as a web site. Needs Python 3.11.4 or newer and a package registry.

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
DEMO = demo
DEMO_TRAIN = --minutes 2

.PHONY: demo test check format lint types tests site clean

demo: $(VENV)/.installed
	$(BIN)/hangtag sample $(DEMO)/library
	$(BIN)/hangtag pack $(DEMO)/library/designs.csv $(DEMO)/dataset
	$(BIN)/hangtag train $(DEMO)/dataset $(DEMO)/model $(DEMO_TRAIN)
	$(BIN)/hangtag evaluate $(DEMO)/model $(DEMO)/dataset
	$(BIN)/hangtag tag $(DEMO)/model $(DEMO)/library/designs --out $(DEMO)/tags.jsonl
	@head -n 3 $(DEMO)/tags.jsonl

test: $(VENV)/.installed-dev tests

check: $(VENV)/.installed-dev format lint types tests

format:
	$(BIN)/ruff format --check .

lint:
	$(BIN)/ruff check .

types:
	$(BIN)/mypy

tests:
	$(BIN)/python -m pytest -n 2 --dist loadfile

site: $(VENV)/.installed-dev
	$(BIN)/mkdocs build

clean:
	rm -rf $(VENV) $(DEMO) site

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable ".[train]"
	touch $@

$(VENV)/.installed-dev: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable ".[dev]"
	touch $@ $(VENV)/.installed
