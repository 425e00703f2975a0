# Everything that is done to this project; the hooks and the tests use the same recipes.
# A first call sets up what it needs; stamps under .make/ make the next one quick.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
PYTEST := $(BIN)/python -m pytest
COMPILE := CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --no-config \
	--generate-hashes --allow-unsafe --strip-extras \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host
# Tests are compiled once, whatever is usual where they run: each process of a run loads 5,000 of them.
unexport PYTHONDONTWRITEBYTECODE
# One more than the smallest machine has processors: a quarter of the time, tests wait for what they started.
TEST_PROCESSES ?= 3
UNIT_PROCESSES ?= 2
# Each process begins with tests that lie beside each other, and so shares their servers; who is done takes
# over from the others. Homes of tests lie in memory where there is room: thousands of tests wait for syncs.
SHARED := --dist worksteal --numprocesses
TEST_FOLDER ?= $(shell df --output=avail --block-size=1G /dev/shm 2>/dev/null | tail -1 | \
	awk '{ print ($$1 >= 4 ? "/dev/shm" : "/tmp") }')
# Per cent of lines that unit, integration and destination tests run, by folder; a floor only ever rises.
COVERAGE_FLOORS := model=98 store=97 export=95 deliver=96 collect=98
TORTURE_KILLS ?= 200
TORTURE_EXPORTS ?= 1000
TORTURE_BODIES ?= 200000
TORTURE_EXAMPLES ?= 1000
TORTURE_SIGNATURES ?= 2000
TORTURE_HISTORIES ?= 2000

.DEFAULT_GOAL := help
.PHONY: help demo screenshots unit test coverage check torture bench packages docs format generate old-homes lock clean

help:
	@echo "make demo     generate a sample, import it, run and verify all twelve exports"
	@echo "make unit     run the tests of single modules, in under a minute"
	@echo "make test     run every test"
	@echo "make coverage measure what of the code the quick tests run, and hold the floors"
	@echo "make check    formatting, lint, types and import contracts"
	@echo "make torture  end exports, flushes and servers at $(TORTURE_KILLS) random moments each; fail their disks;"
	@echo "              attack as strangers did, with their counts;"
	@echo "              export $(TORTURE_EXPORTS) times through a faulty line;"
	@echo "              post $(TORTURE_BODIES) bodies of garbage; $(TORTURE_EXAMPLES) requests to each operation;"
	@echo "              deliver with $(TORTURE_SIGNATURES) generated SAS, right and wrong;"
	@echo "              compare $(TORTURE_HISTORIES) histories with a plain model of all exports"
	@echo "make bench    measure against DuckDB, Polars and chDB; writes benchmarks/output/"
	@echo "make packages build a release into dist/: source package, wheel, and what it is made of"
	@echo "make docs     build the documentation site into build/docs"
	@echo "make format   format the code and apply safe fixes"
	@echo "make generate generate the blocking client from the asynchronous one"
	@echo "make screenshots show each page of the console at three widths, light and dark, below screenshots/"
	@echo "make old-homes make the homes of earlier commits that tests upgrade"
	@echo "make lock     compile requirements/*.in to pinned, hashed requirements"
	@echo "make clean    remove everything that was made here"

demo: .make/run
	$(BIN)/engagement demo

unit: .make/test
	TMPDIR=$(TEST_FOLDER) $(PYTEST) tests/unit $(SHARED) $(UNIT_PROCESSES)

test: .make/test .make/docs .make/node .make/browser
	TMPDIR=$(TEST_FOLDER) $(PYTEST) $(SHARED) $(TEST_PROCESSES)

coverage: .make/test .make/node
	$(PYTEST) tests/unit tests/integration tests/contract/deliver $(SHARED) $(UNIT_PROCESSES) --cov --cov-report=
	@for floor in $(COVERAGE_FLOORS); do \
		echo "$${floor%=*}, at least $${floor#*=} %:"; \
		$(BIN)/coverage report --include="src/engagement/$${floor%=*}/*" \
			--fail-under="$${floor#*=}" || exit 1; \
	done

check: .make/test
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

