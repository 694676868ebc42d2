# The targets that a person calls. `make` alone lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SYSTEM_PACKAGES := git sqlite3 openssl bubblewrap fiu-utils \
  qemu-system-x86 mmdebstrap uidmap squashfs-tools lz4 \
  openssh-server gh chromium fonts-dejavu-core

NPM_PACKAGES := nodejs npm  # for agents; other builds of nodejs bring npm, and conflict with Debian's

# Each run is a process of its own, which should not compile the program anew. `make clean` removes what is compiled.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run demo test test-quick lint types check system-deps backup restore drain vendor chaos bench forge-live vm-image vm-test agents agents-test clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

run: $(VENV)/.run  ## serve http://127.0.0.1:8080 (sets up .venv and data/ by itself)
	@exec $(BIN)/python app.py

demo: $(VENV)/.run  ## build the sample project in the terminal, on a fresh data folder
	@$(BIN)/python -m hitl.demo

test: $(VENV)/.test  ## run the tests, all that need no virtual machine and no real coding agent
	@$(BIN)/python -m pytest -n 3 --dist loadfile

test-quick: $(VENV)/.test  ## the tests that need no server, no browser and no chaos (about two minutes)
	@SWARM_MODEL_EXAMPLES=3 $(BIN)/python -m pytest -n 3 --dist loadfile tests/test_*.py tests/engine tests/hitl tests/model/test_engine_model.py

lint: $(VENV)/.test  ## look for mistakes and bad style
	@$(BIN)/ruff check --no-cache .

types: $(VENV)/.test  ## check the types
	@$(BIN)/mypy --cache-dir=$(VENV)/mypy

check: lint types test  ## lint, types and tests: what CI runs

system-deps:  ## install the Debian packages for the optional parts (as root)
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(SYSTEM_PACKAGES) \
	  $$(command -v npm > /dev/null || echo $(NPM_PACKAGES))

backup: $(VENV)/.run  ## copy the database to data/backups/ (the server may be running)
	@$(BIN)/python -m engine.commands.backup $(FILE)

restore: $(VENV)/.run  ## put a backup in the place of the database: make restore FILE=… (server stopped)
	@$(BIN)/python -m engine.commands.backup --restore $(FILE)

drain: $(VENV)/.run  ## start nothing new and wait until what runs has ended
	@$(BIN)/python -m engine.commands.drain

vendor:  ## bring the vendored htmx anew, as hitl/static/vendor/README.md says (needs npm)
	cd "$$(mktemp -d)" && npm pack --silent htmx.org@4.0.1 && tar xzf htmx.org-4.0.1.tgz && \
	  cp package/dist/htmx.min.js $(CURDIR)/hitl/static/vendor/htmx.min.js && cp package/LICENSE $(CURDIR)/hitl/static/vendor/htmx.LICENSE

chaos: $(VENV)/.test  ## kill everything at every named point and at random, 200 rounds and 2,500 model examples (takes long)
	@SWARM_MODEL_EXAMPLES=2500 $(BIN)/python -m pytest tests/model/test_engine_model.py
	@$(BIN)/python -m tests.whole.chaos --rounds 200

vm-image: $(VENV)/.run  ## build the image for virtual machines into data/images (as root; about a minute)
	@$(BIN)/python -m engine.image

vm-test: $(VENV)/.test  ## the tests that boot virtual machines: every promise, hostile guests, a whole build (about 10 minutes)
	@$(BIN)/python -m pytest -m vm

forge-live: $(VENV)/.test  ## try a delivery on a real forge: see docs/delivery.md (asks for its own variables, else does nothing)
	@$(BIN)/python tests/whole/forge_live.py

agents: $(VENV)/.run  ## install coding agents, in pinned versions, into data/agents: all, or make agents AGENTS="codex claude"
	@$(BIN)/python -m engine.agents.packages $(AGENTS)

agents-test: $(VENV)/.test  ## the tests with real coding agents, in bubblewrap and in virtual machines (about an hour)
	@$(BIN)/python -m pytest -m agents

bench: $(VENV)/.bench  ## measure claims, inserts, dispatch, pages and peers, side by side (about 15 minutes)
	@$(BIN)/python -m bench

clean:  ## remove .venv and what tests left; data/ stays
	rm -rf $(VENV) *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A virtual environment is complete when its mark is written: a broken install is begun again.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; $(PYTHON) is older. Try: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@command -v git >/dev/null || { echo "git is needed: apt-get install git"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "This Python has no venv. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }

$(VENV)/.run: $(VENV)/bin/python setup.cfg
	@echo "Setting up $(VENV) …"
	@$(BIN)/pip install -q --disable-pip-version-check -e .
	@touch $@

$(VENV)/.test: $(VENV)/bin/python setup.cfg
	@echo "Setting up $(VENV) for tests …"
	@$(BIN)/pip install -q --disable-pip-version-check -e '.[test,check]'
	@touch $@ $(VENV)/.run

$(VENV)/.bench: $(VENV)/.test
	@$(BIN)/pip install -q --disable-pip-version-check -e '.[bench]'
	@touch $@
