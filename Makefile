# The commands of this repository. The logic is in scripts/.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup setup-check setup-proofs build run test proofs mutants crash model reference planted projects bench bench-runner bench-compare fuzz check crds openapi schemathesis chart observability release-dry-run fmt smoke demo cluster-up cluster-down cluster-load e2e clean-state

# Which build `make cluster-load` (default dev) and `make e2e` (default release) take; whether `make e2e` does as much as fits into
# twenty minutes.
PROFILE ?=
E2E_SHORT ?=

# How long `make crash` goes on: faults, or seconds; and the seed of an earlier one.
CYCLES ?= 100
SECONDS_MAX ?= 1200
SEED ?=

# How many random sequences of each kind `make reference` tries.
CASES ?= 1000

# Where `make run` listens, and whether it ends after the first run.
LISTEN ?= 127.0.0.1:8080
ONCE ?=

# How long `make fuzz` runs each of its targets, in seconds.
SECONDS ?= 60

# Whether `make bench` is quick, and what `make bench-compare` compares with.
QUICK ?=
BASE ?=

help: ## List the commands
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what is missing (on Debian; elsewhere it says what you need)
	@scripts/setup.sh

setup-check: setup ## Install the optional tools of `make check` too (takes minutes)
	@scripts/setup.sh --check

setup-proofs: setup ## Install the optional tools of `make proofs` too (takes minutes)
	@scripts/setup.sh --proofs

build: ## Build the programs into target/debug
	cargo build --workspace --bins --locked

run: setup ## Start everything, run a first job, keep serving (ONCE=1: stop after it)
	@LISTEN="$(LISTEN)" ONCE="$(ONCE)" scripts/run.sh

test: setup ## Build, then run every test that needs no cluster and no second build
	@scripts/test.sh

proofs: setup-proofs ## Prove the promises, each part in its short form (PROOFS_ONLY="model crash": only these)
	@scripts/proofs.sh

mutants: setup-proofs ## Change the rules of runs in every small way: a test has to notice each
	@scripts/mutants.sh

crash: setup ## Kill everything at random moments under load, and check (CYCLES=100 SECONDS_MAX=1200 SEED=)
	@CYCLES="$(CYCLES)" SECONDS_MAX="$(SECONDS_MAX)" SEED="$(SEED)" scripts/crash.sh

model: setup ## Explore every interleaving of small systems under the lease protocol (minutes)
	@scripts/model.sh

reference: setup ## Compare random operations on a real database with a reference (CASES=1000)
	@CASES="$(CASES)" scripts/reference.sh

planted: setup ## Prove the checks: one of them has to catch every planted bug
	@scripts/planted.sh

projects: setup ## Deploy and run 30 real Python projects from the package index (needs the network)
	@scripts/projects.sh

bench: setup ## Measure the release build and write benches/report.md (QUICK=1: shorter, nothing kept)
	@QUICK="$(QUICK)" scripts/bench.sh

bench-runner: setup ## Measure the runner of the release build (BASE=<commit>: alternating with that commit's)
	@scripts/bench-runner.sh "$(BASE)"

schemathesis: setup ## Fuzz a real server from openapi.json, in every role (EXAMPLES=12 SEED= ROLES=)
	@scripts/schemathesis.sh

openapi: ## Regenerate openapi.json from the handlers
	@MINITOWER_UPDATE_OPENAPI=1 cargo test -q -p minitower-rest --lib the_committed_file

bench-compare: ## Compare the server's speed with that of another commit (BASE=<commit>)
	@scripts/bench-compare.sh "$(BASE)"

fuzz: ## Feed random archives, Towerfiles and bodies to what reads them, SECONDS each (nightly toolchain)
	@scripts/fuzz.sh "$(SECONDS)"

check: ## Check formatting, lints, licences, advisories, scripts, chart, docs
	@scripts/check.sh

crds: ## Regenerate crds/ and what depends on it from the operator's types
	@scripts/crds.sh

chart: ## Regenerate the chart's README and snapshots, and check the chart (needs Go)
	@scripts/chart.sh --write

observability: ## Check alerts, their tests and the dashboard
	@scripts/observability.sh

release-dry-run: ## Make the files of a release from the programs in target/
	@scripts/release.sh dry-run

fmt: ## Format the sources
	cargo fmt --all

smoke: build ## Run the end-to-end test that needs only curl
	@scripts/smoke.sh

demo: ## Give the Compose services something to do
	@scripts/demo-compose.sh --loop

cluster-up: ## Start a local Kubernetes (root, Debian; the first time takes minutes)
	@tests/cluster/cluster up

cluster-down: ## Stop it and remove everything except its caches
	@tests/cluster/cluster down

cluster-load: ## Build the programs and their images, load them into it (PROFILE=release, or dev)
	@PROFILE="$(PROFILE)" scripts/images.sh

e2e: setup ## Install the product on a real Kubernetes and run real jobs there (E2E_SHORT=1: shorter; PROFILE=dev; E2E_ONLY=chart::)
	@PROFILE="$(PROFILE)" E2E_SHORT="$(E2E_SHORT)" scripts/e2e.sh

clean-state: ## Delete what `make run` has kept
	rm -rf .minitower
