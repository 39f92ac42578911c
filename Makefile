# `make` tells what there is. Everything runs in .venv, which is built from requirements-dev.lock.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
JS := tests/integration/js
CHAOS := kills availability partitions pauses reconnects churn weather restarts clocks rude mixture leavers borrowed
COMPILE := $(BIN)/pip-compile --quiet --strip-extras --allow-unsafe --generate-hashes \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links

.DEFAULT_GOAL := help
.PHONY: help run cluster test lint docs reference format bench features soak chaos reliability wheel lock chart venv clean chaos-tools

help: ## tell what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1 - \2/p' Makefile

run: $(READY) ## three nodes and a live demo: clients on different nodes, one node is killed; Ctrl-C ends it
	@$(BIN)/python -m examples.demo

cluster: $(READY) ## three nodes for your own clients on 127.0.0.1:8081, 8082, 8083; Ctrl-C ends them
	@$(BIN)/python -m examples.cluster

# Tests that start no processes share the cores; those that do would disturb each other.
PURE := tests/unit tests/model tests/scripts tests/conformance tests/simulation

test: lint docs js chaos-tools promtool container-tools browser ## lint, types and all tests
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal $(PURE)
	$(BIN)/python -m pytest $(addprefix --ignore=,$(PURE))

lint: $(READY) ## style and types
	$(BIN)/ruff check .
	$(BIN)/mypy

reference: $(READY) chart ## write docs/configuration.md, docs/cli.md and the tables of docs/metrics.md from the code
	@$(BIN)/python -m docs.reference
	@$(BIN)/python -m docs.commands
	@$(BIN)/python -m docs.metrics

docs: $(READY) ## build the handbook in docs/_build/html
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going docs docs/_build/html

chart: $(READY) ## write what the chart has from elsewhere: values.schema.json, the table of values, the dashboard
	@$(BIN)/python -m helm.generate

format: $(READY) ## lay the code out anew
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) ## measure against Crossbar in the same run (see bench/README.md)
	$(BIN)/python -m bench

features: $(READY) js ## run the tests of every feature and write docs/features.md
	$(BIN)/python -m tests.features

SEEDS ?= 100
soak: $(READY) ## simulate SEEDS more seeds of each configuration (make soak SEEDS=200); goes on where soak.log ends
	$(BIN)/python -m tests.simulation.soak --seeds $(SEEDS)

chaos: $(READY) chaos-tools ## break real nodes at full length (two hours, as root) and record the figures
	@failed=; for command in $(CHAOS); do echo "== $$command"; \
		$(BIN)/python -m tests.chaos.$$command --record || failed="$$failed $$command"; done; \
	$(BIN)/python -m tests.chaos.report; [ -z "$$failed" ] || { echo "promises were broken in:$$failed" >&2; exit 1; }

reliability: $(READY) ## write docs/reliability.md from the recorded figures
	$(BIN)/python -m tests.chaos.report

.PHONY: fuzz sbom release-check
FUZZ ?= json
RUNS ?= 1000000
fuzz: .venv-fuzz/.ready ## look for inputs that do harm, guided by coverage (make fuzz FUZZ=cbor RUNS=10000000)
	.venv-fuzz/bin/python -m tests.fuzz --runs $(RUNS) $(FUZZ)

sbom: $(READY) ## write the bill of materials, dist/*.cdx.json
	$(BIN)/python -m release --sbom-only

release-check: $(READY) .venv-release/.ready ## the same, and ask the vulnerability service about all that is locked
	$(BIN)/python -m release --pip-audit .venv-release/bin/pip-audit

wheel: $(READY) ## build dist/*.whl
	$(BIN)/python -m build --wheel --no-isolation

lock: $(READY) ## bring both lock files to the newest allowed versions
	CUSTOM_COMPILE_COMMAND="make lock" $(COMPILE) --upgrade --output-file requirements.lock setup.cfg
	CUSTOM_COMPILE_COMMAND="make lock" $(COMPILE) --upgrade --extra dev --constraint requirements.lock \
		--output-file requirements-dev.lock setup.cfg
	for tool in fuzz release; do CUSTOM_COMPILE_COMMAND="make lock" $(COMPILE) --upgrade \
		--constraint requirements-dev.lock --output-file requirements-$$tool.lock requirements-$$tool.in || exit 1; done

