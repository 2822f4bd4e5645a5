# Two commands matter: make run, make test. Everything they need goes into .venv and .local.

SHELL := /bin/sh
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.PHONY: help run test soak bench screenshots accessibility lighthouse check schema setup assets lock clean

# Workers, servers and tests start a hundred Pythons of the same code, which is compiled once and kept.
unexport PYTHONDONTWRITEBYTECODE

PYTHON := .venv/bin/python
DJANGO := $(PYTHON) manage.py
ARGS ?=

# A machine names its Pythons in many ways; the first new enough one is taken.
CANDIDATES := python3.14 python3.13 python3.12 python3.11 python3 python
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' Makefile

run: setup ## install, start everything, serve on PORT (8000); Ctrl-C stops it
	@exec $(PYTHON) -m config.supervisor

test: setup assets ## the whole suite on every core, browser tests included (ARGS="-k board")
	@$(PYTHON) -m pytest -n logical --maxprocesses 8 --dist worksteal -q $(ARGS)

soak: setup assets ## the long tests, and the laws with many more examples
	@env TEST_DEPTH=25 $(PYTHON) -m pytest -m "soak or hypothesis" -q $(ARGS)

bench: setup assets ## throughput and latency into bench/results.json (SCALE= chooses the size)
	@$(PYTHON) -m bench $(ARGS)

screenshots: setup assets ## every page, light and dark, wide and narrow, into .local/screenshots
	@$(PYTHON) -m bench.screenshots $(ARGS)

accessibility: setup assets ## axe and a ruler over every page of the demo, both themes, wide and at 400 %
	@$(PYTHON) -m bench.accessibility $(ARGS)

lighthouse: setup assets ## Lighthouse's scores of the main pages (needs Node.js with npm)
	@$(PYTHON) -m bench.lighthouse $(ARGS)

check: setup ## formatting, lint, types, import contracts, templates, migrations, deployment, schema
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m mypy .
	@.venv/bin/lint-imports
	@git ls-files -co --exclude-standard 'templates/*.html' | xargs -r .venv/bin/djade --check --target-version 5.2
	@.venv/bin/djlint --lint --quiet templates
	@$(DJANGO) makemigrations --check --dry-run
	@env DJANGO_SETTINGS_MODULE=config.settings.production ALLOWED_HOSTS=parity.example \
	  SECRET_KEY="$$($(PYTHON) -c 'import secrets; print(secrets.token_urlsafe(64))')" \
	  LEDGER_SEAL_KEY="$$($(PYTHON) -c 'import secrets; print(secrets.token_urlsafe(64))')" \
	  DATABASE_URL=postgresql://parity_app@127.0.0.1:1/parity CELERY_BROKER_URL=redis://127.0.0.1:1/0 EMAIL_HOST=127.0.0.1 \
	  $(DJANGO) check --deploy --fail-level WARNING
	@mkdir -p .local && $(DJANGO) spectacular --validate --fail-on-warn --file .local/openapi.yaml && \
	  { cmp -s .local/openapi.yaml docs/openapi.yaml || { echo "docs/openapi.yaml is not what the code says: make schema" >&2; exit 1; }; }

schema: setup ## write docs/openapi.yaml from the code
	@$(DJANGO) spectacular --validate --fail-on-warn --file docs/openapi.yaml

# The lock that is installed is kept in .venv: as long as it equals requirements.lock there is nothing to do.
setup: ## make .venv and install requirements.lock into it
	@if ! $(PYTHON) -c '$(NEW_ENOUGH)' 2>/dev/null; then \
	  for name in $(CANDIDATES); do \
	    if $$name -c '$(NEW_ENOUGH)' 2>/dev/null; then python=$$name; break; fi; \
	  done; \
	  if [ -z "$$python" ]; then \
	    echo "Python 3.11 or newer is needed; found $$(python3 --version 2>/dev/null || echo none)." >&2; exit 1; \
	  fi; \
	  rm -rf .venv; \
	  if ! said=$$($$python -m venv .venv 2>&1); then \
	    rm -rf .venv; \
	    case "$$said" in \
	      *"o space left"*) echo "The disk is full: no space left for .venv." ;; \
	      *) echo "$$python cannot make .venv; on Debian and Ubuntu install its package python3-venv." ;; \
	    esac >&2; exit 1; \
	  fi; \
	fi
	@if ! cmp -s requirements.lock .venv/requirements.lock; then \
	  echo "Installing what requirements.lock names ..."; \
	  if ! said=$$($(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock 2>&1); then \
	    case "$$said" in \
	      *"o space left"*) echo "The disk is full: no space left for .venv." ;; \
	      *) echo "$$said" | grep -i '^error' | tail -n 1 | grep . || echo "$$said" | tail -n 1 ;; \
	    esac >&2; exit 1; \
	  fi; \
	  cp requirements.lock .venv/requirements.lock; \
	fi

assets:
	@$(PYTHON) -m config.prepare assets

lock: ## resolve pyproject.toml again into requirements.lock (needs uv)
	@uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-header --quiet -o requirements.lock

clean: ## remove .venv and all local data, the embedded database included
	@if [ -x $(PYTHON) ]; then $(PYTHON) -m config.embedded stop; fi
	@rm -rf .venv .local .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
