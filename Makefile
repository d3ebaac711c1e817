# `make up` shows your sessions; `make test` checks everything. Both install what they need into .venv first.
PYTHON ?= python3
BIN := .venv/bin
COMING := .venv/datasette-1
ARGS ?=
DENO := DENO_DIR=$(CURDIR)/.tools/deno DENO_TLS_CA_STORE=system $(BIN)/deno
FUNCTIONS := supabase/functions
LOCK := uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --no-emit-find-links \
	--python-version 3.11

.PHONY: help setup up test coming lint format bench soak tools pictures lock

help:
	@echo "make up [ARGS=--demo]   your Claude Code sessions in the browser (or invented ones)"
	@echo "make test               everything: lint, types, tests, with the real client and a real browser"
	@echo "make lint · make bench · make soak · make pictures · make setup · make lock"

setup: .venv/complete

.venv/installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "VibeTea needs Python 3.11 or newer; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "Installing into .venv: a minute or so, this once"
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.venv/complete: .venv/installed requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

# the coming line of Datasette in an environment of its own, over all the other packages of the first
$(COMING)/complete: .venv/complete requirements-datasette-1.txt
	$(BIN)/python -m venv --clear --without-pip $(COMING)
	@$(BIN)/python -c 'import site; print("import site; site.addsitedir(%r)" % site.getsitepackages()[0])' \
		> $$($(COMING)/bin/python -c 'import site; print(site.getsitepackages()[0])')/locked.pth
	$(BIN)/pip --python $(COMING)/bin/python install --quiet --disable-pip-version-check --require-hashes \
		-r requirements-datasette-1.txt
	@touch $@

up: .venv/installed
	@$(BIN)/vibetea up $(ARGS)

test: setup lint tools coming
	$(BIN)/python -m pytest -m "not soak" -n 6 --dist worksteal $(ARGS)

# the pages' tests once more, on the coming line of Datasette; of those with a browser only the marked ones
coming: $(COMING)/complete tools
	$(COMING)/bin/python -m pytest tests/datasette_plugins -m "not browser or both" -n 6 --dist worksteal

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/mypy --follow-imports=silent bench docs
	$(BIN)/lint-imports
	$(DENO) fmt --quiet --check $(FUNCTIONS)
	$(DENO) lint --quiet $(FUNCTIONS)
	$(DENO) check --quiet --frozen --config $(FUNCTIONS)/ingest/deno.json $(FUNCTIONS)/*/index.ts $(FUNCTIONS)/tests

format: setup
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(DENO) fmt --quiet $(FUNCTIONS)

# a browser, a terminal multiplexer and Node, where they are missing
tools: setup
	@PYTHON=$(BIN)/python tests/tools/ensure.sh

bench: setup tools
	@for part in hook import_ cli idle stream live_list states pages relay drain aggregates supabase; do \
		$(BIN)/python bench/$$part.py || exit 1; done

soak: setup tools
	$(BIN)/python -m pytest -m soak $(ARGS)

# after a change of a page: its pictures in README and docs
pictures: setup tools
	$(BIN)/python docs/pictures.py

# after a change of the dependencies in pyproject.toml; needs uv
lock:
	$(LOCK) --extra nats --group build pyproject.toml -o requirements.txt
	$(LOCK) -c requirements.txt --extra nats --group build --group dev pyproject.toml -o requirements-dev.txt
	sed -n '/^datasette==/d; s/^\([a-z0-9_.-]*==[^ ]*\) .*/\1/p' requirements-dev.txt \
		| $(LOCK) -c - --group datasette-1 -o requirements-datasette-1.txt
	$(LOCK) -c requirements.txt --group relay -o deploy/requirements-relay.txt
	$(LOCK) -c requirements.txt --group build -o deploy/requirements-build.txt
