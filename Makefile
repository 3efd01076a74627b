# Each target is one command and needs no set-up before it. `make` lists them.
SHELL := /bin/bash
GO ?= go
BIN := bin/kbroker
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
FUZZTIME ?= 20s
CHAOSTIME ?= 10m
GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

.DEFAULT_GOAL := help
.PHONY: help run build test unit race lint fuzz bench compat kdiff chaos docs docker clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: build ## build and run a broker on localhost:9092, data in ./kbroker-data
	./$(BIN)

build: ## build the static binary into bin/
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/kbroker

test: unit compat kdiff ## everything that CI runs: unit tests, real clients (installs kcat), Kafka's answers beside ours where Java and Maven are

unit: ## vet and the tests of every package, without external clients
	$(GO) vet ./...
	$(GO) test -timeout 5m $$($(GO) list ./... | grep -v /compat-tests/)

race: ## the unit tests under the race detector
	$(GO) test -race $$($(GO) list ./... | grep -v /compat-tests/)

lint: ## golangci-lint with the linters of .golangci.yml
	$(GO) run $(GOLANGCI) run ./...

fuzz: ## every fuzz target for FUZZTIME (20s)
	@set -e; for f in $$(grep -rl --include='*_test.go' '^func Fuzz' . | sort); do d=$$(dirname $$f); \
	for t in $$(grep -oE '^func Fuzz[A-Za-z0-9_]+' $$f | cut -c6-); do echo "== $$d $$t"; \
	$(GO) test $$d -run '^$$' -fuzz "^$$t$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x; done; done

bench: build ## Go benchmarks, then kperf against this broker beside the floor (docs/performance.md)
	$(GO) test -run '^$$' -bench . -benchtime 1s ./storage/... ./wire/... ./handlers/...
	bench/run.sh

compat: build ## real clients against the built binary: franz-go, kcat, Java where there is one, and kill -9
	compat-tests/kcat/install.sh
	KBROKER_BIN=$(CURDIR)/$(BIN) $(GO) test -count=1 -p 1 -timeout 20m ./compat-tests/...

kdiff: build ## the same requests to Apache Kafka and to us, and every difference (needs Java and Maven)
	compat-tests/kdiff.sh

chaos: build ## CHAOSTIME (10m) of kill -9 under load, checked
	KBROKER_BIN=$(CURDIR)/$(BIN) KBROKER_CHAOS=$(CHAOSTIME) $(GO) test -count=1 -timeout 0 -v ./compat-tests/crash

docs: ## write the generated pages again: configuration reference, compatibility table
	$(GO) run ./cmd/kbroker docs --out docs

docker: ## build the container image
	docker build --build-arg VERSION=$(VERSION) -t kbroker:$(VERSION) -t kbroker:latest .

clean: ## remove what was built
	rm -rf bin
