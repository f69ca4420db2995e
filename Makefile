# Forewatt: `make demo` to see it, `make test` to check it. Everything is made inside this folder.
PYTHON ?= python3
ARGS   ?=
BIN    := .venv/bin
ROOMS  := grid simulators ingest storage detectors alerts desk web forewatt
# Each worker has its own services and takes whole files: a file's tests may share what it set up.
WORKERS := --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder
SOURCES = $(wildcard $(ROOMS) benchmarks tests scripts)

RUNTIME := .venv/.installed-runtime
DEV     := .venv/.installed-dev
ASSETS  := web/static/vendor/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test lint style types rooms kernels bench web screens gallery locks format clean

help: ## this list
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

install: $(RUNTIME) $(ASSETS) ## .venv with .venv/bin/forewatt, and the browser libraries

demo: install ## the whole story on this machine: make demo ARGS="--speed 60 --for 180"
	@exec $(BIN)/forewatt demo $(ARGS)

# Bytecode is kept whatever the environment says: each worker as it collects, and each process that
# a test starts, would compile its sources anew.
test: export PYTHONDONTWRITEBYTECODE :=
test: install $(DEV) ## all checks and all tests
	@scripts/browser.sh
	@$(MAKE) --no-print-directory --jobs=2 types kernels style rooms
	@$(BIN)/pytest $(WORKERS) $(ARGS)

lint: style types rooms ## style, types, and which room imports which

style: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEV)
	$(BIN)/mypy --strict $(SOURCES)

rooms: $(DEV)
	$(BIN)/lint-imports

# Once, beside mypy: the workers would all compile the same kernels at the same time.
kernels: $(DEV)
	@$(BIN)/python -c 'import forewatt.admission_kernels, forewatt.watch'

format: $(DEV) ## rewrite the sources in the house style
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install $(DEV) ## every benchmark prints one table
	@for file in benchmarks/bench_*.py; do echo "== $$file"; $(BIN)/python $$file $(ARGS) || exit 1; done

web: ## fetch and check the browser libraries again
	@rm -f $(ASSETS)
	@$(MAKE) --no-print-directory $(ASSETS)

screens: install $(DEV) ## pictures of the pages, for the README and for looking at
	@scripts/browser.sh
	@$(BIN)/python scripts/screens.py $(ARGS)

gallery: install ## a picture of every story, docs/gallery/README.md: make gallery ARGS="storm_night"
	@$(BIN)/python -m simulators.gallery docs/gallery $(ARGS)

locks: $(RUNTIME) ## lock the requirements again after a change of a .in file
	for name in bootstrap npm runtime dev; do \
	  build/tools/bin/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header \
	    --python-version 3.11 requirements/$$name.in -o requirements/$$name.txt || exit 1; done
	cd web && npm install --package-lock-only --ignore-scripts

clean: ## remove everything that make made here
	rm -rf .venv build dist web/node_modules web/static/vendor .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUNTIME): requirements/runtime.txt requirements/bootstrap.txt pyproject.toml scripts/bootstrap.sh
	@PYTHON=$(PYTHON) scripts/bootstrap.sh runtime
	@touch $@

$(DEV): requirements/dev.txt $(RUNTIME)
	@PYTHON=$(PYTHON) scripts/bootstrap.sh dev
	@touch $@

$(ASSETS): web/package-lock.json web/assets.sha256 scripts/web_assets.py | $(RUNTIME)
	@echo "fetching the browser libraries ..." >&2
	@$(BIN)/python scripts/web_assets.py
	@touch $@
