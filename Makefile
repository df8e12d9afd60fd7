# Musubi: build, run, test. `make` alone lists what there is.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)

# Extra flags for the command that a target runs, e.g. make run ARGS='--listen 127.0.0.1:9000'.
ARGS ?=
# What `make test` tests: all packages, or some of them, e.g. make test PKG=./policies/...
PKG ?= ./...
# Which benchmarks `make bench` runs (a regular expression), and how long each.
BENCH     ?= .
BENCHTIME ?= 1s
# How long `make fuzz` runs each target, and the folders whose targets it runs: what anybody can send to the certificate core, and to the login;
# the files that administrators load.
FUZZTIME  ?= 10m
FUZZDIRS  ?= identity/cert cmd/certd identity/samlidp identity/oidcop connectors/sandbox/relying connectors/sandbox/samlsp connectors/sandbox/visitor cmd/musubi/signin sync/bizcal sync/escalate
# The list of local governments for `make national`, and how many people each gets.
ORGS   ?= ../shared/data/localgov.csv
PEOPLE ?= 30

# In CI the race detector is on (it needs gcc) and a test that can't find its database fails instead of skipping. It watches all code
# but the embedded database, which is C in Go's clothes: watching each of its memory accesses would double the time and find nothing of ours.
TESTFLAGS := -shuffle=on
ifdef CI
TESTFLAGS += -race -gcflags='modernc.org/...=-race=false' -timeout=30m
endif

TOOLS   := .cache/tools
INTEROP := deploy/interop
FIRSTPARTY := $(wildcard cmd connectors identity policies sync) $(INTEROP)

.PHONY: help build run test soak fuzz scale bench lint fmt interop national clean

help: ## list the targets
	@echo "Musubi, version $(VERSION)."
	@echo
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo "First time: make run. It builds the hub, starts it beside a sandbox of the SaaS, and does the main job before your eyes."
	@echo "Before a commit: make fmt lint test. What CI does: bash .ci/run"
	@echo "Variables: ARGS, PKG, BENCH, BENCHTIME, FUZZTIME, FUZZDIRS, ORGS, PEOPLE; each is explained at the top of the Makefile."

build: ## compile bin/musubi and bin/certd: one file each, no cgo, nothing else needed beside them
	@CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/musubi ./cmd/certd

run: build ## the demonstration: import a sample, plan, approve, apply, and look at it
	@exec bin/musubi demo $(ARGS)

test: ## vet and all tests; with CI set also the race detector
	$(GO) vet $(PKG)
	$(GO) test $(TESTFLAGS) $(PKG)

soak: ## the chaos tests at length: a hundred kills per database, crashes of PostgreSQL, full disks, clocks that jump; two nodes on one budget for an hour; 10,000 sequences of requests for each of five kinds; some minutes
	MUSUBI_SOAK=1 $(GO) test -count=1 -timeout 60m -run Chaos -v ./sync/jobs
	MUSUBI_SOAK=1 $(GO) test -count=1 -timeout 60m -run Hour -v ./sync/quota
	MUSUBI_SOAK=1 $(GO) test -count=1 -timeout 180m -run Simulated -v ./sync/provision
	MUSUBI_SCHEDULES=1000000 MUSUBI_RIVER_SCHEDULES_sqlite=3000 MUSUBI_RIVER_SCHEDULES_postgres=500 GOGC=400 $(GO) test -count=1 -timeout 24h -run 'FaultSchedules(ThroughRiver)?$$' ./sync/provision
	MUSUBI_SOAK=1 $(GO) test -count=1 -timeout 120m -run 'TestKill$$' -v ./cmd/musubi
	MUSUBI_SOAK=1 $(GO) test -count=1 -timeout 60m -run Belief -v ./connectors/atlassian ./connectors/jira ./connectors/slack

