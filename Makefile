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

.PHONY: generate lint generate-check
generate: $(TOOLS) $(BUILD)/thirdparty ## write gen/ from proto/
	$(BUF) generate

lint: $(TOOLS) $(BUILD)/thirdparty ## buf lint (with the rule that every RPC says who may call it), buf format, gofmt, go vet
	$(BUF) lint
	$(BUF) format --diff --exit-code >/dev/null
	test -z "$$(gofmt -l $$(git ls-files '*.go' | grep -v ^gen/) | tee /dev/stderr)"
	go vet ./...

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
