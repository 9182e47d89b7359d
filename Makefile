# The one place of entry. `make help` lists what there is.

BUILD := swift build -c release
GANTRY := .build/release/gantry
KUBECTL_VERSIONS ?= 31 37

.PHONY: help deps build test lint format bench quickstart stop fuzz

help:
	@awk -F':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

deps: ## install the Debian packages that are missing
	@scripts/install-deps

build: deps ## build the release binary: .build/release/gantry
	$(BUILD) --product gantry

test: deps ## lint, build once (release), run every test with real containers and real kubectl
	@scripts/test

lint: ## formatting, scripts, generated tables
	@scripts/lint

format: ## rewrite the sources in the project's format
	swift format format --in-place --recursive Sources Tests Benchmarks Package.swift

bench: deps ## every benchmark, as a table of ratios
	@scripts/bench

quickstart: deps ## build, start a cluster, deploy the example, check that it answers
	@scripts/quickstart

stop: ## stop what quickstart started and leave nothing behind
	@scripts/stop
