# Every target installs what it needs: a virtual environment from hash-locked requirements, and, as
# root on Debian, the system packages it names. Nothing is installed outside .venv otherwise.

SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Of Debian's or Ubuntu's: what `make test-system` boots.
RELEASE ?= debian-12
# What `make test` runs: all but what has a target of its own, since it needs more than mosquitto.
HERE := not nft and not fleet and not browser and not prometheus and not manuals and not docs and not wireguard and not deb and not system and not image and not neighbours and not selftests
# What each target needs of this machine; tools/need says how it is checked. `make needs-TARGET` does only that.
NEEDS_demo := mosquitto ip nsenter
NEEDS_test := mosquitto ip nsenter openssl
NEEDS_test-nft := mosquitto ip nsenter nft sysctl
NEEDS_test-fleet := mosquitto ip nsenter openssl
NEEDS_test-prometheus := promtool prometheus mosquitto ip nsenter nft
NEEDS_docs := man
NEEDS_test-docs := ip nsenter wg wireguard-go openvpn openssl nft ping sysctl
NEEDS_test-manuals := ip nsenter man zsh fish
NEEDS_test-browser := mosquitto chromium chromedriver
NEEDS_test-wireguard := ip nsenter wg wireguard-go sysctl
NEEDS_test-deb := dpkg-deb ip nsenter
NEEDS_test-system := debootstrap dpkg-deb ip nsenter mosquitto nft systemd-nspawn
NEEDS_test-image := debootstrap dpkg-deb ip nsenter mosquitto nft podman
NEEDS_test-neighbours := debootstrap ip nsenter mosquitto nft
NEEDS_test-selftests := dpkg-deb ip nsenter ping
NEEDS_vm := debootstrap qemu-system-x86_64 mke2fs
NEEDS_soak := mosquitto ip nsenter nft strace
NEED = @PYTHON=$(PYTHON) tools/need
# The tests start hundreds of programs: as installed, these find their bytecode and do not compile anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo demo-fleet unit test test-nft test-fleet test-browser test-prometheus test-manuals test-docs test-wireguard test-deb test-system test-image neighbours test-neighbours test-selftests test-sim vm test-vm soak deb docs dist mutation fuzz check format run bench-daemon bench-probe bench-replay bench-rule bench-route bench-packets bench-mqtt schemas dashboards lock clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/run.stamp ## watch the daemon steer real packets in a lab of its own
	$(NEED) $(NEEDS_demo)
	$(BIN)/steerd demo $(DEMO)

unit: $(VENV)/dev.stamp ## unit, property and scenario tests: a minute, and nothing but Python
	$(BIN)/python -m pytest -n 4 --dist worksteal --hypothesis-profile=quick tests/unit tests/property tests/scenarios

demo-fleet: $(VENV)/run.stamp ## the same of a small fleet: five gateways, three PoPs with agents, a broker, the fleet service
	$(NEED) $(NEEDS_demo)
	$(BIN)/steerd demo --fleet $(DEMO)

test: $(VENV)/dev.stamp ## unit, property, scenario, simulation and lab tests (5 to 7 minutes); TESTS="..." those
ifdef TESTS
	$(NEED) $$($(BIN)/python -m tests.needs $(TESTS))
	$(BIN)/python -m pytest $(TESTS)
else
	$(NEED) $(NEEDS_test)
	@# Most lab tests wait for packets, not for a core; those that send thousands a second and count each run by themselves.
	$(BIN)/python -m pytest -n 5 --dist worksteal -m "not alone and $(HERE)"
	$(BIN)/python -m pytest -m "alone and $(HERE)"
endif

test-nft: $(VENV)/dev.stamp ## lab tests of the leak guard and of pinned connections: needs nftables
	$(NEED) $(NEEDS_test-nft)
	$(BIN)/python -m pytest -n 3 -m "nft and not alone"
	$(BIN)/python -m pytest -m "nft and alone"

test-fleet: $(VENV)/dev.stamp ## sharing against real brokers: TLS, access rules, hostile clients, outages
	$(NEED) $(NEEDS_test-fleet)
	$(BIN)/python -m pytest -n 4 -m fleet

test-prometheus: $(VENV)/dev.stamp ## alerts and dashboards in a real Prometheus that scrapes a real daemon (2 minutes)
	$(NEED) $(NEEDS_test-prometheus)
	$(BIN)/python -m pytest -n 4 --dist worksteal -m prometheus

test-manuals: $(VENV)/dev.stamp ## manual pages as man shows them, completion in bash, zsh and fish (half a minute)
	$(NEED) $(NEEDS_test-manuals)
	$(BIN)/python -m pytest -n 3 -m manuals

