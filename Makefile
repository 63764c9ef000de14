# Every target is one that people use, and the only ones that CI uses. `make` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
CARGO ?= cargo
# Tools that cargo installs, and the testbed's programs, are cached here.
export SLIPWAY_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/slipway
TOOLS := $(SLIPWAY_CACHE)/tools
DENY_VERSION := 0.20.0
DENY := $(TOOLS)/bin/cargo-deny
MDBOOK_VERSION := 0.5.4
MDBOOK := $(TOOLS)/bin/mdbook
TESTBED := $(CARGO) run --quiet -p testbed --bin testbed --
export INSTA_UPDATE ?= no

.PHONY: help
help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build everything
	$(CARGO) build --workspace --all-targets

.PHONY: fmt
fmt: ## Format the code
	$(CARGO) fmt --all

.PHONY: lint
lint: $(DENY) ## Check format, lints, dependencies and charts
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --quiet -- -D warnings
	$(DENY) --all-features check --hide-inclusion-graph bans licenses sources

$(DENY):
	$(CARGO) install --locked --quiet --root $(TOOLS) cargo-deny@$(DENY_VERSION)

.PHONY: generate
generate: ## Write what is generated: crds/, the chart's copies, manifests/install.yaml, the tables of docs/reference
	$(CARGO) run --quiet --example generate
	$(TESTBED) exec helm -- template slipway charts/slipway --namespace slipway-system --no-hooks > manifests/install.yaml.new
	mv manifests/install.yaml.new manifests/install.yaml

.PHONY: verify
verify: generate ## Check that what is generated is up to date
	git diff --exit-code -- crds charts manifests docs

.PHONY: ui
ui: ## Build the dashboard's user interface into ui/dist, and run its unit tests; an operator built without it says so
	ui/build.sh

.PHONY: docs
docs: $(MDBOOK) ## Build the documentation as a site, into target/docs, and follow every link in it that does not leave it
	rm -rf target/docs
	$(CARGO) build --quiet --example book
	$(MDBOOK) build
	$(CARGO) run --quiet --example book -- check target/docs

$(MDBOOK):
	$(CARGO) install --locked --quiet --root $(TOOLS) --no-default-features --features search mdbook@$(MDBOOK_VERSION)

.PHONY: test
test: ## Run all tests: unit, API server, browser, end to end on a node; prints times per part
	tests/run.sh ui unit worlds api node

.PHONY: test-unit
test-unit: ## Run the tests that need nothing
	tests/run.sh unit worlds

.PHONY: test-api
test-api: ## Run the tests that need an API server: one of the testbed's, or SLIPWAY_TEST_KUBECONFIG; the browser's among them
	tests/run.sh ui api

.PHONY: test-node
test-node: ## Run the end-to-end tests on a node that runs pods
	tests/run.sh node

.PHONY: e2e-full
e2e-full: ## Run everything, with the long versions of the randomised tests
	SLIPWAY_TEST_FULL=1 tests/run.sh ui unit worlds api node testbed bench

.PHONY: pictures
pictures: ## Draw docs/pictures anew, from real runs
	SLIPWAY_PICTURES=$(CURDIR)/docs/pictures tests/run.sh ui pictures

.PHONY: bench-rollout
bench-rollout: ## Measure Rollouts on scripted nodes: time, CPU, memory, API calls; prints figures beside goals; COUNT=… or AT_REST=… (UPDATE=1)
	$(CARGO) build --release --quiet --bin slipway
	$(CARGO) run --quiet -p testbed --bin bench -- rollout $(if $(COUNT),--count $(COUNT)) $(if $(AT_REST),--at-rest $(AT_REST) $(if $(UPDATE),--update))

.PHONY: bench-environment
bench-environment: ## Measure promotions of many Environments: from a Release to what should run, CPU, memory, API calls; COUNT=… RELEASES=…
	$(CARGO) build --release --quiet --bin slipway
	$(CARGO) run --quiet -p testbed --bin bench -- environment $(if $(COUNT),--count $(COUNT)) $(if $(RELEASES),--releases $(RELEASES))

.PHONY: bench-pipeline
bench-pipeline: ## Measure runs of Pipelines on scripted nodes: queue, overhead per stage, CPU, memory, API calls; COUNT=…
	$(CARGO) build --release --quiet --bin slipway
	$(CARGO) run --quiet -p testbed --bin bench -- pipeline $(if $(COUNT),--count $(COUNT))

.PHONY: bench-analysis
bench-analysis: ## Simulate rollouts: how often comparisons with stable are wrong, and how soon they are right; SEED=… RUNS=… PICTURE=…
	$(CARGO) run --release --quiet --example analysis -- $(if $(SEED),--seed $(SEED)) $(if $(RUNS),--runs $(RUNS)) $(if $(PICTURE),--picture $(PICTURE))

.PHONY: fuzz
fuzz: ## Fuzz what reads what others wrote, with libFuzzer; FOR=… seconds for each target (60; 0 builds and lists them), TARGET=… for one
	fuzz/run.sh $(or $(FOR),60) $(TARGET)

.PHONY: demo
demo: ## Tell the whole story on a cluster of its own; DEMO_CONTEXT=… for one of yours, NEGATIVE=1 to see it fail
	$(CARGO) run --quiet -p testbed --bin demo -- $(if $(NEGATIVE),--negative)

.PHONY: demo-down
demo-down: ## Remove everything that the demo made
	$(CARGO) run --quiet -p testbed --bin demo -- down

.PHONY: up
up: ## Start a cluster to try things on; `make down` removes it
	$(TESTBED) up

.PHONY: down
down: ## Remove the cluster that `make up` started
	$(TESTBED) down

.PHONY: release
release: ui ## Build what is released into dist/release: programs, chart, SBOM, checksums; ARCHES="amd64 arm64", SIGNING_KEY=… signs
	$(TESTBED) build syft
	./release.sh build dist $(or $(ARCHES),amd64)
	SYFT="$(TESTBED) exec syft --" ./release.sh pack dist dist/release

.PHONY: clean
clean: ## Remove what was built here; the cache of programs stays
	$(CARGO) clean
	rm -rf ui/dist ui/node_modules ui/tests/node_modules
