# `make demo` and `make test` do all the set-up on a fresh machine (Linux, Python 3.11 or newer).
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test lint bench search-maps chaos reproduction clean

demo: $(VENV)/.demo
	$(BIN)/phasemap run studies/quickstart.yaml
	$(BIN)/phasemap show runs/quickstart

test: $(VENV)/.dev
	$(BIN)/pytest --numprocesses 2 --dist loadfile

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.dev
	for name in engine transformer plan report overhead cores scale figures serve; do $(BIN)/python benchmarks/$$name.py || exit 1; done

search-maps: $(VENV)/.demo
	$(BIN)/python benchmarks/search_maps.py

chaos: $(VENV)/.dev
	$(BIN)/python tests/running/chaos.py

reproduction: $(VENV)/.demo
	$(BIN)/python docs/reproduction.py

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@ $(VENV)/.demo