test-docs: $(VENV)/dev.stamp ## the quick starts of docs/, every file written and every command run, each on its machine (a minute)
	$(NEED) $(NEEDS_test-docs)
	$(BIN)/python -m pytest -n 2 -m docs

test-browser: $(VENV)/dev.stamp ## the fleet's page in a headless Chromium
	$(NEED) $(NEEDS_test-browser)
	$(BIN)/python -m pytest -m browser

test-wireguard: $(VENV)/dev.stamp ## lab tests over tunnels of wireguard-go: their health, and steering from peer to peer
	$(NEED) $(NEEDS_test-wireguard)
	$(BIN)/python -m pytest -n 3 --dist worksteal -m wireguard

test-deb: $(VENV)/sbom.stamp ## the packages: built twice, unpacked and run
	$(NEED) $(NEEDS_test-deb)
	$(BIN)/python -m pytest -m deb -rs

test-system: $(VENV)/sbom.stamp $(VENV)/$(RELEASE) ## the package under a real systemd; RELEASE=debian-13, ubuntu-24.04; as root (4 minutes)
	$(NEED) $(NEEDS_test-system)
	RELEASE=$(RELEASE) $(BIN)/python -m pytest -m system $(TESTS)

test-image: $(VENV)/sbom.stamp $(VENV)/debian-13 ## the image on a Debian 13, and run by podman; as root (2 minutes)
	$(NEED) $(NEEDS_test-image)
	RELEASE=debian-13 $(BIN)/python -m pytest -m image

neighbours: $(VENV)/neighbours ## what test-neighbours runs: a Debian 12 with FRR, Docker and others (as root; a minute)

test-neighbours: $(VENV)/dev.stamp $(VENV)/neighbours ## beside FRR, BIRD, networkd, Docker and others, real ones; TESTS="-k FRR"; as root (2 minutes)
	$(NEED) $(NEEDS_test-neighbours)
	$(BIN)/python -m pytest -n 8 --dist worksteal -m neighbours $(TESTS)

test-selftests: $(VENV)/dev.stamp $(VENV)/selftests ## the kernel's own tests of routes and nexthops, beside a live steerd; as root on Debian (3 minutes)
	$(NEED) $(NEEDS_test-selftests)
	$(BIN)/python -m pytest -n 2 -m selftests -rs

needs-%: ; @PYTHON=$(PYTHON) tools/need $(NEEDS_$*)

vm: $(VENV)/vm/root ## what tools/vm boots: a Debian 12 with its stock kernel (as root; 2 minutes)

test-vm: $(VENV)/sbom.stamp $(VENV)/vm/root ## the package on Debian's kernel, WireGuard and netem, in a VM; TESTS="..." runs those there (4 minutes)
ifdef TESTS
	tools/vm env PYTHONPATH=$(VENV)/lib/python3.11/site-packages python3 -m pytest -p no:cacheprovider $(TESTS)
else
	tools/vm --deb "$$(tools/deb $(VENV) dist)" /opt/steerd/bin/python3 -m tests.vm
endif

soak: $(VENV)/dev.stamp ## hours of the core, and of a daemon that is reloaded, flapped and cut off: does anything grow? (15 minutes)
	$(NEED) $(NEEDS_soak)
	$(BIN)/python -m tests.soak $(SOAK)

deb: $(VENV)/sbom.stamp ## dist/steerd_VERSION_ARCHITECTURE.deb, for Debian 12 and 13 and Ubuntu 24.04, and its SBOM; ARCHITECTURE=arm64
	@tools/need dpkg-deb
	@tools/deb $(VENV) dist $(ARCHITECTURE)

docs: $(VENV)/docs.stamp ## dist/site: the documentation and the manual pages as a site; a link that leads nowhere is an error
	$(NEED) $(NEEDS_docs)
	@tools/site/build $(VENV) dist/site

dist: $(VENV)/run.stamp ## wheel and sdist, for pipx
	@tools/dist $(VENV) dist

test-sim: $(VENV)/dev.stamp ## 1,000 seeded simulations of an hour each
	$(BIN)/python -m tests.sim --runs $(or $(RUNS),1000)

mutation: $(VENV)/mutation.stamp ## change the core in small ways: do its tests notice? MODULES="health" for that one (5 minutes)
	$(BIN)/python tools/mutation.py $(MODULES)

fuzz: $(VENV)/fuzz.stamp ## look for inputs that break a parser, led by coverage: a minute each; FUZZ="--seconds 600 netlink" (25 minutes)
	$(BIN)/python -m tests.fuzz $(FUZZ)

check: $(VENV)/dev.stamp ## format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/dev.stamp ## format and mend what ruff can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

run: $(VENV)/run.stamp ## the daemon in the foreground, with CONFIG=config/steerd.toml
	$(BIN)/steerd run -c $(or $(CONFIG),config/steerd.toml)

