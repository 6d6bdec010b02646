# `make` lists the targets. Each one prepares what it needs: `.venv` is made on first use and kept up to date.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do \
	"$$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo "$$name" && break; done)
BIN := .venv/bin
READY := .venv/.ready
SECONDS ?= 60
MINUTES ?= 30
CASES ?= 20000
PYTEST_ARGS ?=

.PHONY: help setup test lint format demo bench soak faults fuzz bombs shared essentia dashboard clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY)  ## make .venv and install the project into it, editable, with all extras

$(READY): pyproject.toml
	@test -n "$(PYTHON)" || { echo "soundscene needs Python 3.11, 3.12 or 3.13; make setup PYTHON=/path/to/python" >&2; exit 1; }
	@test -x $(BIN)/python || "$(PYTHON)" -m venv .venv || { rm -rf .venv; \
		echo "$(PYTHON) cannot make a virtual environment (Debian: apt-get install python3-venv)" >&2; exit 1; }
	@echo "Installing soundscene and its dependencies into .venv (about 2 minutes the first time) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $(READY)

test: lint  ## check style, types and layers, then run every test but the slow ones
	$(BIN)/pytest -m "not slow" -n 2 --dist loadfile --durations 10 $(PYTEST_ARGS)

lint: $(READY)  ## ruff, mypy --strict and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)  ## let ruff rewrite the sources
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

demo: $(READY)  ## sensors, Kafka, two workers and a live table for SECONDS (60), then the auditor's verdict
	@$(BIN)/python -m scripts.demo --seconds $(SECONDS)

bench: $(READY)  ## measure plugin, training and, on a real broker, the worker; writes benchmarks/RESULTS.md, 10 to 17 minutes
	@status=0; for part in plugin training worker; do $(BIN)/python -m benchmarks.$$part || status=1; done; \
		[ $$status = 0 ] || echo "A target was missed or a part could not be measured: see above."; exit $$status

soak: $(READY)  ## a worker under load for MINUTES (30): memory, threads, files, lag, catch-up, auditor's verdict
	@$(BIN)/python -m benchmarks.soak --minutes $(MINUTES)

faults: $(READY)  ## do to a real broker and its workers what can go wrong; writes docs/faults.md, 15 minutes
	@SOUNDSCENE_REQUIRE_SERVICES=1 SOUNDSCENE_FAULTS_PAGE=docs/faults.md $(BIN)/pytest tests/faults $(PYTEST_ARGS)

fuzz: $(READY)  ## CASES (20000) of hostile records and of misbehaving streams for each property
	@CASES=$(CASES) $(BIN)/pytest --timeout 3600 tests/stream_worker/messages/test_chunk_fuzz.py \
		tests/stream_worker/streams/test_seen_samples.py tests/stream_worker/broker/test_batches.py \
		tests/stream_worker/test_loop_fuzz.py $(PYTEST_ARGS)

bombs: $(READY)  ## read batches that unpack to a gigabyte, guarded and as the client alone does: memory of each, in bytes
	@for codec in gzip snappy lz4 zstd; do for reader in guarded library; do \
		echo "$$codec $$reader: $$($(BIN)/python -m tests.stream_worker.broker.bomb $$codec $$reader)"; done; done

shared: $(READY)  ## train on several devices and machines, 4 minutes; `make test` leaves the dearest of these out
	$(BIN)/pytest tests/train/test_machines.py tests/train/test_keras_trainer.py $(PYTEST_ARGS)

ESSENTIA := .venv-essentia/.ready

$(ESSENTIA):
	@test -x .venv-essentia/bin/python || "$(PYTHON)" -m venv .venv-essentia
	@echo "Installing essentia-tensorflow into .venv-essentia, apart from our TensorFlow (300 MB the first time) ..."
	@.venv-essentia/bin/python -m pip install --quiet --disable-pip-version-check essentia-tensorflow==2.1b6.dev1389
	@touch $@

essentia: $(READY) $(ESSENTIA)  ## run the frozen graphs in Essentia's own TensorFlow and compare
	$(BIN)/pytest tests/train/test_essentia_graphs.py $(PYTEST_ARGS)

dashboard: $(READY)  ## write deploy/grafana/dashboards/soundscene.json anew
	$(BIN)/python -m scripts.build_dashboard

clean:  ## remove .venv, caches and build results
	rm -rf .venv .venv-essentia .cache build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
