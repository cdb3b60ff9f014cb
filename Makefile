# Every command a person types here. `make` alone lists them.

VENV := .venv
PY := $(VENV)/bin/python
BENCH := .venv-bench
SERVICES := $(PY) -m tests.services run
CHECKS := lint types contracts migrations test

.DEFAULT_GOAL := help
.PHONY: help venv venv-runtime demo up chaos $(CHECKS) check lock clean \
	crash-points mutants bench bench-core bench-dead-letters bench-dispatcher bench-ingest bench-reconcile reconcile-exact bench-sim ingest-exact ingest-huge

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' Makefile

venv-runtime:
	@.ci/venv requirements.txt

venv:
	@.ci/venv requirements.txt requirements-dev.txt

demo: venv-runtime ## Run the whole road on sample data, then leave the admin open (ONCE=1: stop at the end)
	@$(PY) manage.py demo $(if $(ONCE),--once) $(if $(PORT),--port $(PORT))

up: venv-runtime ## Start the stack on this machine with one tenant, and print a call to paste
	@$(PY) manage.py up $(if $(PORT),--port $(PORT))

chaos: venv-runtime ## Break the product under load for ten minutes, and check that nothing is lost (ARGS="--minutes 2 --seed 1")
	@$(PY) manage.py chaos $(ARGS)

test: venv ## Run the tests on real services (ARGS="-k name" goes to pytest)
	@$(SERVICES) -- $(PY) -m pytest -n 4 --no-loadscope-reorder $(ARGS)

check: venv ## Run lint, types, contracts, migrations and tests: the whole gate
	@failed=; \
	for step in $(CHECKS); do \
		echo "--- $$step"; \
		$(MAKE) --no-print-directory $$step || failed="$$failed $$step"; \
	done; \
	if [ -n "$$failed" ]; then echo "make check: failed:$$failed" >&2; exit 1; fi; \
	echo "make check: all passed"

lint: venv ## Check style and formatting of Python and YAML
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m yamllint --strict .

types: venv ## Check the types
	@$(PY) -m mypy

contracts: venv ## Check which package may import which
	@$(VENV)/bin/lint-imports --no-logo

migrations: venv ## Check that the migrations match the models and form one line
	@$(SERVICES) --only postgresql -- $(PY) manage.py makemigrations --check --dry-run

# Holds the product too, so that one environment runs all queues.
$(BENCH)/made: requirements.txt benchmarks/requirements.txt | venv-runtime
	@echo "Installing the product and its peers into $(BENCH)"
	@$(PY) -m venv --clear $(BENCH)
	@$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check \
		--no-input --require-hashes $(addprefix -r ,$(filter %.txt,$^))
	@touch $@

bench: $(BENCH)/made ## Run the product beside its peers (ARGS="--quick --only ours,celery"; ARGS=--help)
	@$(BENCH)/bin/python -m benchmarks.live $(ARGS)

crash-points: venv ## Strike every kind of job at each line and SQL call, and look for traces
	@CRASH_POINTS=all $(SERVICES) --only postgresql --only redis -- \
		$(PY) -m pytest -q --timeout 7200 tests/integration/test_crash_points.py $(ARGS)

mutants: venv ## Plant known bugs in a copy, one by one, and see the tests catch each (ARGS="--only 2 28")
	@$(SERVICES) --only postgresql --only redis --only rabbitmq -- $(PY) -m tests.mutants $(ARGS)

bench-core: venv-runtime ## Count the scheduler's decisions a second, alone (ARGS="--json FILE")
	@$(PY) -m benchmarks.scheduler_core $(ARGS)

bench-sim: venv-runtime ## Run the scheduler beside other policies in simulated time
	@$(PY) -m benchmarks.simulated $(ARGS)

bench-ingest: venv ## Load a million rows beside psql's \copy of the clean ones (ARGS="--rows 100000 --rounds 1")
	@$(SERVICES) --only postgresql --only redis -- $(PY) -m benchmarks.ingest $(ARGS)

bench-reconcile: venv ## Match a million rows of each side beside psql's \copy of as many (ARGS="--rows 100000 --rounds 1")
	@$(SERVICES) --only postgresql --only redis -- $(PY) -m benchmarks.reconcile $(ARGS)

reconcile-exact: venv ## Match two sides undisturbed and under kill -9, and compare what stands
	@$(SERVICES) --only postgresql --only redis -- $(PY) -m benchmarks.reconcile.exact $(ARGS)

ingest-exact: venv ## Load a million rows with planted faults, twice and under kill -9, and compare with the truth
	@$(SERVICES) --only postgresql --only redis -- $(PY) -m benchmarks.ingest.exact $(ARGS)

ingest-huge: venv ## Load a file of 2 GB over S3 whose connection is cut twice: all rows, little memory (ARGS="--mb 200 --cuts 5")
	@$(SERVICES) --only postgresql --only redis --only s3 -- $(PY) -m benchmarks.ingest.huge $(ARGS)

bench-dispatcher: venv ## Lead over a million queued jobs of 10,000 tenants: memory, start, decisions
	@$(SERVICES) --only postgresql --only redis --only rabbitmq -- $(PY) -m benchmarks.dispatcher_scale $(ARGS)

bench-dead-letters: venv ## Read the admin over 10,000 dead letters, and retry them: times and queries
	@$(SERVICES) --only postgresql --only redis --only rabbitmq -- $(PY) -m benchmarks.dead_letters $(ARGS)

lock: venv ## Compile the .in files to .txt with hashes (ARGS=--upgrade for newer versions)
	@for name in requirements requirements-dev benchmarks/requirements; do \
		$(PY) -m uv pip compile --quiet --universal --python-version 3.11 \
			--generate-hashes --no-emit-index-url --no-emit-find-links \
			--no-header --no-annotate $(ARGS) $$name.in -o $$name.txt || exit 1; \
	done

clean: ## Remove the environment and the caches (not the data in .stack)
	@rm -rf $(VENV) $(BENCH) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