fuzz: ## every fuzz target of the certificate core, of SAML, OpenID, the login pages, calendars and ladders (FUZZDIRS), FUZZTIME each, two at a time
	@dirs=$$(grep -rl --include='*_test.go' '^func Fuzz' $(FUZZDIRS) | xargs -r -n1 dirname | sort -u); \
	if [ -z "$$dirs" ]; then echo "make fuzz: no fuzz target in $(FUZZDIRS)"; exit 1; fi; \
	for dir in $$dirs; do \
		grep -hoE '^func Fuzz[A-Za-z0-9_]*' $$dir/*_test.go | sed "s,^func ,./$$dir ,"; \
	done | xargs -P2 -L1 bash deploy/ci/fuzz.sh '$(GO)' '$(FUZZTIME)'

scale: ## what needs size more than the race detector: 10,000 random sequences of requests with faults over all connectors, whose belief must be what the sandbox holds; as many schedules of events of an inquiry; the national list with 60,000 people out and in again
	$(GO) test -count=1 -run TestNationRoundTrip ./identity/directory
	MUSUBI_SEQUENCES=2000 GOGC=400 $(GO) test -count=1 -run Belief ./connectors/atlassian ./connectors/jira ./connectors/slack
	MUSUBI_SCHEDULES=10000 MUSUBI_RIVER_SCHEDULES_sqlite=300 MUSUBI_RIVER_SCHEDULES_postgres=50 GOGC=400 $(GO) test -count=1 -timeout 30m -run 'FaultSchedules(ThroughRiver)?$$' ./sync/provision
	MUSUBI_SCHEDULES=10000 $(GO) test -count=1 -run 'AnySchedule|AnyOrder|PausedTime' ./sync/escalate

bench: ## every benchmark, in the packages that have one
	@packages=$$(grep -rl --include='*_test.go' '^func Benchmark' $(FIRSTPARTY) | xargs -r -n1 dirname | sort -u | sed 's,^,./,'); \
	if [ -z "$$packages" ]; then echo "make bench: no package has a benchmark"; exit 1; fi; \
	if command -v node >/dev/null && command -v npm >/dev/null; then $(MAKE) -s $(INTEROP)/node_modules/.package-lock.json; \
	else echo "make bench: without node and npm there is no comparison with npm oidc-provider"; fi; \
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchtime '$(BENCHTIME)' -benchmem $$packages
	MUSUBI_SOAK=1 $(GO) test -count=1 -timeout 60m -run 'TestSimulatedFirstLoad/leavers' -v ./sync/provision

lint: $(TOOLS)/golangci-lint $(TOOLS)/gofumpt ## golangci-lint and gofumpt; the first time builds both, some minutes
	@unformatted=$$($(TOOLS)/gofumpt -l $(FIRSTPARTY)); \
	if [ -n "$$unformatted" ]; then printf 'make lint: not formatted (run make fmt):\n%s\n' "$$unformatted"; exit 1; fi
	@GOLANGCI_LINT_CACHE=$(CURDIR)/.cache/golangci-lint $(TOOLS)/golangci-lint run --build-tags interop ./...

fmt: $(TOOLS)/gofumpt ## format all Go files
	@$(TOOLS)/gofumpt -l -w $(FIRSTPARTY)

# The tools have a module of their own, so that their hundreds of dependencies never meet ours.
$(TOOLS)/golangci-lint: deploy/tools/go.mod deploy/tools/go.sum
	@echo "building golangci-lint (once)"
	@cd deploy/tools && CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o ../../$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	@touch $@

$(TOOLS)/gofumpt: deploy/tools/go.mod deploy/tools/go.sum
	@echo "building gofumpt (once)"
	@cd deploy/tools && CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o ../../$@ mvdan.cc/gofumpt
	@touch $@

interop: ## tests against programs that others wrote; needs node 20 or newer, and Chromium for the pages
	@if command -v node >/dev/null && command -v npm >/dev/null; then \
		$(MAKE) -s $(INTEROP)/node_modules/.package-lock.json; \
		$(GO) test -count=1 -tags interop ./$(INTEROP)/... && \
		$(GO) test -count=1 -tags interop -run Chromium ./cmd/musubi/console ./cmd/musubi/signin; \
	elif [ -n "$${CI:-}" ]; then \
		echo "make interop: node and npm are not installed; CI needs node 20 or newer" >&2; exit 1; \
	else \
		echo "make interop: skipped: node and npm are not installed (node 20 or newer)"; \
	fi

$(INTEROP)/node_modules/.package-lock.json: $(INTEROP)/package-lock.json $(INTEROP)/package.json $(INTEROP)/.npmrc
	@cd $(INTEROP) && npm ci --ignore-scripts --no-progress --loglevel=error
	@touch $@

national: build ## the whole national list (ORGS=FILE) with PEOPLE each, in a temporary folder, twice: the second run plans nothing
	@bash deploy/ci/national.sh bin/musubi '$(ORGS)' '$(PEOPLE)' $(ARGS)

clean: ## remove what was built here, keep data/
	@rm -rf bin .cache $(INTEROP)/node_modules coverage.out
