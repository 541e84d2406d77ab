# `make run` and `make test` do everything; `make help` lists the rest.
#
# Every Python found here gets a virtual environment, .venv/X.Y. What has been done in one is a
# file in it (have-build, built, have-test, ...), so that nothing is done twice.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PRECIOUS: .venv/%/bin/python .venv/%/have-build .venv/%/have-test .venv/%/have-lint \
	.venv/%/have-docs .venv/%/built
MAKEFLAGS += --no-print-directory

ifndef BATONLOOP_STARTED
export BATONLOOP_STARTED := $(shell date +%s)
endif

# The versions to work with, the best first; `make test PYTHONS="3.12"` restricts them.
ifndef PYTHONS
PYTHONS := $(shell scripts/pythons.sh)
endif
# The one for what needs only one: run, lint, docs.
PYTHON ?= $(firstword $(PYTHONS))
# What `make run` runs, and the arguments for it.
PROGRAM ?= examples/tour.py
ARGS ?=
# Whose tests `make conformance` runs: CPython's (conformance), or uvicorn.
SUITE ?= conformance

RUST_SOURCES := Cargo.toml Cargo.lock pyproject.toml .cargo/config.toml \
	$(shell find crates -name '*.rs' -path '*/src/*' -o -name build.rs -o -name Cargo.toml)

# How many random programs each Python compares, and the seed of others than those of every run;
# without them scripts/test.sh decides.
ifdef PROGRAMS
export BATONLOOP_PROGRAMS := $(PROGRAMS)
endif
ifdef SEED
export BATONLOOP_SEED := $(SEED)
endif

.PHONY: help run build test test-rust test-python lint bench bench-net bench-suite count docs \
	conformance pythons lock clean need

help:
	@echo 'make run          build in release mode and run the tour on batonloop'
	@echo '                  (any other program: make run PROGRAM=path ARGS="one two")'
	@echo 'make test         all tests, on every Python found (PYTHONS="3.12 3.13" restricts)'
	@echo '                  (PROGRAMS=20000 compares so many random programs, SEED=7 other ones)'
	@echo 'make test-rust    the Rust tests alone'
	@echo 'make test-python  the Python tests alone'
	@echo 'make conformance  the asyncio tests of CPython alone'
	@echo '                  (SUITE=uvicorn: those of uvicorn, which are fetched for it)'
	@echo 'make lint         rustfmt, clippy, tidy, ruff, mypy, stubtest, links of the documents'
	@echo 'make bench        batonloop against asyncio and other loops, in tables'
	@echo 'make bench-net    the same for servers and transports, under load'
	@echo 'make bench-suite  the async benchmarks of pyperformance, unmodified, on each loop'
	@echo 'make count        instructions of each operation, against the committed counts'
	@echo 'make docs         the documentation as a site: documents, reference, crates'
	@echo 'make build        the extension module, for every Python found'
	@echo 'make pythons      fetch the Pythons that are not here, without root'
	@echo 'make lock         renew the locked versions in requirements/'
	@echo 'make clean        remove everything that make has made'

run: need .venv/$(PYTHON)/built
	@.venv/$(PYTHON)/bin/python -m batonloop $(PROGRAM) $(ARGS)

build: need $(PYTHONS:%=.venv/%/built)

test: build $(PYTHONS:%=.venv/%/have-test)
	@scripts/test.sh all $(PYTHONS)

test-rust: need .venv/$(PYTHON)/bin/python
	@scripts/test.sh rust $(PYTHONS)

test-python: build $(PYTHONS:%=.venv/%/have-test)
	@scripts/test.sh python $(PYTHONS)

conformance: build
	@scripts/test.sh $(SUITE) $(PYTHONS)

lint: need .venv/$(PYTHON)/built .venv/$(PYTHON)/have-test .venv/$(PYTHON)/have-lint
	@scripts/need.sh rustfmt clippy
	@scripts/lint.sh $(PYTHON)

# bench/run.py fetches the loops to compare with; these two Pythons have releases of them.
BENCH_PYTHONS = $(filter 3.12 3.13,$(PYTHONS))
bench: need $(BENCH_PYTHONS:%=.venv/%/built)
	@.venv/$(firstword $(BENCH_PYTHONS))/bin/python bench/run.py \
		$(BENCH_PYTHONS:%=--python .venv/%/bin/python) $(ARGS)

bench-net: need $(BENCH_PYTHONS:%=.venv/%/built)
	@.venv/$(firstword $(BENCH_PYTHONS))/bin/python bench/net.py \
		$(BENCH_PYTHONS:%=--python .venv/%/bin/python) $(ARGS)

bench-suite: need $(BENCH_PYTHONS:%=.venv/%/built)
	@.venv/$(firstword $(BENCH_PYTHONS))/bin/python bench/suite.py \
		$(BENCH_PYTHONS:%=--python .venv/%/bin/python) $(ARGS)

count: need $(BENCH_PYTHONS:%=.venv/%/built)
	@.venv/$(firstword $(BENCH_PYTHONS))/bin/python bench/count.py \
		$(BENCH_PYTHONS:%=--python .venv/%/bin/python) $(ARGS)

docs: need .venv/$(PYTHON)/built .venv/$(PYTHON)/have-docs
	@scripts/docs.sh $(PYTHON)

pythons:
	@scripts/need.sh python
	@scripts/getpython.sh missing

lock: need .venv/$(PYTHON)/bin/python
	@scripts/lock.sh $(PYTHON)

clean:
	rm -rf target .venv python/batonloop/*.so .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +

need:
	@scripts/need.sh cargo cc python

# An interpreter that has gone leaves a dangling link, which make takes for a missing file.
.venv/%/bin/python:
	@scripts/venv.sh $*

.venv/%/have-build: requirements/build.txt | .venv/%/bin/python
	@scripts/install.sh $* build

.venv/%/have-test: requirements/test.txt | .venv/%/bin/python
	@scripts/install.sh $* test

.venv/%/have-lint: requirements/lint.txt | .venv/%/bin/python
	@scripts/install.sh $* lint

.venv/%/have-docs: requirements/docs.txt | .venv/%/bin/python
	@scripts/install.sh $* docs

.venv/%/built: $(RUST_SOURCES) .venv/%/have-build
	@scripts/build.sh $*
