# Sluice. `make help` lists the targets.
FUZZTIME ?= 10s
SEEDS    ?= 100
KAFKA_SEEDS ?= 10
ROUNDS   ?= 100
GOLANGCI ?= go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.5.0
CYCLONEDX ?= go run github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0
GOVULNCHECK ?= go run golang.org/x/vuln/cmd/govulncheck@v1.6.0
RELEASE   = $(shell git describe --tags --always --dirty 2>/dev/null)
SKIPPED  := $(shell mktemp -u)

.PHONY: help build test test-fast e2e race soak soak-kafka differential cross lint vulnerabilities check sbom bench growth fuzz demo clean

help: ## list the targets
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-10s %s\n", $$1, $$2}'

build: ## build bin/gateway
	go build -trimpath -ldflags "-s -w -X $(shell go list -m)/cmd/gateway/cli.release=$(RELEASE)" -o bin/gateway ./cmd/gateway

# The longest tests wait more than they work: they begin first, and a third package runs beside them.
LONGEST := ./testing/protocol ./cmd/gateway/workbench

# Each part runs whatever became of the others; the last lines say what has failed, and what was not run.
test: ## run everything, real Kafka included where Java and Maven are found
	@rm -f $(SKIPPED); mkdir -p artifacts; failed=; \
	export SLUICE_TEST_SKIPPED=$(SKIPPED); \
	part() { name=$$1; shift; echo "== $$name"; "$$@" || failed="$$failed$$name; "; }; \
	part "unit and protocol tests" go test -race -shuffle=on -timeout 40m -p 3 -artifacts -outputdir $(CURDIR)/artifacts $$(go list $(LONGEST)) $$(go list ./... | grep -v -e /testing/e2e -e /testing/differential -e /wasm/meter); \
	part "allocations and metering, without the race detector" go test -timeout 40m ./testing/bench ./plugins/wasm/meter; \
	go test -tags waits -timeout 40m ./testing/protocol > artifacts/waits.log 2>&1 & waits=$$!; \
	waited() { wait $$waits; passed=$$?; cat artifacts/waits.log; return $$passed; }; \
	part "dashboards and alerts" go -C testing/telemetry test -count=1 .; \
	part "Kafka in containers" go -C testing/kafkatest/containers test -count=1 .; \
	part "the OpenTelemetry Collector" go -C testing/telemetry/collector test -count=1 .; \
	part "other platforms" make --no-print-directory cross; \
	part "beside Kafka" go test -v -timeout 20m ./testing/differential; \
	part "protocol tests in which every request waits" waited; \
	part "real Kafka" go test -v -timeout 2h ./testing/e2e/...; \
	echo; \
	if [ -s $(SKIPPED) ]; then echo "### NOT RUN: $$(tr '\n' ';' < $(SKIPPED)) install java (JDK 17), maven, prometheus, python3, chromium, cargo with wasm32-unknown-unknown, clang and wasi-libc, or start a Docker engine, to run them"; rm -f $(SKIPPED); fi; \
	if [ -n "$$failed" ]; then echo "### FAILED: $$failed"; exit 1; fi; echo "### all parts have passed"

test-fast: ## run what needs neither Java nor real Kafka
	go test -shuffle=on -timeout 40m $$(go list ./... | grep -v -e /testing/e2e -e /testing/differential -e /testing/kafkatest)

e2e: ## run the tests on real Kafka alone
	go test -v -timeout 2h ./testing/e2e/...

race: ## run the unit and protocol tests under the race detector
	go test -race -shuffle=on -timeout 40m $$(go list ./... | grep -v -e /testing/e2e -e /testing/differential)

differential: ## compare answers with Kafka's, ROUNDS random requests for each API and version; SEED=n makes the same ones again
	SLUICE_DIFFERENTIAL_ROUNDS=$(ROUNDS) SLUICE_DIFFERENTIAL_SEED=$(or $(SEED),$(shell date +%s)) go test -v -count=1 -timeout 3h ./testing/differential

cross: ## build the gateway and the demo for every platform
	@for os in linux darwin windows; do for arch in amd64 arm64; do echo "$$os/$$arch"; CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch go build -o /dev/null ./cmd/gateway && CGO_ENABLED=0 GOOS=$$os GOARCH=$$arch go build -o /dev/null ./examples/failover || exit 1; done; done

soak: ## run SEEDS random schedules of moves on fakes; SEED=n is the first
	SLUICE_SOAK_SEEDS=$(SEEDS) SLUICE_SOAK_SEED=$(SEED) go test -v -count=1 -timeout 3h -run TestSoak ./testing/soak

soak-kafka: ## run KAFKA_SEEDS random schedules of moves on real Kafka; SEED=n is the first
	SLUICE_SOAK_SEEDS=$(KAFKA_SEEDS) SLUICE_SOAK_SEED=$(SEED) go test -v -count=1 -timeout 3h -run TestSoakOnRealKafka ./testing/e2e

lint: ## check format and style
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo "run gofmt -w on these files"; exit 1; }
	go vet ./...
	$(GOLANGCI) run

# Its exit codes do not tell a database that can't be reached from what it found; what it says does.
vulnerabilities: ## ask the Go vulnerability database, if it can be reached, about what the gateway calls
	@out=$$($(GOVULNCHECK) ./cmd/gateway 2>&1); code=$$?; \
	if [ $$code = 0 ]; then echo "no known vulnerability is called"; \
	elif echo "$$out" | grep -q -e "vuln.go.dev" -e "proxy.golang.org" && ! echo "$$out" | grep -q "Vulnerability #"; then echo "### NOT RUN: govulncheck: the vulnerability database can't be reached"; \
	else echo "$$out"; exit $$code; fi

check: lint vulnerabilities build test-fast ## what must be green before a commit

sbom: build ## write artifacts/sbom.cdx.json, which lists the modules of bin/gateway (CycloneDX)
	@mkdir -p artifacts
	$(CYCLONEDX) bin -json -version "$(RELEASE)" -output artifacts/sbom.cdx.json bin/gateway

bench: ## run the benchmarks
	go test -run '^$$' -bench . -benchmem ./testing/bench ./core/kafka ./core/console ./plugins/wasm/meter
	go run ./testing/bench/report

growth: ## measure what answers cost with 100 to 10,000 topics over two clusters
	go run ./testing/bench/growth

fuzz: ## run every fuzz target for FUZZTIME
	@for p in $$(go list ./...); do for f in $$(go test -list '^Fuzz' $$p | grep '^Fuzz'); do echo "$$p $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$p || exit 1; done; done

demo: ## run the failover demo
	go run ./examples/failover

clean: ## remove what was built
	rm -rf bin artifacts
