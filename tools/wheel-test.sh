#!/bin/sh
# Builds the wheel, installs it into a fresh environment outside the checkout, and runs one scenario and one plugin test.
# Then it runs the steps of action.yml, which also installs.
set -eu
cd "$(dirname "$0")/.."
checkout=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

.venv/bin/python -m build --quiet --no-isolation --wheel --outdir "$work/dist" .
.venv/bin/python -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: -r lab/images/lab/build.lock
"$work/env/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --no-build-isolation -r requirements.lock
"$work/env/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps "$work"/dist/*.whl
"$work/env/bin/python" -m pip --disable-pip-version-check check

cd "$work"
env -u PYTHONPATH "$work/env/bin/ftps-lab" run document/untrusted-by-default --html page.html
grep -q '<h1>.*As expected: 1 of 1 scenario' page.html  # the templates came with the wheel
cp "$checkout/tests/harness/plugin/plugin_example.py" test_example.py
env -u PYTHONPATH "$work/env/bin/python" -m pytest -q -p no:cacheprovider test_example.py
cd "$checkout"
FTPS_LAB_TEST_INSTALL=yes .venv/bin/python -m pytest -q tests/harness/cli/test_action.py::test_steps_install_verify_and_write_the_reports
