# Two commands matter: `make demo` and `make test`. `make help` lists the rest.

SWIFT ?= swift
PYTHON ?= python3
LORA = .build/release/lora

.PHONY: help demo build test bench lint format clean dependencies

help:
	@echo "make demo            install what is missing, build, run the digit experiment"
	@echo "make test            build and run all tests"
	@echo "make build           build $(LORA)"
	@echo "make bench           time it; with PYTHON=<a Python with torch and peft> against its peers"
	@echo "make lint            check the format of all sources"
	@echo "make clean           remove what was built"

dependencies:
	@Scripts/install-dependencies.sh

build: dependencies
	$(SWIFT) build -c release

demo: build
	$(LORA) digits --report report.html

test: dependencies
	$(SWIFT) build -c release --build-tests
	$(SWIFT) test -c release --skip-build

bench: build
	Benchmarks/run.sh

lint:
	$(SWIFT) format lint --strict --recursive Package.swift Sources Tests Benchmarks

format:
	$(SWIFT) format --in-place --recursive Package.swift Sources Tests Benchmarks

clean:
	rm -rf .build Benchmarks/.build
