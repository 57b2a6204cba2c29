# `make run` and `make test` are all that a newcomer needs; CONTRIBUTING.md explains the rest.
BIN := .venv/bin
# pytest keeps the tests as it has rewritten them; without that, each of its workers needs 6 more seconds to start.
unexport PYTHONDONTWRITEBYTECODE
.PHONY: run test test-long test-containers test-browser matrix check bench lock schema contract pictures refusals site format wheel-test \
	setup setup-dev setup-pages images clean

run: setup
	$(BIN)/ftps-lab run -j 10 $(ARGS)

# The pages of `--html` in a real browser: Debian's chromium, which `.ci/run` installs.
test-browser: setup-pages
	$(BIN)/python -m pytest -n 2 -m browser $(ARGS)

matrix: setup images
	$(BIN)/ftps-lab matrix $(ARGS)

# More tests run at a time than there are processors: many wait for lftp.
test: setup-dev
	@ls tests/harness/__pycache__/*-pytest-*.pyc >/dev/null 2>&1 \
		|| $(BIN)/python -m pytest --collect-only -q >/dev/null 2>&1 || true  # one writes them, before six do at once
	$(BIN)/python -m pytest -n 6 --dist worksteal -m 'not containers and not long and not browser' $(ARGS)

# What takes minutes: whole pinning tools and commands over and over, thousands of connections, every figure of
# `make bench`.
test-long: setup-dev
	$(BIN)/python -m pytest -n 4 --dist worksteal -m long $(ARGS)

# The tests that need a Docker engine: real daemons, other lftp builds, the matrix, the classroom.
test-containers: setup-dev images
	$(BIN)/python -m pytest -n 2 -m containers $(ARGS)

check: setup-pages
	$(BIN)/ruff format --check lab harness tests tools
	$(BIN)/ruff check lab harness tests tools
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m ftps_harness.scenario.schema --check scenarios/scenario.schema.json
	$(BIN)/python -m ftps_harness.pinning.page --check docs/pinning-contract.md
	$(BIN)/python -m ftps_harness.teach.refusal_pages --check tests/recordings docs/refusals

format: setup-dev
	$(BIN)/ruff format lab harness tests tools
	$(BIN)/ruff check --fix lab harness tests tools

schema: setup
	$(BIN)/python -m ftps_harness.scenario.schema scenarios/scenario.schema.json

contract: setup
	$(BIN)/python -m ftps_harness.pinning.page docs/pinning-contract.md

refusals: setup
	$(BIN)/python -m ftps_harness.teach.refusal_pages tests/recordings docs/refusals

# The documentation site, in build/site: any warning fails. It plays the demo and fetches nothing.
site: setup-pages
	$(BIN)/python tools/documentation/build.py

pictures: setup
	$(BIN)/python -m ftps_harness.teach.pictures docs/pictures

bench: setup images
	$(BIN)/python tools/bench.py $(ARGS)

# The wheel that people get: built, installed into a fresh environment, one scenario and one plugin test.
wheel-test: setup-dev
	tools/wheel-test.sh

# Needs uv (`pip install uv`). The locks have hashes for all platforms and name no index. The lab's image gets the same
# packages without the development tools.
# uv trusts what this machine trusts, as pip does here: a proxy may end TLS on the way to the index.
COMPILE := UV_SYSTEM_CERTS=1 uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header
lock:
	$(COMPILE) --extra dev pyproject.toml -o requirements.lock
	$(COMPILE) --constraint requirements.lock --extra pages pyproject.toml -o requirements-pages.lock
	$(COMPILE) --constraint requirements.lock pyproject.toml -o lab/images/lab/requirements.lock
	head -n 1 lab/images/lab/build.lock >lab/images/lab/build.lock.new
	printf "%s\n" setuptools hatchling editables | $(COMPILE) --constraint requirements.lock - >>lab/images/lab/build.lock.new
	mv lab/images/lab/build.lock.new lab/images/lab/build.lock

# With bytecode everything starts a third faster, also in sandboxes, which cannot write it themselves. Python cannot always
# write it here either (PYTHONDONTWRITEBYTECODE, another user's checkout), so a failure is ignored.
setup:
	@tools/setup.sh
	@$(BIN)/python -m compileall -q lab harness >/dev/null 2>&1 || true

# Adds what tests and checks need.
setup-dev: setup
	@tools/setup.sh dev

# Adds what only some of our own tests and the site need.
setup-pages: setup-dev
	@tools/setup.sh pages

images:
	@tools/images.sh

clean:
	rm -rf .venv dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
