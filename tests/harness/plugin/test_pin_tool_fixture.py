"""The fixture `pin_tool`, as the author of a pinning tool uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.harness.pinning.conftest import TOOLS

from ftps_harness.pinning.contract import REQUIREMENTS

if TYPE_CHECKING:
    from pathlib import Path

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.lftp

TEST = """
def test_contract(pin_tool):
    pin_tool.check()
"""


def run_pytest(project: pytest.Pytester, *options: str) -> pytest.RunResult:
    return project.runpytest_subprocess("-W", "error", "-p", "no:cacheprovider", *options)


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(TEST)
    tool = pytester.path / "pin.sh"
    tool.write_bytes((TOOLS / "small.sh").read_bytes())
    tool.chmod(0o755)
    return pytester


def test_fixture_makes_one_test_per_requirement(project: pytest.Pytester, sealed_here: None) -> None:
    result = run_pytest(project, "--collect-only", "-q", "--pin-tool", "./pin.sh {host} {port}")
    listed = [f"*test_contract[[]{each.id}]" for each in REQUIREMENTS]
    result.stdout.fnmatch_lines(listed)


@pytest.mark.long
def test_requirements_pass_fail_with_evidence_or_skip(project: pytest.Pytester, sealed_here: None) -> None:
    chosen = "connects or two-hosts or tls-demanded or fingerprint-expected"
    result = run_pytest(project, "-k", chosen, "--pin-tool", "./pin.sh {host} {port}", "-rA")
    result.assert_outcomes(passed=1, failed=1, skipped=1, xfailed=1)
    result.stdout.fnmatch_lines(["*two-hosts: expected: *", "*done: ran *pin.sh mirror.example 21: exit code 0*"])
    assert "Traceback" not in result.stdout.str()


@pytest.mark.long
def test_requirement_not_claimed_by_the_tool_is_skipped(
    project: pytest.Pytester, sealed_here: None, tmp_path: Path
) -> None:
    (project.path / "pin-check.toml").write_text('[not-claimed]\ntwo-hosts = "one host is enough for us"\n')
    result = run_pytest(project, "-k", "two-hosts", "--pin-tool", "./pin.sh {host} {port}", "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*not claimed: one host is enough for us*"])


@pytest.mark.long
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), '*no pinning tool is given; run pytest --pin-tool "./pin.sh {host} {port}"*'),
        (("--pin-tool", "./none.sh {host}"), "*./none.sh: no such file*"),
        (("--pin-tool", "./pin.sh 'x"), "*--pin-tool*quote it as in a shell*"),
        (("--pin-tool", " "), "*--pin-tool: give the tool's command*"),
        (("--pin-tool", "./pin.sh x"), "*lacks {host}*"),
    ],
)
def test_bad_pin_tool_option_fails_with_the_reason(
    project: pytest.Pytester, options: tuple[str, ...], said: str, sealed_here: None
) -> None:
    result = run_pytest(project, "-k", "connects", *options)
    assert result.ret != 0
    result.stdout.fnmatch_lines([said])
    assert "Traceback" not in result.stdout.str()
