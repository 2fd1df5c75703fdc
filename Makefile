# What people and CI run. Needs make and Python 3.11 or newer with venv; everything else is installed into .venv.

PYTHON ?= $(firstword $(foreach p,python3.11 python3.12 python3.13 python3.14 python3,$(shell command -v $(p))))
JOBS ?= 3
PROCESSOR = $(if $(LEVEL),NUMBA_CPU_NAME=$(LEVEL))
MACHINE_CODE := tests/engine tests/nn tests/sessions/test_bits.py tests/sessions/values/test_digest_chain.py tests/e2e/test_bits.py
STEP_PATH := tests/wire tests/sessions tests/store/sessions tests/store/connection tests/e2e/test_bits.py tests/api/bulk tests/api/decoding \
	tests/api/fast_http tests/api/limits tests/api/routes/session/test_steps.py tests/api/websocket \
	tests/api/test_step_path.py tests/house/test_private_members.py
BIN := .venv/bin
COMPILE := CUSTOM_COMPILE_COMMAND="make requirements" $(BIN)/pip-compile --quiet --no-config --upgrade --generate-hashes \
	--allow-unsafe --strip-extras --annotation-style=line \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options

# What the service needs: `make install` installs that alone, `make develop` the tools too, and with them mypy.
SERVICE := $(or $(wildcard .venv/installed-dev),.venv/installed-service)
COMPILER := $(if $(wildcard .venv/installed-dev),,.venv/compiler/bin/mypy)

.PHONY: help install develop compiled wheel lint test test-pure test-below check faults isolation golden matrix interchange contract demo bench-engine bench-training bench-service bench-scale openapi requirements screenshots clean
.DELETE_ON_ERROR:

help: ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## /make \1	/p' $(MAKEFILE_LIST) | expand -t 20

install: $(SERVICE) ## create .venv with the service and its client, compiled if there is a C compiler
	@$(MAKE) --no-print-directory compiled || echo "pure Python: compiling the modules has failed, see above"

develop: .venv/installed-dev ## the same with the tools that the commands below need
	@$(MAKE) --no-print-directory compiled || echo "pure Python: compiling the modules has failed, see above"

compiled: $(SERVICE) $(COMPILER) ## compile the modules that steps pass; without a C compiler, or with CELLAR_PURE=1, say so
	@PYTHONPATH=.venv/compiler $(BIN)/python setup.py -q build_ext --inplace

wheel: $(SERVICE) $(COMPILER) ## write the wheels of the service and of its client to dist/, compiled if there is a C compiler
	rm -rf dist build/lib build/bdist.* clients/python/build
	PYTHONPATH=$(CURDIR)/.venv/compiler $(BIN)/python -m pip wheel --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist . ./clients/python

lint: .venv/installed-dev ## ruff, mypy strict and the import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

test: .venv/installed-dev ## the whole suite, against a real Redis (ARGS=; LEVEL=x86-64-v3: as that processor)
	$(PROCESSOR) $(BIN)/pytest -n $(JOBS) $(ARGS)

test-pure: .venv/installed-dev ## tests of the compiled modules, and of what traces or replaces functions, as pure Python
	if [ $$($(BIN)/python -c "import cellar.extension_modules as modules; print(modules.FORM)") = compiled ]; then CELLAR_PURE=1 $(MAKE) test ARGS="$(STEP_PATH)"; \
	else echo "make test has run pure Python."; fi

test-below: .venv/installed-dev ## the tests of machine code as AVX2, on a processor with AVX-512
	level=$$($(BIN)/python -m tests.level below) || exit; \
	if [ -n "$$level" ]; then $(MAKE) test LEVEL=$$level ARGS="$(MACHINE_CODE)"; fi

check: lint test test-pure test-below ## what CI runs

golden: .venv/installed-dev ## print the golden hashes of the arithmetic, on every level that the machine has
	$(BIN)/python -m tests.engine.golden

faults: .venv/installed-dev ## 10,000 steps through lost, cut and doubled messages and kills (ARGS="--seed 7 --runs 3")
	$(BIN)/python -m tests.faults.run $(ARGS)

isolation: .venv/installed-dev ## 100,000 requests of one tenant for what another one owns (ARGS="--count 5000 --seed 7")
	$(BIN)/python -m tests.isolation.run $(ARGS)

matrix: .venv-bench/installed-bench-service ## training jobs of 900 combinations against PyTorch (ARGS="--only huber")
	.venv-bench/bin/python -m tests.matrix.run $(ARGS)

interchange: .venv-bench/installed-bench .venv-bench/installed-bench-service ## networks of other frameworks beside their originals (ARGS="--only torch --count 50 --seed 7")
	.venv-bench/bin/python -W ignore -m tests.interchange.run $(ARGS)

contract: .venv/installed-dev .venv-contract/installed-contract tests/contract/node_modules/.package-lock.json ## the API document against linters, clients and generated requests (ARGS="--seconds 600 --seed 7")
	$(BIN)/python -m tests.contract.run $(ARGS)

