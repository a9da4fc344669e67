# One command for each thing one does here; `make` alone lists them. People and CI use the same ones.
# The first that needs it makes .venv. PYTHON=/path/to/python chooses the interpreter it is made with.

PYTHON ?=
PY := .venv/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --quiet
COMPILED := $(PY) -m compileall -q dispatch simnet  # once, for the hundreds of interpreters that tests start,
export PYTHONDONTWRITEBYTECODE :=  # and what they import besides they may keep as well
ABREAST := -n auto --dist loadfile --max-worker-restart 0 --no-loadscope-reorder  # a file's tests in one process

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test coverage quick check fix docs bench setup clean distclean

help:  ## list the targets
	@echo "simnet and dispatch: what make can do"
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/.demo  ## break an echo server as tutorials write it, and show how
	@.venv/bin/simnet demo

test: .venv/.dev  ## all tests (under eight minutes on two cores)
	@$(COMPILED)
	$(PY) -m pytest $(ABREAST)

coverage: .venv/.dev  ## all tests, with branch coverage: which lines are dark (twice the time)
	@$(COMPILED)
	$(PY) -m pytest $(ABREAST) --cov --cov-report=term

quick: .venv/.dev  ## the tests that are not slow (under a minute)
	$(PY) -m pytest -q -m "not slow"

check: .venv/.dev  ## form and types: ruff, mypy --strict
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

fix: .venv/.dev  ## let ruff fix what it can, and format
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

docs: .venv/.dev  ## run every example in README.md and docs/
	$(PY) -m pytest -q tests/test_docs.py

bench: .venv/.dev  ## the figures of benchmarks/, beside their peers
	@set -e; for file in benchmarks/[a-z]*.py; do echo "== $$file"; $(PY) $$file; done

setup: .venv/.dev  ## make .venv with everything for development
	@echo "Ready: $$($(PY) --version) in .venv, activate it with: . .venv/bin/activate"

clean:  ## remove caches and reports (.venv stays)
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .nox htmlcov .coverage .coverage.* coverage.xml dist build
	find dispatch simnet tests scenarios docs benchmarks -name __pycache__ -prune -exec rm -rf {} +

distclean: clean  ## clean, and remove .venv too
	rm -rf .venv

# ---- the environment: two stamps, each as new as pyproject.toml ------------------------------------------------------

# A folder that was copied or moved carries an environment that points at its old place: make it again.
ifneq ($(shell cat .venv/.demo 2>/dev/null),$(CURDIR))
.PHONY: .venv/.demo
endif
ifneq ($(shell cat .venv/.dev 2>/dev/null),$(CURDIR))
.PHONY: .venv/.dev
endif

# The first interpreter that is at least 3.11 and able to make an environment (a name on PATH may be a shim for nothing).
define make_venv
@set -e; \
if [ "$$(cat .venv/.made 2>/dev/null || echo "$(CURDIR)")" = "$(CURDIR)" ] \
    && $(PY) -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then exit 0; fi; \
found=; \
for python in $(if $(PYTHON),$(PYTHON),python3.13 python3.12 python3.11 python3); do \
    if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$python; break; fi; \
done; \
if [ -z "$$found" ]; then \
    echo "No Python 3.11 or later: tried $(if $(PYTHON),$(PYTHON),python3.13 python3.12 python3.11 python3)." >&2; \
    echo "Install one (on Debian: apt install python3 python3-venv), or name it: make PYTHON=/path/to/python3" >&2; \
    exit 1; \
fi; \
if ! $$found -c 'import venv, ensurepip' 2>/dev/null; then \
    version=$$($$found -c 'import sys; print("python%d.%d" % sys.version_info[:2])'); \
    echo "$$found cannot make virtual environments: its venv and ensurepip modules are missing." >&2; \
    echo "Install them (on Debian: apt install $$version-venv), or choose another: make PYTHON=/path/to/python3" >&2; \
    exit 1; \
fi; \
echo "Making .venv with $$($$found --version), once ..."; \
$$found -m venv --clear .venv; \
echo "$(CURDIR)" > .venv/.made
endef

.venv/.demo: pyproject.toml
	$(make_venv)
	@echo "Installing what the demo needs ..."
	@$(PIP) install --editable '.[simnet]'
	@echo "$(CURDIR)" > $@

.venv/.dev: pyproject.toml
	$(make_venv)
	@echo "Installing what tests and checks need ..."
	@$(PIP) install --editable '.[dev]'
	@$(PIP) install --editable '.[guests]' || echo "Not all guests could be had: some tests of tests/guests/ will be skipped."
	@echo "$(CURDIR)" | tee .venv/.demo > $@
