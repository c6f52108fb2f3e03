PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# The matrices here are tiny: BLAS threads only wait for one another.
export OPENBLAS_NUM_THREADS ?= 1

.PHONY: help install run test lint format docs clean

help: ## show this help
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(INSTALLED) ## make the virtual environment

$(INSTALLED): constraints.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

run: $(INSTALLED) ## simulate a platform, build everything, publish, say where to look
	$(BIN)/tandem demo
	$(BIN)/tandem build
	$(BIN)/tandem status

test: $(INSTALLED) ## lint, type-check and test everything
	$(MAKE) --no-print-directory lint
	$(BIN)/python -m pytest -n 2 --dist loadscope

lint: $(INSTALLED) ## formatters, linters and types, changing nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/sqlfluff lint --processes 2 --disable-progress-bar dbt_project/models dbt_project/tests
	$(BIN)/yamllint --strict .

format: $(INSTALLED) ## format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/sqlfluff fix --disable-progress-bar dbt_project/models dbt_project/tests

clean: ## remove what builds have made here, but not the virtual environment
	rm -rf .tandem dbt_project/target dbt_project/logs .pytest_cache .mypy_cache .ruff_cache
