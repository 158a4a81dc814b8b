# RealGuardIO. `make run` and `make test` need Go, Node and make, and set up the rest.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

BUILD := .build
BUF := PATH="$(CURDIR)/proto/tools/node_modules/.bin:$$PATH" buf
TOOLS := $(BUILD)/bin/buf-plugin-policy

.PHONY: help
help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

## --- code generation -------------------------------------------------------------------------------------------------

.PHONY: generate lint
generate: $(TOOLS) $(BUILD)/thirdparty ## write gen/ from proto/
	$(BUF) generate
	mkdir -p gen/descriptors
	$(BUF) build proto --as-file-descriptor-set --exclude-source-info -o gen/descriptors/realguardio.binpb
	$(BUF) generate --template examples/greeter/buf.gen.yaml

lint: $(TOOLS) $(BUILD)/thirdparty ## buf lint (with the rule that every RPC says who may call it), buf format, gofmt, go vet
	$(BUF) lint
	$(BUF) format --diff --exit-code >/dev/null
	test -z "$$(gofmt -l $$(git ls-files '*.go' | grep -v ^gen/) | tee /dev/stderr)"
	go vet ./...

.PHONY: generate-check breaking
generate-check: generate ## fail when gen/ is not what proto/ gives
	@test -z "$$(git status --porcelain -- gen examples/greeter/gen | tee /dev/stderr)" || \
		{ echo "gen/ is stale: run 'make generate' and commit the result" >&2; exit 1; }

# The last release, or before the first one the commit before this one.
BREAKING_AGAINST ?= $(shell git describe --tags --match 'v*' --abbrev=0 2>/dev/null || git rev-parse --quiet --verify HEAD^)
breaking: $(TOOLS) $(BUILD)/thirdparty ## fail when the API breaks its callers (against BREAKING_AGAINST)
	rm -rf $(BUILD)/base && mkdir -p $(BUILD)/base
	@test -n "$(BREAKING_AGAINST)" || { echo "breaking: no earlier revision to compare with"; exit 0; }; \
	git archive $(BREAKING_AGAINST) proto buf.yaml | tar -x -C $(BUILD)/base && \
	printf 'version: v2\nmodules: [{path: proto, excludes: [proto/tools]}, {path: thirdparty}]\n' >$(BUILD)/base/buf.yaml && \
	cp -r $(BUILD)/thirdparty $(BUILD)/base/thirdparty && \
	$(BUF) breaking proto --against $(BUILD)/base/proto

$(TOOLS): proto/tools/go.mod proto/tools/buf-plugin-policy/main.go proto/tools/package-lock.json
	cd proto/tools && npm ci --no-fund --no-audit --loglevel=error
	cd proto/tools && go build -o ../../$(BUILD)/bin/ ./buf-plugin-policy \
		google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc \
		github.com/grpc-ecosystem/grpc-gateway/v2/protoc-gen-grpc-gateway \
		github.com/grpc-ecosystem/grpc-gateway/v2/protoc-gen-openapiv2
	touch $@

$(BUILD)/thirdparty: proto/tools/go.mod proto/tools/thirdparty/main.go
	rm -rf $@
	cd proto/tools && go run ./thirdparty ../../$@
	touch $@
