# Targets: all, demo, weights, test (of it: test-go, test-race, test-purego, test-qemu), test-device,
# test-ranges, fuzz, lint, cross, bench, bench-peers, perf-model, icount, deb, release, clean; see README.md.

GO          ?= go
QEMU        ?= qemu-aarch64
STATICCHECK ?= $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2

MODEL  := build/resnet50.q8
PHOTOS := testdata/photos
# The classes of boards, by core: Zero 2 W and Pi 3, Pi 4, Pi 5, newer.
CORES  := cortex-a53 cortex-a72 cortex-a76 max
PLATFORMS := linux/arm64 linux/amd64 linux/arm darwin/arm64 windows/amd64

export GO
export CGO_ENABLED = 0

.PHONY: all demo test test-go test-race test-purego test-qemu lint cross bench weights clean
all: bin/quantize bin/edge-classify

# Go's build cache decides what is out of date.
.PHONY: bin/quantize bin/edge-classify bin/edge-classify-arm64
bin/quantize bin/edge-classify:
	$(GO) build -trimpath -o $@ ./cmd/$(@F)
bin/edge-classify-arm64:
	GOOS=linux GOARCH=arm64 $(GO) build -trimpath -o $@ ./cmd/edge-classify

demo: all bin/edge-classify-arm64
	bin/quantize fetch resnet50-keras
	mkdir -p build
	bin/quantize build -model resnet50-keras -out $(MODEL)
	bin/edge-classify -model $(MODEL) $(PHOTOS)
	@if command -v $(QEMU) >/dev/null; then scripts/same-bits.sh $(MODEL) $(PHOTOS) $(QEMU) $(CORES); \
	else echo "$(QEMU) is not installed (Debian: apt-get install qemu-user), so the arm64 program was not run."; fi

# Tests. What a RUN is says internal/gotest.
.PHONY: bin/gotest
bin/gotest:
	$(GO) build -o $@ ./internal/gotest

# More packages at a time than cores, since many wait for a clock.
RUN_GO := -p 4 -timeout 30m ./...
# Memory that threads share. Kernels in Go, since the race detector sees no
# assembly; it needs cgo, which no program here does.
RUN_RACE := -need "gcc: apt-get install gcc libc6-dev" CGO_ENABLED=1 -p 4 -race -short -tags purego \
  ./internal/threadpool ./stream ./capture ./live ./fleet ./events ./trainer ./classify ./runtime
# What runs on CPUs without kernels of their own.
RUN_PUREGO := -short -tags purego ./int8/... ./q8 ./runtime ./internal/sgemm ./internal/kerneltest
# The packages whose bits count, as arm64 programs: kernels on every class of
# board, and what has no kernel of its own on the oldest.
ON_CORE = -- -need "$(QEMU): apt-get install qemu-user" ARM64_CORE=$(1) GOARCH=arm64 -short -exec "$(QEMU) -cpu $(1)"
RUN_QEMU := $(foreach core,$(CORES),$(call ON_CORE,$(core)) ./arm64/... ./int8/... ./runtime/...) \
  $(call ON_CORE,$(firstword $(CORES))) ./q8 ./internal/sgemm/... ./preprocess/...

# Tests on real weights need them in the cache; without they skip and say so.
test: bin/gotest weights
	bin/gotest $(RUN_GO) -- $(RUN_RACE) -- $(RUN_PUREGO) $(RUN_QEMU)
test-go: bin/gotest weights
	bin/gotest $(RUN_GO)
test-race: bin/gotest
	bin/gotest $(RUN_RACE)
test-purego: bin/gotest
	bin/gotest $(RUN_PUREGO)
test-qemu: bin/gotest
	bin/gotest $(RUN_QEMU)

# The arm64 program on an arm64 kernel with virtual cameras and pins, and as a service on
# Debian, in ten minutes.
# It fails where no test ran; TestColourNetwork needs no kernel.
DEVICE_CACHE ?= $(CURDIR)/build/device
.PHONY: test-device
test-device: bin/gotest weights
	bin/gotest DEVICE_CACHE="$(DEVICE_CACHE)" -count=1 -timeout 40m -skip '^TestColourNetwork$$' ./device

# Whether the search finds the shipped range table again, on the kind of CPU that
# made it: as long as all other tests.
.PHONY: test-ranges
test-ranges: bin/gotest weights
	bin/gotest SEARCH_RANGES=1 -count=1 -timeout 60m -run '^TestSearchFindsTheShippedTable$$' ./cmd/quantize

weights: bin/quantize
	@bin/quantize fetch resnet50-keras || { [ -z "$$CI" ] && echo "Going on without weights: tests that need them will skip."; }

lint:
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo "run gofmt -w on these files" >&2; exit 1; }
	$(GO) vet ./...
	GOARCH=arm64 $(GO) vet ./...
	$(STATICCHECK) ./...
	$(GO) mod tidy -diff

# Whether the generated files are what their sources give.
.PHONY: generated
generated:
	$(GO) generate ./internal/onnxpb
	git diff --exit-code -- internal/onnxpb

cross:
	@set -e; for p in $(PLATFORMS); do echo "== $$p"; \
	  GOOS=$${p%/*} GOARCH=$${p#*/} $(GO) build -trimpath -o /dev/null ./cmd/quantize; \
	  GOOS=$${p%/*} GOARCH=$${p#*/} $(GO) build -trimpath -o /dev/null ./cmd/edge-classify; done

bench:
	$(GO) test -run '^$$' -bench . ./...

# Speed and logits beside ONNX Runtime, OpenVINO and LiteRT, of any networks: FILE.q8=FLOAT ...
NETWORKS ?= $(MODEL)=resnet50-keras
.PHONY: bench-peers peers
bench-peers: peers $(foreach n,$(NETWORKS),$(firstword $(subst =, ,$n)))
	$(GO) run ./scripts/bench-peers $(NETWORKS)

PEERS := build/peers
peers: $(PEERS)/node_modules/onnxruntime-node $(PEERS)/venv/installed
$(PEERS)/node_modules/onnxruntime-node:
	npm install --ignore-scripts --no-save --no-audit --no-fund --prefix $(PEERS) onnxruntime-node@1.30.0
$(PEERS)/venv/installed:
	python3 -m venv $(@D)
	$(@D)/bin/pip install --quiet openvino==2026.4.1 ai-edge-litert==2.3.0
	touch $@

# Speed of the arm64 kernels without a board: cycles by a static model, and
# instructions of an inference under QEMU.
.PHONY: perf-model icount
perf-model: bin/edge-classify-arm64 $(MODEL)
	$(GO) run ./internal/perfmodel -program $< $(addprefix -model ,$(MODEL))
icount: bin/edge-classify-arm64 $(MODEL)
	scripts/icount.sh $(MODEL) $(QEMU) $(CORES)

build/resnet50.q8:
	$(MAKE) weights
	mkdir -p $(@D)
	bin/quantize build -model resnet50-keras -out $@

# What users download, for each platform of the list; and the Debian package for
# boards with a 64-bit system alone.
.PHONY: release deb
release:
	$(GO) run ./internal/release -out build/release
deb:
	$(GO) run ./internal/release -deb -platforms linux/arm64 -out build

# All fuzz targets, for FUZZTIME each.
FUZZTIME ?= 10s
.PHONY: fuzz
fuzz:
	scripts/fuzz.sh $(FUZZTIME)

clean:
	rm -rf bin build
