# `make demo` and `make test` do all the set-up on a fresh machine (Linux, Python 3.11 or newer).
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

# Whole files go to one worker each, since their tests share clusters and runs; the longest first (tests/conftest.py).
# Three on two cores, as now and then one waits for Ray or a process; each more reads all tests once more.
WORKERS = --numprocesses 3 --dist loadfile --no-loadscope-reorder
# What needs no Ray, no browser, no server and no training of more than a moment.
FAST = study planning/test_packs.py tasks phases diagram representations test_studies.py search/test_target.py \
  figures/test_figures.py figures/test_curves.py results/test_merge.py \
  running/test_slots.py running/test_tokens.py running/test_ray_feed.py auditing/test_reading.py auditing/test_effort.py

.PHONY: demo adapters test test-slow test-changed fast docs lint bench search-maps chaos reproduction clean

demo: $(VENV)/.demo
	$(BIN)/phasemap run studies/quickstart.yaml
	$(BIN)/phasemap show runs/quickstart

test: $(VENV)/.dev
	$(BIN)/pytest $(WORKERS)

# Lightning, Transformers and JAX: without them `make test` skips what needs them.
adapters: $(VENV)/.adapters

fast: $(VENV)/.dev
	$(BIN)/pytest --numprocesses 2 --dist loadfile --quiet --ignore tests/diagram/test_claims_over_shares.py $(addprefix tests/,$(FAST))

# The full chaos and the long searches; where they pass, what they passed on is written into tests/slow.json.
test-slow: $(VENV)/.dev
	$(BIN)/python tests/slow.py run -- $(WORKERS)

# The slow tests whose record in tests/slow.json is missing or no longer true.
test-changed: $(VENV)/.dev
	$(BIN)/python tests/slow.py changed -- $(WORKERS)

# The site, in site/: it is read without a network, and a dead link or anchor fails the build.
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.dev
	for name in engine transformer plan report overhead cores scale figures serve labelling; do $(BIN)/python benchmarks/$$name.py || exit 1; done

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

$(VENV)/.adapters: $(VENV)/.dev
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev,adapters]'
	touch $@

$(VENV)/.docs: $(VENV)/bin/python pyproject.toml constraints.txt
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[docs]'
	touch $@ $(VENV)/.demo
