# The chores of this project; `make` alone lists them.
#
# Needs nothing but Python 3.11 or newer with venv, make and git. Everything goes into .venv, from
# requirements.lock, every file of it checked against its hash.
#   make test PYTHON=python3.13    another Python, in a venv of its own
#   make test ARGS="-k cancel"     arguments for the tool behind the target

ARGS ?=
UV = uv==0.13.8

ifdef PYTHON
PYTHONS = $(PYTHON)
VENV ?= .venv-$(shell "$(PYTHON)" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
else
PYTHONS = python3.13 python3.12 python3.11 python3
VENV ?= .venv
endif

# Most tests wait for processes, so that a third worker still finds something to do on two cores.
SPREAD = --numprocesses 3 --dist loadfile

BIN = $(VENV)/bin
READY = $(VENV)/.ready
PIP = $(BIN)/python -m pip --disable-pip-version-check --quiet

# The tests start hundreds of processes; without bytecode each would compile all it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test check lint coverage format bench docs lock clean

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' $(MAKEFILE_LIST) | while IFS='	' read -r target does; do \
	  printf '  make %-10s %s\n' "$$target" "$$does"; done

demo: $(READY) ## Run the main job on real input and show it
	@PATH="$$(cd $(BIN) && pwd):$$PATH" sh docs/demo.sh

test: $(READY) ## Run the tests: offline, without a model
	@$(BIN)/python -m pytest $(SPREAD) $(ARGS)

check: lint coverage ## All that must pass before a push

lint: $(READY) ## Format, lint, types, imports, security, generated docs
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo --no-cache
	@$(BIN)/bandit --quiet --recursive --configfile pyproject.toml aish backends terma
	@$(BIN)/python docs/generate.py --check

coverage: $(READY) ## The tests again, with the branches they reach, those of child processes too
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest $(SPREAD) $(ARGS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

format: $(READY) ## Format the code, and mend what the linter can mend
	@$(BIN)/ruff check --fix --exit-zero --quiet .
	@$(BIN)/ruff format .

bench: $(READY) ## Measure, and write docs/explanation/performance.md
	@$(BIN)/python -m tests.bench $(ARGS)

docs: $(READY) ## Write the generated pages anew
	@$(BIN)/python docs/generate.py

lock: ## Write requirements.lock for pyproject.toml; ARGS=--upgrade renews every version
	@$(call make_venv,.venv-lock)
	@.venv-lock/bin/python -m pip --disable-pip-version-check --quiet install $(UV)
	@.venv-lock/bin/uv pip compile pyproject.toml --output-file requirements.lock --quiet \
	  --universal --python-version 3.11 --all-extras --group dev \
	  --generate-hashes --no-emit-index-url --custom-compile-command "make lock" $(ARGS)

clean: ## Remove all that these targets made
	rm -rf .venv .venv-* build dist htmlcov .coverage .coverage.* snapshot_report.html
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A candidate counts only if it runs: a version manager's shim may stand for nothing.
make_venv = \
  for python in $(PYTHONS); do \
    "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
      || continue; \
    echo "Making $(1) with $$python, once" >&2; \
    exec "$$python" -m venv --clear $(1); \
  done; \
  echo "error: no Python 3.11 or newer that can make a venv (tried: $(PYTHONS))" >&2; \
  echo "hint: install one (on Debian: apt-get install python3 python3-venv) or name it:" >&2; \
  echo "      make PYTHON=/path/to/python3 $(or $(MAKECMDGOALS),test)" >&2; \
  exit 1

$(VENV)/.locked: requirements.lock
	@$(call make_venv,$(VENV))
	@$(PIP) install --require-hashes --requirement requirements.lock
	@touch $@

$(READY): $(VENV)/.locked pyproject.toml
	@$(PIP) install --no-build-isolation --no-deps --editable .
	@touch $@
