# Two commands matter: `make demo` and `make test`. `make help` lists the rest.

SWIFT ?= swift
PYTHON ?= python3
BUILT = .build$(if $(MPI),-mpi)/release
LORA = $(BUILT)/lora
JUPYTER = .venv/bin/jupyter

.PHONY: help demo page page-engine build man completions test test-c test-page sanitize sanitize-c fuzz bench test-bench notebooks \
  test-notebooks test-kernel test-interop test-mpi notebook-kernel examples docs lint format clean dependencies dist test-dist \
  install version

help:
	@echo "make demo            install what is missing, build, run the digit experiment"
	@echo "make page            write lora.html, in which LoRA trains before your eyes"
	@echo "make test            build and run all tests"
	@echo "make test-c          the C kernels for every instruction set, as far as qemu is installed"
	@echo "make sanitize        the tests under ThreadSanitizer and AddressSanitizer; TESTS=<pattern> for some of them"
	@echo "make sanitize-c      the C kernels under these, and for undefined behaviour: two minutes"
	@echo "make fuzz            every reader of files on FUZZ=20000 broken ones each; SANITIZE=address"
	@echo "make build           build $(LORA); MPI=1: to train on several processes and machines, in .build-mpi"
	@echo "make man             its manual pages, in .build/man"
	@echo "make completions     its completions for bash and zsh, in .build/completions"
	@echo "make install         put it with these into PREFIX=/usr/local; DESTDIR for packagers"
	@echo "make dist            what others install, in dist: a program that needs nothing, a wheel, a .deb"
	@echo "make test-dist       install that in an empty virtual environment and a bare Debian, and run it"
	@echo "make notebooks       set up JupyterLab and a Swift kernel in .venv, open the notebooks"
	@echo "make test-notebooks  run every notebook from top to bottom"
	@echo "make test-kernel     the tests of the notebook kernel"
	@echo "make test-page       the page in a real browser: Chromium, driven from Python"
	@echo "make test-mpi        training on several ranks, with Open MPI or MPICH, against one process"
	@echo "make test-interop    against Python's safetensors, peft and tokenizers, in a virtual environment of their own"
	@echo "make bench           time it; with PYTHON=<a Python with torch, peft, transformers> against its peers"
	@echo "make test-bench      every program of the benchmarks once, in its smallest size"
	@echo "make examples        build and run Examples and a client package, from a folder outside"
	@echo "make docs            the documentation of every public symbol, with articles, as pages in $(DOCS)"
	@echo "make lint            check the format of all sources"
	@echo "make clean           remove what was built"

dependencies:
	@Scripts/install-dependencies.sh

# With MPI=1 in a folder of its own, since every module is then compiled anew.
WITH_MPI = --traits MPI --scratch-path .build-mpi
build: dependencies
	$(if $(MPI),Scripts/install-dependencies.sh --mpi)
	$(SWIFT) build -c release $(SWIFTFLAGS) $(if $(MPI),$(WITH_MPI))

# By swift-argument-parser's tool.
man: build
	SWIFT=$(SWIFT) Packaging/build-man.sh $(LORA) .build/man

# bash: source it, or copy it to ~/.local/share/bash-completion/completions. zsh: copy it to a folder of $$fpath.
completions: build
	mkdir -p .build/completions
	$(LORA) --generate-completion-script bash > .build/completions/lora
	$(LORA) --generate-completion-script zsh > .build/completions/_lora

PREFIX ?= /usr/local
install: man
	Packaging/install.sh $(BUILT) $(DESTDIR)$(PREFIX) .build/man

# The version has one place, the program's source.
VERSION = $(shell sed -n 's/.*static let version = "\(.*\)"/\1/p' Sources/lora/LoRACommand.swift)
version:
	@echo $(VERSION)

dist: dependencies
	Scripts/install-dependencies.sh --dist
	SWIFT=$(SWIFT) Packaging/build-dist.sh dist/build
	SWIFT=$(SWIFT) Packaging/build-man.sh dist/build/lora dist/man
	PYTHON=$(PYTHON) Packaging/build-wheel.sh dist/build dist
	Packaging/build-archive.sh dist/build dist $(VERSION)
	$(if $(shell command -v dpkg-deb),Packaging/build-deb.sh dist/build dist $(VERSION),@echo "dpkg-deb is not installed: no .deb.")

