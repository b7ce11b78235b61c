# The commands people run; every one makes and uses .venv in the checkout.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Where there is an NVIDIA GPU the same lock installs PyPI's CUDA build of torch; that is not tested here.
CPU := $(shell command -v nvidia-smi >/dev/null 2>&1 || echo -c constraints-cpu.txt)
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check $(CPU)
# Both, for pip before and since 25.3: what builds packages is locked too.
LOCKED := PIP_CONSTRAINT=requirements.lock PIP_BUILD_CONSTRAINT=requirements.lock

# Tests start many processes: one thread each, and bytecode is kept for them even where an image says otherwise.
TEST_ENV := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=

.PHONY: help quickstart space test test-slow test-browser test-cluster gpu test-latest lock check format bench throughput wall-clock truth instruments foreign away adaptation molecules models architectures small-models transients package site audit gate bundle clean
.DEFAULT_GOAL := help

help: ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

$(VENV)/.installed: pyproject.toml requirements.lock constraints-cpu.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12 …")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(LOCKED) $(BIN)/python $(PIP_INSTALL) -e '.[dev]'
	touch $@

quickstart: $(VENV)/.installed ## simulate raw planets, build the dataset, get spectra two ways, score, submit; a page of results
	$(BIN)/ariel quickstart quickstart

space: $(VENV)/.installed ## the demo in a browser, on the released model and simulated planets
	$(BIN)/python space/app.py

test: $(VENV)/.installed ## the default tests: offline, CPU, minutes
	$(TEST_ENV) $(BIN)/python -m pytest -n 3 --dist worksteal

test-slow: $(VENV)/.installed ## the tests that take minutes each
	$(BIN)/python -m pytest -m slow

test-browser: $(VENV)/.installed ## the Space and the report in headless Chromium; ARIEL_SCREENSHOTS=FOLDER keeps pictures
	$(BIN)/python -m pytest -m browser -rs

test-cluster: $(VENV)/.installed ## one build on every engine: two Ray nodes, Slurm, S3; all on this machine (needs root for Slurm)
	$(LOCKED) $(BIN)/python $(PIP_INSTALL) -e '.[cluster]'
	$(BIN)/python -m pytest -m cluster -rs

gpu: $(VENV)/.installed ## the tests that need an NVIDIA GPU, then fit, predictions and training timed on CPU and GPU
	$(BIN)/python -m pytest -m gpu -rs
	$(BIN)/python bench/model_speed.py --planets 16

test-latest: ## the default tests with the newest releases of all dependencies, in an environment of its own
	$(PYTHON) -m venv --clear .venv-latest
	.venv-latest/bin/python $(PIP_INSTALL) -e '.[dev]'
	$(TEST_ENV) .venv-latest/bin/python -m pytest -n 3 --dist worksteal

lock: $(VENV)/.installed ## write requirements.lock anew from the newest releases, and the Space's versions from it
	$(BIN)/python .ci/lock.py

check: $(VENV)/.installed ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed ## let ruff format and fix what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed ## time and memory of one full planet beside the organisers' recipe and bare decoding
	$(BIN)/python bench/calibration.py

throughput: $(VENV)/.installed ## planets an hour with one and two workers, memory from 5 to 50 planets, projection to 1,100
	$(BIN)/python bench/throughput.py

wall-clock: $(VENV)/.installed ## `ariel run` on 50 full planets: all modes, tight budgets, killed; 1,100 projected (half an hour, 15 GB)
	$(BIN)/python bench/wall_clock.py

truth: $(VENV)/.installed ## depths from raw simulated frames against their truth, 52 planets (10 minutes)
	OMP_NUM_THREADS=1 $(BIN)/python bench/truth_recovered.py

instruments: $(VENV)/.installed ## light curves of other telescopes: fit, batman, published values, injections (2 minutes)
	OMP_NUM_THREADS=1 $(BIN)/python bench/instruments.py

foreign: $(VENV)/.installed ## the fit where its assumptions fail: 29 kinds of light curves (an hour; resumes)
	OMP_NUM_THREADS=1 $(BIN)/python bench/foreign.py

away: $(VENV)/.installed ## the released model where it was not trained: other telescopes, atmospheres, star tables (10 minutes)
	OMP_NUM_THREADS=1 $(BIN)/python bench/away.py

adaptation: $(VENV)/.installed ## the released model adapted to more and more visits of foreign kinds (15 minutes)
	OMP_NUM_THREADS=1 $(BIN)/python bench/adaptation.py

molecules: $(VENV)/.installed ## models that never met a molecule, on planets that have it (hours; resumes)
	OMP_NUM_THREADS=2 $(BIN)/python bench/molecules.py

TRUTHS ?= ../shared/real/challenge_2024/train_labels.csv
models: $(VENV)/.installed ## train and score every stage of the model on given spectra: make models TRUTHS=train_labels.csv (hours)
	OMP_NUM_THREADS=2 $(BIN)/python bench/models.py $(TRUTHS)

architectures: $(VENV)/.installed ## every architecture of the field trained and ranked on the same folds (hours; resumes)
	OMP_NUM_THREADS=2 $(BIN)/python bench/architectures.py $(TRUTHS)

small-models: $(VENV)/.installed ## a checkpoint under 3 MB of every architecture, from simulation alone (half an hour; resumes)
	OMP_NUM_THREADS=2 $(BIN)/python bench/small_models.py

transients: $(VENV)/.installed ## searches for TDEs on the MALLORN challenge, nested folds, networks, ablations (hours; resumes)
	OMP_NUM_THREADS=1 $(BIN)/python bench/transients.py

package: $(VENV)/.installed ## the wheel and the source archive in dist/, checked; no dead code
	$(LOCKED) $(BIN)/python $(PIP_INSTALL) -e '.[release]'
	rm -rf dist
	$(LOCKED) $(BIN)/python -m build --outdir dist .
	$(BIN)/twine check --strict dist/*
	$(BIN)/check-wheel-contents dist/*.whl
	$(BIN)/validate-pyproject pyproject.toml
	$(BIN)/vulture

site: $(VENV)/.installed ## the documentation as web pages: dist/site/index.html; any broken link fails
	$(LOCKED) $(BIN)/python $(PIP_INSTALL) -e '.[docs]'
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx -W --keep-going -q -b html docs dist/site

audit: $(VENV)/.installed ## licences, SBOM and known holes of what is installed: dist/licences.json, dist/sbom.json
	$(LOCKED) $(BIN)/python $(PIP_INSTALL) -e '.[kaggle,release]'
	$(BIN)/python .ci/audit.py dist

gate: $(VENV)/.installed ## a small simulated study whose score and coverage may not fall
	OMP_NUM_THREADS=1 $(BIN)/python .ci/gate.py dist/gate

bundle: package ## dist/bundle: the wheel and all that it needs, for a notebook without internet
	$(BIN)/python -m pip download --quiet --constraint requirements.lock $(CPU) --dest dist/bundle dist/*.whl

clean: ## remove what the commands above made, the virtual environment too
	rm -rf $(VENV) .venv-latest quickstart bench/out dist *.egg-info build
