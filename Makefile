# `make start` is all that a fresh machine needs besides Python 3.11 or newer. `make help` lists the rest.

VENV := .venv
PY := $(VENV)/bin/python
DATA ?=
ARGS ?=
SOURCES := proto storage raft node client jepsen-lite

.DEFAULT_GOAL := help
.PHONY: help start cluster test test-clients test-languages sim mutants bench bench-cluster bench-grpc generate fix clean
.PHONY: jepsen jepsen-mutants jepsen-canary jepsen-tools
.PHONY: check check-format check-lint check-types check-imports check-house

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1@\2/p' $(MAKEFILE_LIST) | awk -F@ '{ printf "%-22s%s\n", $$1, $$2 }'

start: $(VENV)/.installed ## install if needed, and run one node with its data in ./data (DATA=dir, ARGS="--config file")
	@exec $(VENV)/bin/odradek start $(if $(DATA),--data '$(DATA)') $(ARGS)

cluster: $(VENV)/.installed ## three nodes on 127.0.0.1:9092-9094 with their data in ./data/cluster; Ctrl-C ends them together (DATA=dir)
	@exec $(PY) deploy/cluster.py $(if $(DATA),--data '$(DATA)') $(ARGS)

test: $(VENV)/.installed-test ## the tests, with real clients against a real node
	$(PY) -m tests.run $(ARGS)

test-clients: $(VENV)/.installed-test ## clients of other languages; each is skipped, saying so, where its tools are missing
	$(PY) -m pytest -m clients tests/compat -rs $(ARGS)

test-languages: $(VENV)/.installed-test ## client/examples of five languages against three nodes, one of which is killed; skipped as above
	$(PY) -m pytest -m clients tests/languages -rs $(ARGS)

sim: $(VENV)/.installed-test ## whole clusters in virtual time: SEEDS=100 runs many seeds, SEED=7 one with its log (ARGS="--twice")
	$(PY) -m tests.sim $(if $(SEED),$(SEED),--seeds $(or $(SEEDS),100)) $(ARGS)

mutants: $(VENV)/.installed-test ## nodes with planted faults, each of which the simulation must notice (ARGS="--only NAME")
	$(PY) -m tests.sim.mutants $(ARGS)

# The shortest run that holds what is promised of it: 30 faults, 8 power cuts, 2 of them on all nodes, 200,000 records.
JEPSEN := --workload all --nemesis default --seconds 360 --at-least all=30,power=8,power-all=2
JEPSEN += --acknowledged 200000 --rate 2500

jepsen: $(VENV)/.installed-test jepsen-tools ## six minutes of faults on real processes, as root (SEED=7, ARGS="--nodes 5"): jepsen-lite/README.md
	$(PY) -m odradek.jepsen run $(JEPSEN) $(if $(SEED),--seed $(SEED)) $(ARGS)

jepsen-mutants: $(VENV)/.installed-test jepsen-tools ## nodes with planted faults, each of which such a run must notice (ARGS="--only NAME")
	$(PY) -m tests.jepsen.mutants $(ARGS)

jepsen-canary: $(VENV)/.installed-test jepsen-tools ## a cluster that does not sync must be found to lose records
	$(PY) -m odradek.jepsen canary $(ARGS)

jepsen-tools: ## Debian packages that faults need, where they can be installed (SYSTEM_PACKAGES=no: not)
	@scripts/jepsen-tools

bench: $(VENV)/.installed-test ## this node beside Apache Kafka on this machine
	$(PY) tests/bench/run.py $(ARGS)

bench-cluster: $(VENV)/.installed-test ## three nodes beside three of Apache Kafka: failover, throughput, latency, many partitions
	$(PY) tests/bench/cluster.py $(ARGS)

check: check-format check-lint check-types check-imports check-house ## format, lint, types, import contracts, tidiness (make -k check: all that fails)

check-format: $(VENV)/.installed-test
	$(VENV)/bin/ruff format --check --quiet .

check-lint: $(VENV)/.installed-test
	$(VENV)/bin/ruff check --quiet .

check-types: $(VENV)/.installed-test
	$(VENV)/bin/mypy

check-imports: $(VENV)/.installed-test
	$(VENV)/bin/lint-imports

check-house: $(VENV)/.installed-test
	$(PY) -m pytest -q tests/arch

bench-grpc: $(VENV)/.installed-test ## the gRPC door of one node, with Apache Kafka and its own clients beside it
	$(PY) tests/bench/grpc_door.py $(ARGS)

generate: $(VENV)/.installed-test ## the modules made from the .proto files
	$(PY) proto/tools/compile_protos.py

fix: $(VENV)/.installed-test ## format, and repair what ruff can
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

clean: ## remove the environment and what tools leave behind; ./data stays
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find $(SOURCES) tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: an environment is touched again only when what it depends on has changed.
$(VENV)/.python: scripts/make-venv
	scripts/make-venv $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.python pyproject.toml
	$(PY) -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.python pyproject.toml
	$(PY) -m pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $(VENV)/.installed $@