demo: $(SERVICE) ## train, serve, kill and continue, on real measurements (ONCE=1: then exit)
	$(BIN)/cellar demo $(if $(ONCE),--once)

bench-engine: .venv-bench/installed-bench ## steps against PyTorch, ONNX Runtime and OpenVINO (QUICK=1, THREADS=2, ARGS=)
	.venv-bench/bin/python -m benchmarks.engine $(if $(QUICK),--quick) $(if $(THREADS),--threads $(THREADS)) $(ARGS)

bench-training: .venv-bench/installed-bench ## updates of training against PyTorch (QUICK=1, ARGS=)
	.venv-bench/bin/python -m benchmarks.training $(if $(QUICK),--quick) $(ARGS)

bench-service: .venv-bench/installed-bench-service ## sessions against FastAPI, PyTorch with Redis, and LitServe (QUICK=1, ARGS=)
	.venv-bench/bin/python -m benchmarks.service $(if $(QUICK),--quick) $(ARGS)

bench-scale: .venv/installed-dev ## how the cost of a step or request grows with the fleet (QUICK=1, ARGS="--only models")
	$(BIN)/python -m benchmarks.scale $(if $(QUICK),--quick) $(ARGS)

openapi: .venv/installed-dev ## write openapi/openapi.json, openapi/streams.yaml and the tables of docs/ that follow from the code
	$(BIN)/python -m tests.docs.tables
	$(BIN)/python -m tests.api.request_examples
	$(BIN)/cellar openapi openapi/openapi.json
	$(BIN)/cellar openapi --streams openapi/streams.yaml

requirements: .venv/installed-dev ## pin all dependencies again, with hashes
	$(COMPILE) --extra build -o requirements/service.txt pyproject.toml
	$(COMPILE) --extra build -o requirements/onnx.txt --extra onnx --constraint requirements/service.txt pyproject.toml
	$(COMPILE) --extra build -o requirements/dev.txt --extra keras --extra onnx --extra dev pyproject.toml
	$(COMPILE) --extra build -o requirements/bench.txt --extra bench --constraint requirements/service.txt pyproject.toml
	$(COMPILE) --extra build -o requirements/bench-service.txt --extra bench-service \
		--constraint requirements/service.txt --constraint requirements/bench.txt pyproject.toml
	$(COMPILE) -o requirements/contract.txt requirements/contract.in
	$(COMPILE) -o requirements/compile.txt requirements/compile.in

screenshots: .venv/installed-dev ## write the pictures of the page at / in docs/images (needs chromium)
	$(BIN)/python -m tests.page.screenshots

clean: ## remove .venv and what the tools cached
	rm -rf .venv .venv-bench .venv-contract tests/contract/node_modules tests/contract/generated benchmarks/results dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build service/*.egg-info service/cellar/_extensions

.venv/bin/python .venv-bench/bin/python .venv-contract/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; none is on PATH."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than 3.11."; exit 1; }
	$(PYTHON) -m venv $(@:/bin/python=) || { rm -rf $(@:/bin/python=); echo "On Debian: apt install python3-venv"; exit 1; }

# A stamp says that its requirements are installed; a second call does nothing.
define INSTALL
	$(@D)/bin/python -m pip install --disable-pip-version-check --no-input --require-hashes -r $<
	CELLAR_PURE=1 $(@D)/bin/python -m pip install --disable-pip-version-check --no-input --no-deps --no-build-isolation $(EDITABLE)
	@touch $@
endef

EDITABLE = --editable .

.venv/installed-% .venv-bench/installed-%: EDITABLE += --editable clients/python
.venv/installed-%: requirements/%.txt pyproject.toml clients/python/pyproject.toml | .venv/bin/python
	$(INSTALL)

.venv-bench/installed-%: requirements/%.txt pyproject.toml clients/python/pyproject.toml | .venv-bench/bin/python
	$(INSTALL)

.venv-contract/installed-contract: requirements/contract.txt | .venv-contract/bin/python
	$(@D)/bin/python -m pip install --disable-pip-version-check --no-input --require-hashes -r $<
	@touch $@

# Only what compiles needs mypy, so it stays outside of the environment of the service.
.venv/compiler/bin/mypy: requirements/compile.txt | $(SERVICE)
	@if command -v $(CC) >/dev/null; then \
		$(BIN)/python -m pip install --disable-pip-version-check --no-input --quiet --upgrade --target .venv/compiler --require-hashes -r $< \
		&& touch $@; fi

# npm is that of the pinned node in .venv-contract. The lock file has the hashes, and no addresses.
tests/contract/node_modules/.package-lock.json: tests/contract/package-lock.json .venv-contract/installed-contract
	PATH="$(CURDIR)/.venv-contract/bin:$$PATH" npm ci --prefix tests/contract --ignore-scripts --no-audit --no-fund
	@touch $@