venv: $(READY) ## only build .venv

clean: ## remove everything that was built
	rm -rf .venv .venv-fuzz .venv-release .fuzz build dist docs/_build *.egg-info .mypy_cache .pytest_cache .ruff_cache \
		.hypothesis $(JS)/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -f twisted/plugins/dropin.cache

# Twisted finds a plugin by a path entry, and setuptools' ordinary editable install makes none: only the compat mode does.
# It needs no network, since the lock has setuptools.
$(READY): requirements-dev.lock setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "wampha needs Python 3.11 or newer; say which with: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
		{ echo "this Python cannot make virtual environments; on Debian: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	PYTHONWARNINGS=ignore $(BIN)/pip install --quiet --no-deps --no-index --no-build-isolation \
		--config-settings editable_mode=compat --editable .
	touch $@

# Tools that few need, each in an environment of its own. The fuzzer runs the tests' code, and so needs what that needs.
.venv-fuzz/.ready: requirements-dev.lock
.venv-fuzz/.ready .venv-release/.ready: .venv-%/.ready: requirements-%.lock
	$(PYTHON) -m venv --clear .venv-$*
	.venv-$*/bin/pip install --quiet --disable-pip-version-check --require-hashes $(addprefix -r ,$^)
	touch $@

# What the chaos tests break networks and clocks with. Without it, or without root, they are skipped (in CI: they fail).
chaos-tools:
	@for tool in ip nft faketime; do command -v $$tool >/dev/null || missing=yes; done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends iproute2 nftables faketime >/dev/null; \
	else \
		echo "chaos tests will be skipped: they need root, and on Debian: apt-get install iproute2 nftables faketime"; \
	fi

# What the tests of the image and the chart run containers with, and make an image from. Without it, or without root, they
# are skipped (in CI: they fail).
CONTAINER_TOOLS := podman runc conmon netavark aardvark-dns iptables nftables iproute2 mmdebstrap haproxy
.PHONY: container-tools
container-tools:
	@for tool in podman runc conmon iptables mmdebstrap haproxy; do \
		command -v $$tool /usr/sbin/$$tool >/dev/null || missing=yes; done; \
	[ -e /usr/lib/podman/aardvark-dns ] || missing=yes; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends $(CONTAINER_TOOLS) >/dev/null; \
	else \
		echo "tests of containers will be skipped: they need root, and on Debian: apt-get install $(CONTAINER_TOOLS)"; \
	fi

# Prometheus' own tool tells whether alerts are well-formed and fire. Only that file of its package is taken: the rest is a server.
# Without it those tests are skipped (in CI: they fail).
.PHONY: promtool
promtool: $(BIN)/promtool

$(BIN)/promtool: | $(READY)
	@folder=$$(mktemp -d); chmod 755 $$folder; \
	if cd $$folder && { apt-get download -qq prometheus || { apt-get update -qq && apt-get download -qq prometheus; }; } 2>/dev/null \
	&& dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin/promtool; \
	then mv usr/bin/promtool $(CURDIR)/$@ && touch $(CURDIR)/$@; \
	else echo "tests of alerts will be skipped: they need promtool, on Debian from the package prometheus"; fi; \
	rm -rf $$folder

# What the status page is tested in. Without it those tests are skipped (in CI: they fail).
.PHONY: browser screenshot
browser:
	@if command -v chromium-headless-shell >/dev/null || command -v chromium >/dev/null; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium-headless-shell fonts-dejavu-core >/dev/null; \
	else \
		echo "tests of the status page will be skipped; on Debian, as root: apt-get install chromium-headless-shell"; \
	fi

screenshot: $(READY) browser ## take the picture of the status page that the handbook shows
	$(BIN)/python -m docs.screenshot

# The JavaScript clients of the integration tests.
.PHONY: js
js:
ifneq ($(wildcard $(JS)/package.json),)
js: $(JS)/node_modules/.package-lock.json

$(JS)/node_modules/.package-lock.json: $(JS)/package.json $(JS)/package-lock.json
	@command -v node >/dev/null && command -v npm >/dev/null || \
		{ echo "the tests need Node.js clients and npm; on Debian: apt-get install nodejs npm" >&2; exit 1; }
	npm ci --prefix $(JS) --no-audit --no-fund
	touch $@
endif
