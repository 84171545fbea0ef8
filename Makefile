# Everything here needs only python3 (3.11 or newer) and make; the rest is installed into .venv* of this folder.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PYTEST := -m pytest
MATRIX := $(basename $(notdir $(wildcard constraints/airflow-*.txt)))

.DEFAULT_GOAL := help
.PHONY: help demo standalone test lint types docs test-api test-airflow3 test-airflow2 test-matrix test-browser \
        test-browser-airflow2 screenshots dist bench soak fuzz format pins clean python chromium venv venv-api venv-airflow2

help:  ## List these targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-21s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: venv  ## Run the quickstart DAG on a real Airflow 3.3.2 against a local Avala
	@$(BIN)/python -m scripts.demo

standalone: venv  ## Airflow's UI and a local Avala to play with, until Ctrl-C
	@$(BIN)/python -m scripts.standalone $(if $(AIRFLOW_PORT),--airflow-port $(AIRFLOW_PORT)) \
	  $(if $(AVALA_PORT),--avala-port $(AVALA_PORT))

test: lint types docs test-api test-airflow3  ## Lint, types, docs, unit, integration and end-to-end tests on Airflow 3.3.2

lint: venv  ## Check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: venv  ## Check types, strictly
	$(BIN)/mypy
	$(BIN)/mypy --follow-imports silent -p scripts

docs: venv  ## Make the pages in docs/ and the reference, into build/docs
	@rm -rf build/docs
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --fresh-env --quiet -b html -d build/doctrees docs build/docs

test-api: venv-api  ## The API layer and the emulator, where no Airflow is installed, and Avala's own SDK on it
	.venv-api/bin/python $(PYTEST) tests/api tests/emulator tests/sdk tests/fuzz

test-airflow3: venv  ## All tests on Airflow 3.3.2
	$(BIN)/python $(PYTEST)

test-airflow2: venv-airflow2  ## All tests on Airflow 2.11.2
	.venv-airflow2/bin/python $(PYTEST)

test-matrix: $(MATRIX:%=test-wheel-%)  ## The built wheel in a clean environment of every supported Airflow

test-wheel-%: dist
	@$(PYTHON) -m scripts.prepare_venv .venv-wheel/$* constraints/$*.txt --extras emulator,matrix --wheel dist
	.venv-wheel/$*/bin/python -P $(PYTEST) --import-mode importlib tests/matrix

dist: venv  ## Build sdist and wheel into dist/
	@rm -rf dist build *.egg-info  # what an earlier build has left would find its way into this one
	$(BIN)/python -m build --no-isolation --outdir dist
	@rm -rf build *.egg-info

test-browser: venv chromium  ## The connection form and the quickstart in a real browser, on Airflow 3.3.2
	$(BIN)/python $(PYTEST) tests/browser

test-browser-airflow2: venv-airflow2 chromium  ## The same on Airflow 2.11.2
	.venv-airflow2/bin/python $(PYTEST) tests/browser

screenshots: venv venv-airflow2 chromium  ## Take the pictures in docs/images anew
	@$(BIN)/python -m scripts.screenshots
	@.venv-airflow2/bin/python -m scripts.screenshots

bench: venv  ## Measure the provider beside what a user would pick instead
	@$(BIN)/python -m pip install --quiet -c constraints/airflow-3.3.2.txt -r benchmarks/requirements.txt
	$(BIN)/python -m benchmarks.rate_limit
	$(BIN)/python -m benchmarks.mixed_load

soak: venv  ## Ten minutes of DAG runs on a real Airflow while calls fail; SOAK='--minutes 2' for less
	@$(BIN)/python -m benchmarks.soak $(SOAK)

fuzz: venv  ## Search the parsers for a crash, guided by coverage (atheris); FUZZ='--seconds 300' for longer
	@$(BIN)/python -m pip install --quiet atheris==3.0.0
	@$(BIN)/python -m scripts.fuzz $(FUZZ)

format: venv  ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

pins: python  ## Resolve the newest versions anew and write constraints/
	@$(PYTHON) -m scripts.write_pins

clean:  ## Remove what make has made
	rm -rf .venv* .demo .standalone .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info

python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  found=$$($(PYTHON) -c 'import platform; print(platform.python_version())' 2>/dev/null) || found=none; \
	  echo "  This needs Python 3.11 or newer as '$(PYTHON)'; found: $$found."; \
	  echo "  Install it, or name another one: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }

chromium:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	    { apt-get update && apt-get install -y --no-install-recommends chromium; } >/dev/null; } || { \
	  echo "  The browser tests need Chromium. On Debian: sudo apt-get install -y chromium"; exit 1; }

venv: python
	@$(PYTHON) -m scripts.prepare_venv $(VENV) constraints/airflow-3.3.2.txt \
	  --extras emulator,openlineage,redis,test,browser,docs,dist,lint

venv-api: python
	@$(PYTHON) -m scripts.prepare_venv .venv-api constraints/api.txt --without-dependencies

venv-airflow2: python
	@$(PYTHON) -m scripts.prepare_venv .venv-airflow2 constraints/airflow-2.11.2.txt \
	  --extras emulator,openlineage,redis,test,browser
