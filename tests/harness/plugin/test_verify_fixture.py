"""The fixture `verify`, as other repositories use it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.lftp

OFF = "set ftp:ssl-force yes\nset ssl:verify-certificate no\n"
QUICK = 'only=["impostor-copy"]'


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A repository with a bad setup, a good one and a script."""
    (pytester.path / "deploy").mkdir()
    (pytester.path / "deploy/rc").write_text(OFF)
    (pytester.path / "good").write_text("set ftp:ssl-force yes\n")
    script = pytester.path / "job.sh"
    script.write_text('#!/bin/sh\nlftp -e "set ssl:verify-certificate no; ls; bye" -u me,abcdefgh backup.example\n')
    script.chmod(0o755)
    return pytester


def run_pytest(project: pytest.Pytester, *options: str) -> pytest.RunResult:
    return project.runpytest_subprocess("-W", "error", "-p", "no:cacheprovider", *options)


def test_unsafe_setup_fails_with_the_report_and_safe_one_passes(project: pytest.Pytester, sealed_here: None) -> None:
    """A safe setup does not fail, and an assertion about the unsafe one can hold."""
    project.makepyfile(
        f"""
        def test_bad(verify):
            assert verify("deploy/rc", host="backup.example", {QUICK}).safe

        def test_check(verify):
            verify("deploy/rc", {QUICK}).check()

        def test_good(verify):
            report = verify("good", {QUICK}).check()
            assert report.safe
            assert report.text.startswith("SAFE: ")

        def test_known(verify):
            report = verify("deploy/rc", {QUICK})
            assert not report.safe
            assert report.ids >= {{"no-verification"}}
            assert [each.where.line for each in report.findings if each.id == "no-verification"] == [2]

        def test_command(verify):
            assert "no-verification" in verify(command=["./job.sh"], {QUICK}).ids
        """
    )
    result = run_pytest(project)
    result.assert_outcomes(failed=2, passed=3)
    result.stdout.fnmatch_lines(
        [
            "*test_bad*",
            "E   *assert False",
            "E  *+  where False = <SetupReport: NOT SAFE: 1 error>.safe",
            "E  *NOT SAFE: 1 error. An impostor with the same name *",
            "E  *deploy/rc, for backup.example port 21 *",
            "E  *ERROR  no-verification",
            "E  *set ssl:verify-certificate no",
            "*test_check*",
            "E   *NOT SAFE: 1 error. An impostor with the same name *",
            "*ftps-lab: * is lftp *",
        ]
    )
    failures, _, _ = str(result.stdout).partition(
        "short test summary info"
    )  # if CI is set, pytest prints everything again
    assert failures.count("E       Trials\n") == 2


@pytest.mark.long
def test_sealed_network_is_created_once_and_closed(project: pytest.Pytester, sealed_here: None) -> None:
    project.makepyfile(
        f"""
        import atexit
        import threading
        from ftps_harness.play.places import sealed

        made = []

        def left():
            print("LEFT", [each.name for each in threading.enumerate() if each.name.startswith("ftps-lab")])

        def setup_module():
            atexit.register(left)
            new = sealed.SealedPlaces._new
            sealed.SealedPlaces._new = lambda self, **more: made.append(1) or new(self, **more)

        def test_one(verify):
            assert verify("good", {QUICK}).safe

        def test_other(verify):
            before = len(made)
            assert verify("good", {QUICK}).safe
            assert len(made) == before > 0
        """
    )
    result = run_pytest(project, "-s")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["LEFT []"])


MISTAKES = {
    'verify("none")': "none: No such file or directory",
    'verify("good", command=["./job.sh"])': "give a path or a command, not both",
    'verify(command="./job.sh")': "command and only are lists of words",
    'verify("good", only=["impostor-cop"])': "Did you mean",
    'verify("good", hosts="x")': "unexpected keyword argument 'hosts'",
    'verify("good", system_rc="none")': "system_rc: none: No such file",
}


@pytest.mark.long
def test_mistake_is_reported_at_the_line_of_the_test(project: pytest.Pytester, sealed_here: None) -> None:
    tests = [f"def test_{number}(verify):\n    {call}\n" for number, call in enumerate(MISTAKES)]
    project.makepyfile("\n".join(tests))
    result = run_pytest(project)
    result.assert_outcomes(failed=len(MISTAKES))
    for number, (call, said) in enumerate(MISTAKES.items()):
        escaped = call.replace("[", "[[]")
        result.stdout.fnmatch_lines([f">   *{escaped}", f"E  *{said}*", f"test_*.py:{3 * number + 2}: *Error"])


def test_missing_namespaces_skip_the_test_with_the_reason(project: pytest.Pytester) -> None:
    project.makeconftest(
        """
        from ftps_harness.play.places import sealed
        from ftps_harness.sandbox.sandbox import Unavailable

        def refused(self, **_):
            raise Unavailable("no namespaces here; as root: sysctl some.thing=1")

        sealed.SealedPlaces._new = refused
        """
    )
    project.makepyfile("def test_it(verify):\n    assert verify('good').safe\n")
    result = run_pytest(project, "-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED *no namespaces here; as root: sysctl some.thing=1"])


@pytest.mark.long
def test_ftps_lab_toml_is_honoured(project: pytest.Pytester, sealed_here: None, tmp_path: Path) -> None:
    (project.path / "ftps-lab.toml").write_text('[[verify.ignore]]\nid = "no-verification"\nreason = "a VPN"\n')
    project.makepyfile(
        f"""
        def test_it(verify):
            report = verify("deploy/rc", {QUICK})
            assert report.safe
            assert "no-verification" not in report.ids
            assert "ignored: no-verification, because a VPN" in str(report)
        """
    )
    run_pytest(project).assert_outcomes(passed=1)
