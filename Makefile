# `make run` and `make test` set up what they need; `make` alone lists the targets.
SHELL := /bin/bash
PYTHON := .venv/bin/python
ARGS ?=
# A file of tests stays in one process, so what its tests share is made once.
TWO_PROCESSES := -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

# Photographs and ImageNet weights for tests and measurements, where there are any.
test test-slow benchmark: export CATDOG_DATA := $(or $(CATDOG_DATA),$(realpath ../shared/data))

# Without compiled bytecode `import tfx` takes three times as long.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test test-slow check format benchmark pretrain lock clean venv venv-dev

help:  ## List the targets
	@grep -E '^[a-z-]+:.*  ## ' $(MAKEFILE_LIST) | awk -F ':.*  ## ' '{printf "make %-10s %s\n", $$1, $$2}'

run: venv  ## Run the demo pipeline; ARGS="..." is passed on
	@$(PYTHON) pipeline_runner.py run --config configs/demo.yaml $(ARGS)

test: venv-dev  ## Run the tests in two processes, with coverage; ARGS="..." is passed on
	@$(PYTHON) -m pytest $(TWO_PROCESSES) -m 'not slow' --cov \
	  --cov-report=term-missing:skip-covered $(ARGS)

test-slow: venv-dev  ## Run the few tests that take minutes each; ARGS="..." is passed on
	@$(PYTHON) -m pytest $(TWO_PROCESSES) -m slow $(ARGS)

check: venv-dev  ## Lint, formatting, types and the direction of imports
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m mypy
	.venv/bin/lint-imports --no-logo

format: venv-dev  ## Rewrite the code the way `make check` wants it
	$(PYTHON) -m ruff check --fix
	$(PYTHON) -m ruff format

benchmark: venv  ## Measure; ARGS="..." is passed on
	@$(PYTHON) benchmarks/pipeline_benchmark.py $(ARGS)

pretrain: venv  ## Make the embedded weights again; an hour; ARGS="..." is passed on
	@$(PYTHON) -m pretraining $(ARGS)

lock: venv  ## Resolve requirements*.in again, moving to the newest allowed releases
	@scripts/lock.sh

venv:  ## Make .venv with what a run needs
	@scripts/bootstrap.sh run

venv-dev:  ## The same with what tests and checks need
	@scripts/bootstrap.sh dev

clean:  ## Remove .venv, the tools and every cache; runs and data stay
	rm -rf .venv .tools .pytest_cache .mypy_cache .ruff_cache .import_linter_cache \
	  .hypothesis .coverage build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
