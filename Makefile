# `make course` and `make test` do all the set-up. `make` alone lists the commands.

SHELL := /bin/bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
STAMPS := _build/stamps
CORES := $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
# A test process on each core: with several threads in each they would wait for one another.
ONE_THREAD := OMP_NUM_THREADS=1

LIBRARY := $(shell find mlcourse -name '*.py' -o -name '*.toml' -o -name '*.bib' 2>/dev/null)
PAGES := $(shell find book mlcourse/book -type f -not -path '*/__pycache__/*' -not -path '*/.ipynb_checkpoints/*' 2>/dev/null) _config.yml _toc.yml
SOLUTIONS := $(wildcard solutions/*.py)
EXERCISES := $(wildcard exercises/*/*.ipynb)

.PHONY: help course test lint check format notebooks serve bench test-gpu clean

help: ## List the commands.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | awk -F'|' '{printf "  make %-10s %s\n", $$1, $$2}'

# --- Set-up ------------------------------------------------------------------------------------

$(VENV)/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$$($(PYTHON) --version 2>&1) is too old: install Python 3.11 or newer, or say which one to use: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { echo "$(PYTHON) cannot make a virtual environment: install its venv module (on Debian: python3-venv)"; exit 1; }
	@echo "Installing into $(VENV) (a few minutes the first time) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

$(STAMPS)/exercises: $(VENV)/installed $(SOLUTIONS) $(EXERCISES) $(LIBRARY)
	@$(BIN)/mlcourse release
	@mkdir -p $(@D) && touch $@

$(STAMPS)/book: $(VENV)/installed $(STAMPS)/exercises $(PAGES)
	@echo "Building the book ..."
	@mkdir -p $(@D)
	@$(BIN)/python -m mlcourse.book.build
	@touch $@

$(STAMPS)/graded: $(VENV)/installed $(STAMPS)/exercises $(LIBRARY)
	@mkdir -p $(@D)
	@if $(BIN)/mlcourse doctor >/dev/null; then \
	  $(BIN)/python -m mlcourse.sample_class _build/sample_class && \
	  $(BIN)/mlcourse grade _build/sample_class/submitted --out graded && touch $@; \
	else \
	  echo "Grading is skipped: this machine cannot hold the sandbox; $(BIN)/mlcourse doctor says why and what to install."; \
	fi

# --- Commands ----------------------------------------------------------------------------------

course: $(STAMPS)/book $(STAMPS)/graded ## Set up, build the book and the exercises, grade the sample class, say where to look.
	@echo
	@echo "Book          _build/html/index.html    (make serve shows it at http://localhost:8000)"
	@echo "Exercises     exercises/                (jupyter lab in this folder, or: mlcourse start by_hand)"
	@if test -f graded/report.html; then \
	  echo "Grades        graded/grades.csv"; \
	  echo "Class report  graded/report.html"; \
	  echo "Feedback      graded/feedback/"; fi

lint: $(VENV)/installed ## Format, lint and types.
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

check: lint ## Lint and the fast tests, in under two minutes.
	@$(ONE_THREAD) $(BIN)/pytest -q -n $(CORES) -m "not slow" tests/unit

test: lint $(STAMPS)/book ## Everything: lint, unit tests, chapters, exercises, grading, sandbox, the book in a browser.
	@$(ONE_THREAD) $(BIN)/pytest -n $(CORES) --dist loadfile tests

format: $(VENV)/installed ## Format and mend what ruff can, chapters' text sources included.
	@$(BIN)/ruff check --fix -q --exclude '*.ipynb' . ; $(BIN)/ruff format --exclude '*.ipynb' .
	@$(BIN)/jupytext --quiet --pipe '$(BIN)/ruff format --stdin-filename book/chapter.ipynb -' --pipe-fmt ipynb book/*/*.md

notebooks: $(VENV)/installed ## Run the chapters whose text changed and write their notebooks.
	@$(BIN)/python -m mlcourse.book.twins

serve: $(STAMPS)/book ## Show the book at http://localhost:8000.
	@$(BIN)/python -m http.server 8000 --bind 127.0.0.1 --directory _build/html

bench: $(VENV)/installed ## Measure against peers, one table a benchmark.
	@for benchmark in benchmarks/*.py; do echo "== $$benchmark"; $(BIN)/python $$benchmark || exit 1; done

test-gpu: $(VENV)/installed ## Run every chapter on a GPU and record the result in book/results/gpu.json.
	@$(BIN)/python -m mlcourse.book.gpu

clean: ## Remove what was built (not .venv).
	@rm -rf _build graded source
