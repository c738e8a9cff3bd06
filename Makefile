# Everything a newcomer or a build server needs; each target installs what it lacks into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A GPU machine takes PyPI's CUDA build under the same pin; where only the CPU build is wanted, point pip at it
# (PIP_FIND_LINKS or PIP_INDEX_URL). Installed first, so that no other requirement pulls a newer torch.
TORCH ?= torch==2.13.0

.PHONY: help install demo test check bench clean

help:
	@echo "make demo     install, search an architecture, train it, evaluate it, compare it with M2-Mixer"
	@echo "make test     install what the tests need and run them all"
	@echo "make check    format, lint, types, import contracts"
	@echo "make bench    speed ratios, measured side by side on this machine"
	@echo "make clean    remove .venv and caches (runs and data stay where they are)"

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet "$(TORCH)"
	$(BIN)/python -m pip install --quiet -e ".[dev]"
	touch $@

# The baseline trains as long and in the same way as what the search finds (mmfuse zoo searches mixmas, preset small).
demo: STAMP := $(shell date +%H%M%S)
demo: install
	$(BIN)/mmfuse search mixmas --dataset avmnist --preset small --name mixmas-$(STAMP)
	$(BIN)/mmfuse train m2_mixer --dataset avmnist --name m2-mixer-$(STAMP) \
		--set fit.epochs=12 --set fit.learning_rate=3e-3 --set fit.schedule=cosine --set fit.early_stopping=6
	$(BIN)/mmfuse eval checkpoint mixmas-$(STAMP)
	$(BIN)/mmfuse runs compare m2-mixer-$(STAMP) mixmas-$(STAMP)
	@echo "look at both with: $(BIN)/mmfuse tui"

# One compute thread per test process: two processes that each want both cores wait for each other most of the time.
test: install check
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -n 2 --dist loadfile --durations=15

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install
	$(BIN)/python tests/benchmarks/run.py

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