bench-daemon: $(VENV)/dev.stamp ## memory and CPU of the daemon with 50 paths
	@tools/need mosquitto ip
	$(BIN)/python -m bench.daemon $(BENCH)

bench-probe: $(VENV)/dev.stamp ## cost and accuracy of probing against fping, icmplib and smokeping_prober (8 minutes)
	@tools/need ip fping prometheus-smokeping-prober
	$(BIN)/python -m bench.probe $(BENCH)

bench-replay: $(VENV)/dev.stamp ## replay against merely reading CSV; TRACES="..." adds files
	$(BIN)/python -m bench.replay $(TRACES)

bench-rule: $(VENV)/dev.stamp ## the switch rule on noise and steps; TRACES="FOLDER..." adds gap left on sets of traces
	$(BIN)/python -m bench.rule $(TRACES)

bench-route: $(VENV)/dev.stamp ## 100,000 prefixes moved at once, against ip -batch, BIRD and pyroute2 (3 minutes)
	@tools/need mosquitto ip bird birdc
	$(BIN)/python -m bench.route $(BENCH)

bench-packets: $(VENV)/dev.stamp ## what counting policies' packets costs each of them (2 minutes)
	@tools/need ip nsenter nft
	$(BIN)/python -m bench.packets $(BENCH)

bench-mqtt: $(VENV)/dev.stamp ## bytes on the wire of one gateway, and a broker with 2,000 (6 minutes)
	@tools/need mosquitto ip openssl
	$(BIN)/python -m bench.mqtt $(BENCH)

schemas: $(VENV)/dev.stamp ## write docs/schemas/ anew from the messages
	$(BIN)/python tools/schemas.py

dashboards: $(VENV)/dev.stamp ## write config/grafana/ anew from tools/dashboards/
	$(BIN)/python -m tools.dashboards

lock: ## write requirements/*.txt anew from pyproject.toml (needs uv)
	uv pip compile -q --universal --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --no-annotate \
	  pyproject.toml --group build -o requirements/run.txt
	uv pip compile -q --universal --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --no-annotate \
	  pyproject.toml -c requirements/run.txt -o requirements/package.txt
	uv pip compile -q --universal --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --no-annotate \
	  pyproject.toml --group build --group dev -c requirements/run.txt -o requirements/dev.txt
	uv pip compile -q --universal --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --no-annotate \
	  --group mutation -c requirements/dev.txt -o requirements/mutation.txt
	uv pip compile -q --universal --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --no-annotate \
	  --group fuzz -c requirements/dev.txt -o requirements/fuzz.txt
	uv pip compile -q --universal --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --no-annotate \
	  --group sbom -c requirements/dev.txt -o requirements/sbom.txt
	uv pip compile -q --universal --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --no-annotate \
	  --group docs -c requirements/dev.txt -o requirements/docs.txt

clean: ## remove the virtual environment and every cache
	rm -rf $(VENV) dist mutants .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/run.stamp: requirements/run.txt pyproject.toml
	@tools/venv $(PYTHON) $(VENV) requirements/run.txt
	@touch $@

$(VENV)/dev.stamp: requirements/dev.txt pyproject.toml
	@tools/venv $(PYTHON) $(VENV) requirements/dev.txt
	@touch $@ $(VENV)/run.stamp

$(VENV)/sbom.stamp: $(VENV)/dev.stamp requirements/sbom.txt
	@tools/venv $(PYTHON) $(VENV) requirements/sbom.txt
	@touch $@

$(VENV)/docs.stamp: $(VENV)/dev.stamp requirements/docs.txt
	@tools/venv $(PYTHON) $(VENV) requirements/docs.txt
	@touch $@

$(VENV)/debian-12 $(VENV)/debian-13 $(VENV)/ubuntu-24.04: tools/tree | $(VENV)/dev.stamp
	$(NEED) debootstrap
	@tools/tree $@

$(VENV)/selftests: tools/selftests
	@tools/selftests $@

$(VENV)/neighbours: tools/neighbours | $(VENV)/debian-12
	@tools/neighbours $@ $(VENV)/debian-12

$(VENV)/vm/root: tools/vm-base | $(VENV)/debian-12
	$(NEED) $(NEEDS_vm)
	@tools/vm-base $(VENV)/vm $(VENV)/debian-12
	@touch $@

$(VENV)/fuzz.stamp: $(VENV)/dev.stamp requirements/fuzz.txt
	@tools/venv $(PYTHON) $(VENV) requirements/fuzz.txt
	@touch $@

$(VENV)/mutation.stamp: $(VENV)/dev.stamp requirements/mutation.txt
	@tools/venv $(PYTHON) $(VENV) requirements/mutation.txt
	@touch $@