test-dist:
	PYTHON=$(PYTHON) Tests/Distribution/run.sh dist

demo: build
	$(LORA) digits --report report.html --save digits
	$(LORA) page

page: build
	$(LORA) page

# The engine of the page, for whoever changes Sources/PageEngine; it is committed, and make test compares.
page-engine:
	Scripts/page/build-engine.sh Sources/Page/Resources/engine.wasm

# A target imports only what it depends on.
test: dependencies
	$(SWIFT) build -c release --build-tests --explicit-target-dependency-import-check error
	$(SWIFT) test -c release --skip-build

test-c:
	SWIFT=$(SWIFT) Tests/Kernels/run.sh

# TESTS: which; SANITIZERS: one of the two. Each has a folder of its own.
TESTS ?= .
SANITIZERS ?= thread address
sanitize-c:
	SWIFT=$(SWIFT) Tests/Kernels/run.sh $(SANITIZERS) undefined

sanitize: dependencies sanitize-c
	set -e; for sanitizer in $(SANITIZERS); do \
	  SANITIZER=$$sanitizer LSAN_OPTIONS=suppressions=$(CURDIR)/Tests/Fixtures/fuzz/foundation.supp \
	  $(SWIFT) test -c release --sanitize=$$sanitizer \
	    --scratch-path .build-$$sanitizer --filter '$(TESTS)'; \
	done

# FUZZ: how many broken files each reader gets, one reader after another, so that each has its own memory to answer for.
# SANITIZE=address: under AddressSanitizer, which keeps little of what was freed.
FUZZ ?= 20000
fuzz: dependencies
	FUZZ=$(FUZZ) LSAN_OPTIONS=suppressions=$(CURDIR)/Tests/Fixtures/fuzz/foundation.supp \
	  ASAN_OPTIONS=quarantine_size_mb=8 $(SWIFT) test -c release --no-parallel \
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

test-page: build
	Tests/Page/run.sh $(LORA) $(PYTHON)

test-mpi: dependencies
	Scripts/install-dependencies.sh --mpi
	$(SWIFT) build -c release $(WITH_MPI) --product lora
	Tests/MPI/run.sh .build-mpi/release/lora $(wildcard .build/release/lora)

test-interop: build
	Tests/Interop/run.sh

examples: dependencies
	SWIFT=$(SWIFT) Examples/run.sh
	SWIFT=$(SWIFT) Tests/Client/run.sh

# The documentation of every floor in one site; a public symbol without a comment, or a warning, fails.
DOCS = .build/docs
FLOORS = Tensors LinearAlgebra Networks Files Training Adapters Formats Toolbox Models Datasets FineTuning Page Charts Kit
docs: dependencies
	$(SWIFT) build
	Scripts/check-documentation
	SWIFT_LORA_DOCS=1 $(SWIFT) package --allow-writing-to-directory $(DOCS) generate-documentation \
	  $(FLOORS:%=--target LoRA%) --enable-experimental-combined-documentation --warnings-as-errors \
	  --transform-for-static-hosting --hosting-base-path swift-lora --output-path $(DOCS)

SOURCES = Package.swift Sources Tests Examples Benchmarks/Package.swift Benchmarks/Sources JupyterKernel/swift_kernel/Worker
# The C is checked where clang-format is installed; versions 14 to 19 agree on it.
C_SOURCES = $(wildcard Sources/CKernels/*.[ch] Sources/CKernels/include/*.h Sources/CMPI/*.h Tests/Kernels/*.c Packaging/static/*.c)

lint:
	$(if $(shell command -v clang-format),clang-format --dry-run -Werror $(C_SOURCES),@echo "clang-format is not installed: the C is not checked.")
	$(SWIFT) format lint --strict --recursive $(SOURCES)

format:
	$(if $(shell command -v clang-format),clang-format -i $(C_SOURCES))
	$(SWIFT) format --in-place --recursive $(SOURCES)

clean:
	rm -rf .build .build-mpi .build-thread .build-address .venv dist Benchmarks/.build Examples/.build
