# Two commands matter: `make demo` and `make test`. `make help` lists the rest.

SWIFT ?= swift
PYTHON ?= python3
LORA = .build/release/lora
JUPYTER = .venv/bin/jupyter

.PHONY: help demo build test test-c sanitize fuzz bench test-bench notebooks test-notebooks test-kernel test-interop notebook-kernel lint format \
  clean dependencies

help:
	@echo "make demo            install what is missing, build, run the digit experiment"
	@echo "make test            build and run all tests"
	@echo "make test-c          the C kernels for every instruction set, as far as qemu is installed"
	@echo "make sanitize        the tests under ThreadSanitizer and AddressSanitizer; TESTS=<pattern> for some of them"
	@echo "make fuzz            every reader of files on FUZZ=20000 broken ones each; SANITIZE=address"
	@echo "make build           build $(LORA)"
	@echo "make notebooks       set up JupyterLab and a Swift kernel in .venv, open the notebooks"
	@echo "make test-notebooks  run every notebook from top to bottom"
	@echo "make test-kernel     the tests of the notebook kernel"
	@echo "make test-interop    against Python's safetensors, peft and tokenizers, in a virtual environment of their own"
	@echo "make bench           time it; with PYTHON=<a Python with torch, peft, transformers> against its peers"
	@echo "make test-bench      every program of the benchmarks once, in its smallest size"
	@echo "make lint            check the format of all sources"
	@echo "make clean           remove what was built"

dependencies:
	@Scripts/install-dependencies.sh

build: dependencies
	$(SWIFT) build -c release

demo: build
	$(LORA) digits --report report.html --save digits

test: dependencies
	$(SWIFT) build -c release --build-tests
	$(SWIFT) test -c release --skip-build

test-c:
	SWIFT=$(SWIFT) Tests/Kernels/run.sh

# TESTS: which; SANITIZERS: one of the two. Each has a folder of its own.
TESTS ?= .
SANITIZERS ?= thread address
sanitize: dependencies
	Tests/Kernels/run.sh $(SANITIZERS) undefined
	set -e; for sanitizer in $(SANITIZERS); do \
	  LSAN_OPTIONS=suppressions=$(CURDIR)/Tests/Fixtures/fuzz/foundation.supp $(SWIFT) test -c release --sanitize=$$sanitizer \
	    --scratch-path .build-$$sanitizer --filter '$(TESTS)'; \
	done

# FUZZ: how many broken files each reader gets. SANITIZE=address: under AddressSanitizer.
FUZZ ?= 20000
fuzz: dependencies
	FUZZ=$(FUZZ) LSAN_OPTIONS=suppressions=$(CURDIR)/Tests/Fixtures/fuzz/foundation.supp $(SWIFT) test -c release \
	  $(if $(SANITIZE),--sanitize=$(SANITIZE) --scratch-path .build-$(SANITIZE)) --filter FuzzTests

bench: dependencies
	SWIFT=$(SWIFT) PYTHON=$(PYTHON) Benchmarks/run.sh

test-bench: dependencies
	SWIFT=$(SWIFT) PYTHON=$(PYTHON) Benchmarks/run.sh --shortest

$(JUPYTER): JupyterKernel/requirements.txt
	@Scripts/install-dependencies.sh --python
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check -r JupyterKernel/requirements.txt
	@touch $@

# Builds the kernel's worker and the library for cells; nothing is done where both are current.
notebook-kernel: dependencies $(JUPYTER)
	cd JupyterKernel && ../.venv/bin/python -m swift_kernel install --sys-prefix --name swift-lora \
	  --display-name "Swift (LoRA)" --package ..

# JupyterLab shows the figures of notebooks that it trusts.
notebooks: notebook-kernel
	$(JUPYTER) trust Notebooks/*.ipynb
	$(JUPYTER) lab --notebook-dir Notebooks $(if $(filter 0,$(shell id -u)),--allow-root)

test-notebooks: notebook-kernel
	JupyterKernel/execute-notebooks Notebooks $(JUPYTER)

test-kernel: dependencies $(JUPYTER)
	cd JupyterKernel && ../.venv/bin/python -m pytest -q tests

test-interop: build
	Tests/Interop/run.sh

# The C is checked where clang-format is installed; versions 14 to 19 agree on it.
C_SOURCES = $(wildcard Sources/CKernels/*.[ch] Sources/CKernels/include/*.h Tests/Kernels/*.c)
lint:
	$(if $(shell command -v clang-format),clang-format --dry-run -Werror $(C_SOURCES),@echo "clang-format is not installed: the C is not checked.")
	$(SWIFT) format lint --strict --recursive Package.swift Sources Tests Benchmarks/Package.swift Benchmarks/Sources \
	  JupyterKernel/Worker

format:
	$(if $(shell command -v clang-format),clang-format -i $(C_SOURCES))
	$(SWIFT) format --in-place --recursive Package.swift Sources Tests Benchmarks/Package.swift Benchmarks/Sources \
	  JupyterKernel/Worker

clean:
	rm -rf .build .build-thread .build-address .venv Benchmarks/.build
