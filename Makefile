# Beatwise. `make run` and `make test` need nothing but Python 3.11+ and make; they set up .venv on first use.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

export DO_NOT_TRACK := 1
# Ray and kedro-viz start commands of the environment by name.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help install run test test-all lint viz mlflow dashboard docs docs-serve bench clean

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

install: $(INSTALLED)  ## Make .venv with everything that is pinned in constraints.txt

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Beatwise needs Python 3.11 or newer; $(PYTHON) is older. Try: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

run: install  ## Raw beats to report, on the bundled synthetic sample
	$(BIN)/kedro run

# In the order of tests/conftest.py: files that take longest go first.
test: install  ## All quick tests; needs nothing but Python
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

test-all: $(VENV)/.dashboard  ## What `make test` leaves out: slow tests, tests on real data, tests in a browser
	PYTHON=$(BIN)/python tests/test_all.sh

lint: install  ## Style, types, the Dockerfile, and notebooks without outputs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/nbstripout --keep-id --verify notebooks/*.ipynb
	$(BIN)/hadolint Dockerfile

viz: install  ## The DAG in the browser
	$(BIN)/kedro viz

mlflow: install  ## All runs in the browser
	$(BIN)/kedro mlflow ui

dashboard: $(VENV)/.dashboard  ## All searches in the browser
	$(BIN)/streamlit run src/beatwise/dashboard.py --server.address 127.0.0.1 --browser.gatherUsageStats false

$(VENV)/.dashboard: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dashboard]'
	@touch $@

docs: install  ## The documentation as a site, in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

docs-serve: install  ## The same in the browser, while pages are written
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve --strict --dev-addr 127.0.0.1:8000

bench: install .venv-bench/.installed  ## Measure what docs/benchmarks.md claims; peers in an environment of their own
	$(BIN)/python -m benchmarks.segmentation
	$(BIN)/python -m benchmarks.search
	.venv-bench/bin/python -m benchmarks.training
	.venv-bench/bin/python -m benchmarks.training --levers

.venv-bench/.installed: pyproject.toml constraints.txt benchmarks/requirements.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --editable . \
		--requirement benchmarks/requirements.txt
	@# Their own requirements ask for other versions of MLflow, pandas and setuptools, and for a CUDA build of torch.
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --no-deps mltrainer==0.3.6 neurokit2==0.3.0
	@touch $@

clean:  ## Remove .venv and everything that runs have made (real data stays)
	rm -rf $(VENV) .venv-bench .viz build dist site data/02_intermediate/*/ data/03_primary/*/ data/05_model_input/*/ data/06_models/*/ \
		data/07_model_output/*/ data/08_reporting/*/ data/09_tracking/*.db data/09_tracking/*/
