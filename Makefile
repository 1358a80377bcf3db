# Two commands matter: `make demo` and `make test`. `make help` lists the rest.

SWIFT ?= swift
PYTHON ?= python3
LORA = .build/release/lora
JUPYTER = .venv/bin/jupyter

.PHONY: help demo build test fuzz bench test-bench notebooks test-notebooks test-kernel test-interop notebook-kernel lint format \
  clean dependencies

help:
	@echo "make demo            install what is missing, build, run the digit experiment"
	@echo "make test            build and run all tests"
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

# FUZZ: how many broken files each reader gets. SANITIZE=address: under AddressSanitizer.
FUZZ ?= 20000
fuzz: dependencies
	FUZZ=$(FUZZ) LSAN_OPTIONS=suppressions=$(CURDIR)/Tests/Fixtures/fuzz/foundation.supp $(SWIFT) test -c release \
	  $(if $(SANITIZE),--sanitize=$(SANITIZE) --scratch-path .build-$(SANITIZE)) --filter FuzzTests

bench: dependencies
	SWIFT=$(SWIFT) PYTHON=$(PYTHON) Benchmarks/run.sh

test-bench: dependencies
	SWIFT=$(SWIFT) PYTHON=$(PYTHON) Benchmarks/run.sh --shortest

$(JUPYTER): JupyterKernel/pyproject.toml
	@Scripts/install-dependencies.sh --python
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check --editable './JupyterKernel[development]'
	@touch $@

# Builds the kernel's worker and the library for cells; nothing is done where both are current.
notebook-kernel: dependencies $(JUPYTER)
	.venv/bin/python -m swift_kernel install --sys-prefix --name swift-lora --display-name "Swift (LoRA)" --package .

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

lint:
	$(SWIFT) format lint --strict --recursive Package.swift Sources Tests Benchmarks/Package.swift Benchmarks/Sources \
	  JupyterKernel/swift_kernel/Worker

format:
	$(SWIFT) format --in-place --recursive Package.swift Sources Tests Benchmarks/Package.swift Benchmarks/Sources \
	  JupyterKernel/swift_kernel/Worker

clean:
	rm -rf .build .venv Benchmarks/.build
