# `make run` and `make test` create .venv if needed; `make` alone lists the targets.
SHELL := /bin/bash
PYTHON := .venv/bin/python
ARGS ?=
# Tests of a file run in one process, so that each module fixture is created once; see tests/conftest.py.
TWO_PROCESSES := -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0
# Tests that compute with TensorFlow; oneDNN takes other paths in the settings of `make test-cpu`.
NUMERIC := tests/trainer/data tests/trainer/export tests/trainer/model tests/trainer/training \
  tests/components/serving_check/test_serving_check.py \
  tests/components/inference/test_classifier.py tests/components/evaluation/robustness
# Left out there: TensorFlow Lite does not use oneDNN; `onednn` sets it in its own processes; the
# next three compare no computed numbers; `mirrored` computes nothing that the others do not.
NUMERIC += -k 'not (tensorflow_lite or onednn or test_backbone or test_embedded_weights \
  or test_cache_plan or mirrored)'

# Photographs and ImageNet weights for tests and benchmarks, if available.
test coverage test-slow test-avx2 test-no-onednn test-current test-flink benchmark: export CATDOG_DATA := $(or $(CATDOG_DATA),$(realpath ../shared/data))

# Without compiled bytecode `import tfx` takes three times as long.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help init run serve test coverage test-slow test-all test-cpu test-avx2 test-no-onednn test-current test-backend test-flink \
  image-test check docs pictures release format benchmark benchmark-check lock clean venv venv-dev venv-docs venv-release

help:  ## List the targets
	@grep -E '^[a-z-]+:.*  ## ' $(MAKEFILE_LIST) | awk -F ':.*  ## ' '{printf "make %-15s %s\n", $$1, $$2}'

init: venv  ## Write recipe.yaml for your images: make init DATA=FOLDER; ARGS="..." adds options
	@$(PYTHON) pipeline_runner.py init $(if $(DATA),"$(DATA:~/%=$(HOME)/%)") $(ARGS)

run: venv  ## Run recipe.yaml, or the demo if there is none; ARGS="..." adds options
	@$(PYTHON) pipeline_runner.py run $(ARGS)

serve: venv  ## Serve the live model on http://127.0.0.1:8501/; ARGS="..." adds options
	@$(PYTHON) pipeline_runner.py serve $(ARGS)

test: venv-dev  ## Run the tests that each commit needs; ARGS="..." adds options
	@$(PYTHON) -m pytest $(TWO_PROCESSES) -m 'not slow' $(ARGS)

coverage: venv-dev  ## Run `make test` and report lines and branches that it does not run
	@$(PYTHON) -m pytest $(TWO_PROCESSES) -m 'not slow' --cov \
	  --cov-report=term-missing:skip-covered $(ARGS)

test-slow: venv-dev  ## Run the other tests: whole runs, long batteries, a browser; ARGS="..." adds options
	@$(PYTHON) -m pytest $(TWO_PROCESSES) -m slow $(ARGS)

test-all:  ## Run all tests on both stacks, and those of the container image (an hour and a half); needs root
	@$(MAKE) --no-print-directory test test-slow
	@$(MAKE) --no-print-directory test-current TARGETS="test test-slow"
	@$(MAKE) --no-print-directory image-test

test-cpu: test-avx2 test-no-onednn  ## Run the numeric tests as on other CPUs; ARGS="..." adds options

test-no-onednn: venv-dev
	@TF_ENABLE_ONEDNN_OPTS=0 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 \
	  $(PYTHON) -m pytest $(TWO_PROCESSES) $(NUMERIC) $(ARGS)

test-avx2: venv-dev
	@ONEDNN_MAX_CPU_ISA=AVX2 TF_NUM_INTRAOP_THREADS=4 TF_NUM_INTEROP_THREADS=4 \
	  $(PYTHON) -m pytest $(TWO_PROCESSES) $(NUMERIC) $(ARGS)

test-current: TARGETS ?= test
test-current:  ## Run `make test` in a Debian 13 system with TFX 1.21; needs root and mmdebstrap
	@scripts/in_debian_13.sh make --no-print-directory $(TARGETS)

test-backend: venv-dev  ## Run compiled pipelines on Kubeflow's driver and launcher, if given
	@$(PYTHON) -m pytest -k programs tests/e2e/test_kubeflow.py $(ARGS)

test-flink: venv-dev  ## Run the Beam components on a Flink cluster and kill workers; needs Java and Maven
	@scripts/flink_test.sh $(ARGS)

image-test:  ## Build the container image and run it, without an engine; needs root, buildah, mmdebstrap
	@scripts/image_test.sh

check: venv-dev docs  ## Check lint, formatting, types, import layers, prose and the documentation
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m mypy
	.venv/bin/lint-imports --no-logo
	.venv-docs/bin/codespell

# A page with a warning has to be read again, or the next build would not report it.
docs: venv-docs  ## Build the documentation into build/docs; a warning is an error
	@.venv-docs/bin/python -m sphinx --quiet --fail-on-warning --keep-going \
	  --doctree-dir build/docs-doctrees docs build/docs || { rm -rf build/docs-doctrees; exit 1; }
	@echo "the documentation is in build/docs/index.html"

release: venv venv-release  ## Build and check wheel, sdist, SBOMs and locks; AUDIT=skip without the service
	@scripts/release.sh

pictures: venv-dev  ## Make the pictures of the documentation from a run; needs Chromium
	@PYTHONPATH=.:tests:docs/extensions $(PYTHON) docs/make_pictures.py $(ARGS)

format: venv-dev  ## Format the code and apply lint fixes
	$(PYTHON) -m ruff check --fix
	$(PYTHON) -m ruff format

benchmark: venv  ## Compare the pipeline with plain Keras; ARGS="..." adds options
	@$(PYTHON) benchmarks/pipeline_benchmark.py $(ARGS)

benchmark-check: venv  ## Fail if the quick pair's ratio is above its limit (two minutes)
	@$(PYTHON) benchmarks/pipeline_benchmark.py --quick --check $(ARGS)

lock: venv  ## Resolve requirements*.in to the newest allowed releases, for both stacks
	@scripts/lock.sh

venv:  ## Create .venv for runs
	@scripts/bootstrap.sh run

venv-docs venv-release: venv-%:
	@scripts/bootstrap.sh $*

venv-dev:  ## Create .venv for runs, tests and checks
	@scripts/bootstrap.sh dev

clean:  ## Remove .venv, tools and caches; keep runs and data
	rm -rf .venv .venv-docs .venv-release .tools .pytest_cache .mypy_cache .ruff_cache .import_linter_cache \
	  .hypothesis .coverage build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
