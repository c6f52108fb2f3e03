PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# The matrices here are tiny: BLAS threads only wait for one another.
export OPENBLAS_NUM_THREADS ?= 1

.PHONY: help install run test test-duckdb2 test-spark test-spark-cluster clients docs lint format clean

help: ## show this help
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

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
	$(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder

clients: .clients/duckdb-1.4 .clients/duckdb-2.0 ## the other versions of DuckDB that tests read with

.clients/duckdb-%: tests/clients/duckdb-%.txt $(INSTALLED)
	rm -rf $@
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps \
		--only-binary :all: --target $@ -r $<
	@touch $@

test-duckdb2: .clients/duckdb-2.0 ## a whole build and the publish, with DuckDB 2.0 in place of 1.5
	PYTHONPATH=$(CURDIR)/.clients/duckdb-2.0 $(BIN)/python -c \
		"import duckdb; assert duckdb.__version__.startswith('2.'), duckdb.__version__"
	PYTHONPATH=$(CURDIR)/.clients/duckdb-2.0 $(BIN)/python -m pytest -q \
		tests/integration/test_build_cli.py::test_landing_files_become_published_marts \
		tests/unit/publish tests/integration/test_bi_clients.py

# PySpark is published as a source archive alone, hence no --only-binary here.
.clients/spark: constraints-spark.txt $(INSTALLED)
	rm -rf $@
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps \
		--target $@ -r $<
	@touch $@

# Compiling queries and spreading them pays on large data alone; in a smaller heap a quarter of the
# time goes into collecting the plans of a thousand queries.
SPARK_PYTEST = PYTHONPATH=$(CURDIR)/.clients/spark TANDEM_SPARK_CODEGEN=false \
	TANDEM_SPARK_PARTITIONS=1 TANDEM_SPARK_MEMORY=3g $(BIN)/python -m pytest -q

test-spark: .clients/spark ## every mart on Spark and on DuckDB row for row, and a whole build there (needs Java 17)
	$(SPARK_PYTEST) tests/spark/test_engines_agree.py tests/spark/test_spark_build.py

test-spark-cluster: .clients/spark ## the same on a master and two workers, one of which is killed
	$(SPARK_PYTEST) tests/spark/test_cluster.py

# dbt compiles nothing here and opens no warehouse: its pages show the models as they are written.
docs: $(INSTALLED) ## the docs as one site, with dbt's own beside it, in .site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	TANDEM_WAREHOUSE=:memory: $(BIN)/dbt --quiet parse \
		--project-dir dbt_project --profiles-dir dbt_project
	TANDEM_WAREHOUSE=:memory: $(BIN)/dbt --quiet docs generate --static --empty-catalog --no-compile \
		--project-dir dbt_project --profiles-dir dbt_project
	install -D -m 644 dbt_project/target/static_index.html .site/dbt/index.html

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
	rm -rf .site .tandem dbt_project/target dbt_project/logs .pytest_cache .mypy_cache .ruff_cache
