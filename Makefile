# Everything a person or a machine does with this repository. `make help` lists the verbs.
.DEFAULT_GOAL := build
.NOTPARALLEL:

PROGRAMS := bin/paravane-blk bin/paravane-net bin/paravane
# Directories are among the sources, so that a file that goes away counts as a change.
sources = $(shell find $(1) \( -name '*.cs' -o -name '*.csproj' -o -name '*.json' -o -type d \) -print)
SHARED := $(call sources,VirtioQueues VhostServer) Directory.Build.props Directory.Packages.props global.json build/publish

.PHONY: build run run-linux test bench lint clean help deps

build: $(PROGRAMS) ## compile the three programs ahead of time into bin/ (PORTABLE=1: for any x86-64; run `make clean` between the two)

bin/paravane-blk: $(SHARED) $(call sources,Backends/Block)
	@build/publish Backends/Block $@

bin/paravane-net: $(SHARED) $(call sources,Backends/Net)
	@build/publish Backends/Net $@

bin/paravane: $(SHARED) $(call sources,Hypervisor)
	@build/publish Hypervisor $@

run: ## show it work: a disk and a NIC in two processes, driven with verified data for ten seconds
	@build/deps run
	@$(MAKE) --no-print-directory build
	@bin/paravane demo

run-linux: ## boot Debian's kernel under `paravane run` to a shell, with a disk and a NIC (where KVM cannot: in a machine that QEMU emulates)
	@build/deps run
	@$(MAKE) --no-print-directory build
	@build/run-linux

test: ## all tests, also on QEMU and DPDK; ends with the line that counts them (PROJECT=name and ARGS='--filter-class …' narrow it)
	@build/deps test
	@$(MAKE) --no-print-directory build
	@build/test $(PROJECT)

bench: ## measure beside the peers and write docs/benchmarks.md
	@build/deps test
	@$(MAKE) --no-print-directory build
	@dotnet run --project tests/Benchmarks -c Release -- $(ARGS)

lint: ## build with every warning an error, then check the formatting
	@build/lint

deps: ## install through apt what is missing for all of the above
	@build/deps test

clean: ## remove bin/ and artifacts/
	@rm -rf bin artifacts

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | awk -F '\t' '{ printf "  make %-9s %s\n", $$1, $$2 }'