torture: .make/test .make/node .make/browser
	$(PYTEST) tests/unit --hypothesis-profile thorough $(SHARED) $(UNIT_PROCESSES)
	$(PYTEST) -m slow --kills $(TORTURE_KILLS) --bodies $(TORTURE_BODIES) \
		--histories $(TORTURE_HISTORIES)
	$(PYTEST) -m attack --full-counts
	$(PYTEST) tests/acceptance/test_pages.py tests/durability/test_cluster_planted.py --full-counts
	$(PYTEST) tests/durability/test_torture.py -k faulty_line --kills $(TORTURE_EXPORTS)
	$(PYTEST) tests/acceptance/test_contracts.py --examples $(TORTURE_EXAMPLES)
	$(PYTEST) tests/contract/test_azure_signatures.py --signatures $(TORTURE_SIGNATURES)

bench: .make/bench .make/node
	$(BIN)/python -m benchmarks

packages: .make/test
	$(BIN)/python tools/build_packages.py dist

docs: .make/docs
	$(BIN)/python tools/build_docs.py build/docs
	@echo "Open build/docs/index.html"

format: .make/test
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

generate: .make/test
	$(BIN)/python tools/generate_sync_client.py

screenshots: .make/test .make/browser
	$(BIN)/python tools/make_screenshots.py

old-homes: .make/test
	$(BIN)/python tools/make_old_homes.py

lock: .make/lock
	$(COMPILE) --extra server --extra otel --output-file requirements/run.txt pyproject.toml requirements/run.in
	$(COMPILE) --output-file requirements/test.txt requirements/test.in
	$(COMPILE) --output-file requirements/docs.txt requirements/docs.in
	$(COMPILE) --output-file requirements/bench.txt requirements/bench.in

clean:
	rm -rf .make .venv tests/azurite/node_modules tests/sdk/node_modules tests/browser/node_modules tests/openid/node_modules assets/node_modules $(VENDOR) demo-output screenshots benchmarks/output build dist
	rm -f .coverage .coverage.*
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -rf src/*.egg-info

$(BIN)/python:
	$(PYTHON) -m venv .venv

# The build back end comes from run.txt too, so nothing is fetched that is not pinned.
.make/run: $(BIN)/python requirements/run.txt pyproject.toml .make/assets
	$(PIP) --require-hashes --requirement requirements/run.txt
	$(PIP) --no-deps --no-build-isolation --editable .
	@mkdir -p .make && touch $@

# What the console draws charts with: copied from its pinned package, never from a page's own network.
VENDOR := src/engagement/server/console/static/vendor
.make/assets: $(wildcard assets/package*.json)
	@mkdir -p .make $(VENDOR)
	@if command -v npm >/dev/null; then \
		npm ci --prefix assets --ignore-scripts --no-audit --no-fund --loglevel=error && \
		cp assets/node_modules/uplot/dist/uPlot.iife.min.js assets/node_modules/uplot/dist/uPlot.min.css $(VENDOR)/ && \
		cp assets/node_modules/uplot/LICENSE $(VENDOR)/uPlot.LICENSE; \
	else echo "npm is missing, so the console shows charts as tables."; fi
	@touch $@

.make/test: .make/run requirements/test.txt
	$(PIP) --require-hashes --requirement requirements/test.txt
	@touch $@

.make/docs: .make/test requirements/docs.txt
	$(PIP) --require-hashes --requirement requirements/docs.txt
	@touch $@

.make/bench: .make/test requirements/bench.txt
	$(PIP) --require-hashes --requirement requirements/bench.txt
	@touch $@

.make/lock: $(BIN)/python
	$(PIP) pip-tools
	@mkdir -p .make && touch $@

# Azurite, the Azure Blob emulator that the delivery tests write to, the published Node SDKs, and the
# OpenID provider that tests sign in at.
.make/node: $(wildcard tests/azurite/package*.json tests/sdk/package*.json tests/openid/package*.json)
	npm ci --prefix tests/azurite --ignore-scripts --no-audit --no-fund --loglevel=error
	npm ci --prefix tests/sdk --ignore-scripts --no-audit --no-fund --loglevel=error
	npm ci --prefix tests/openid --ignore-scripts --no-audit --no-fund --loglevel=error
	@mkdir -p .make && touch $@

# Chromium, which the tests of the console look at its pages with, and what they look for barriers with.
.make/browser: $(wildcard tests/browser/package*.json)
	command -v chromium >/dev/null || { apt-get update && \
		DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends chromium fonts-dejavu-core; }
	npm ci --prefix tests/browser --ignore-scripts --no-audit --no-fund --loglevel=error
	@mkdir -p .make && touch $@
