# Everything is installed into .venv and .cache of this checkout.
SHELL := /bin/bash
CACHE := $(CURDIR)/.cache
PYTHON ?= python3
UV := $(CACHE)/uv/bin/uv
UV_VERSION := 0.13.9
export UV_CACHE_DIR := $(CACHE)/uv-cache
export UV_LINK_MODE := hardlink
BIN := $(CURDIR)/.venv/bin

.PHONY: help install collector demo test lint format docs clean
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
