"""The plugin as other repositories use it: fixtures, scenario files as tests, idle unless used."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

EXAMPLE = Path(__file__).with_name("plugin_example.py")

SCENARIO = """
schema = 1
title = "t"
why = "w"
[certificates.genuine]
[server]
certificate = "genuine"
[[step]]
title = "refused"
[step.expect]
verdict = "{verdict}"
{more}
"""


def test_readme_example_passes(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_example=EXAMPLE.read_text())
    result = pytester.runpytest_subprocess("-W", "error", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*ftps-lab: * is lftp *dialect *; servers: pyftpdlib *, OpenSSL *"])


@pytest.mark.long
def test_reference_example_passes_and_can_fail(pytester: pytest.Pytester) -> None:
    reference = (EXAMPLE.parents[3] / "docs/reference.md").read_text("utf-8")
    (text,) = re.findall(r"^```python\n(from ftps_harness\.testing .*?)^```", reference, re.DOTALL | re.MULTILINE)
    pytester.makepyfile(test_example=text)
    pytester.runpytest_subprocess("-W", "error", "-p", "no:cacheprovider").assert_outcomes(passed=1)
    pytester.makepyfile(
        test_example=text.replace("server.rotate(", "print("),
        test_no_pin=text.replace("set ssl:ca-file", "# set ssl:ca-file"),
        test_no_tool=text.replace("cp ", "no-such-copy "),
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(failed=3)


@pytest.mark.long
def test_every_assertion_of_the_readme_example_can_fail(pytester: pytest.Pytester) -> None:
    """Without the pin, nothing is accepted; without the rotation, nothing is refused."""
    text = EXAMPLE.read_text()
    pytester.makepyfile(
        test_no_pin=text.replace("set ssl:ca-file", "set net:timeout 3 #"),
        test_no_rotation=text.replace("server.rotate()", "pass"),
        test_no_verification=text.replace("rc = f'", "rc = f'set ssl:verify-certificate no;"),
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(failed=3)


@pytest.mark.long
def test_two_servers_at_once_work_under_xdist(pytester: pytest.Pytester) -> None:
    """Each of two workers runs two servers at once."""
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("number", range(4))
        def test_two(ftps_server, lftp, number):
            one, other = ftps_server(), ftps_server(protocol="implicit")
            rc = f'set ssl:ca-file "{one.pin}"'
            assert lftp(one, rc=rc).verdict == "accepted"
            assert lftp(other, rc=rc).reasons == {"untrusted"}
            assert lftp(other, rc=f'set ssl:ca-file "{other.pin}"').verdict == "accepted"
        """
    )
    result = pytester.runpytest_subprocess("-n", "2", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["*ftps-lab: * is lftp *"])


@pytest.mark.long
def test_fixture_keywords_are_those_of_the_scenario_format(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        import trustme
        from ftps_harness.errors import UsageError

        def test_shapes(ftps_server, lftp):
            root = ftps_server.certificate(common_name="Root", names=[])
            leaf = ftps_server.certificate(issuer=root)
            server = ftps_server(certificate=leaf, tls=["1.2"])
            trusting = {"files": {"root.crt": root}, "rc": 'set ssl:ca-file "~/.lftp/root.crt"'}
            assert lftp(server, run=["list", "put"], **trusting).verdict == "accepted"
            assert lftp(server, host="elsewhere.test", **trusting).reasons == {"hostname"}
            server.rotate(certificate={"issuer": root, "not_after": "-1h"})
            assert "accepted" not in lftp(server, **trusting).verdict

        def test_trustme(ftps_server, lftp, tmp_path):
            authority = trustme.CA()
            server = ftps_server(certificate=authority.issue_cert("localhost"))
            authority.cert_pem.write_to_path(tmp_path / "ca.pem")
            assert lftp(server, rc=f'set ssl:ca-file "{tmp_path}/ca.pem"').verdict == "accepted"
            assert lftp(server, rc=None).reasons == {"untrusted"}

        def test_plain(ftps_server, lftp):
            outcome = lftp(ftps_server(protocol="plain"))
            assert (outcome.verdict, outcome.exposed) == ("exposed", {"password", "payload"})
            assert len(outcome.testimony.passwords) == 1

        @pytest.mark.parametrize("keywords", [{"colour": "red"}, {"certificate": {"nmaes": []}}])
        def test_unknown(ftps_server, keywords):
            with pytest.raises(UsageError, match="unknown keyword"):
                ftps_server(**keywords)

        def test_impossible(ftps_server):
            with pytest.raises(UsageError, match="not_after"):
                ftps_server.certificate(not_after="yesterday")
        """
    )
    pytester.runpytest_subprocess("-W", "error", "-p", "no:cacheprovider").assert_outcomes(passed=6)


def test_scenario_file_is_collected_as_a_test(pytester: pytest.Pytester) -> None:
    """A scenario file passes unchanged, and fails with the evidence once its expectation is reversed."""
    folder = pytester.mkdir("area")
    (folder / "right.scenario.toml").write_text(SCENARIO.format(verdict="rejected", more='reason = "untrusted"'))
    (folder / "wrong.scenario.toml").write_text(SCENARIO.format(verdict="accepted", more=""))
    (folder / "bad.scenario.toml").write_text("schema = 2")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(errors=1)
    assert "Traceback" not in result.stdout.str()
    result.stdout.fnmatch_lines(["*schema*"])
    (folder / "bad.scenario.toml").unlink()
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*expected accepted, but it was rejected*"])
    assert "Traceback" not in result.stdout.str()


def test_scenario_file_runs_in_the_sealed_place(pytester: pytest.Pytester, sealed_here: None) -> None:
    """On loopback, a scenario with an address as host is skipped."""
    text = SCENARIO.format(verdict="rejected", more='reason = "untrusted"')
    elsewhere = text.replace('title = "refused"', 'title = "refused"\nhost = "192.0.2.77"')
    (pytester.path / "elsewhere.scenario.toml").write_text(elsewhere)
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


@pytest.mark.long
@pytest.mark.parametrize("arguments", [["--lftp", "/nonexistent/lftp"], ["--lftp", "/bin/true"]])
def test_unusable_lftp_fails_without_a_traceback(pytester: pytest.Pytester, arguments: list[str]) -> None:
    pytester.makepyfile("def test_x(lftp): pass")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", *arguments)
    assert result.ret != 0
    result.stdout.fnmatch_lines([f"*{arguments[1]}*"])
    assert "Traceback" not in result.stdout.str()


@pytest.mark.long
@pytest.mark.parametrize("scope", ["module", "session"])
def test_wider_scoped_fixtures_share_server_and_home(pytester: pytest.Pytester, scope: str) -> None:
    """Several tests share one server and one HOME; the report shows what they ran with."""
    pytester.makepyfile(
        f"""
        import pytest

        @pytest.fixture(scope="{scope}")
        def outcome(ftps_server_{scope}, lftp_{scope}):
            server = ftps_server_{scope}()
            return lftp_{scope}(server, rc=f'set ssl:ca-file "{{server.pin}}"')

        seen = []

        @pytest.mark.parametrize("number", [1, 2])
        def test_outcome(outcome, number):
            seen.append(outcome)
            assert seen[0] is outcome
            assert outcome.verdict == "accepted"
        """
    )
    result = pytester.runpytest_subprocess("-W", "error", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*ftps-lab: * is lftp *dialect *; servers: pyftpdlib *"])


WRONG = {
    'outcome.check("accepted")': "expected accepted, but it was rejected: untrusted",
    'outcome.check(reasons="hostname")': "reasons: expected hostname, but it was untrusted",
    'outcome.check("rejected", message="no such words")': "lftp did not print 'no such words'",
    'assert outcome.verdict == "accepted"': "assert 'rejected' == 'accepted'",
    'assert outcome.verdict in {"accepted"}': "assert 'rejected' in {'accepted'}",
    'assert outcome.reasons == {"hostname"}': "assert {'untrusted'} == {'hostname'}",
    'assert outcome.exposed == {"password"}': "assert set() == {'password'}",
}


def test_failure_shows_the_evidence(pytester: pytest.Pytester) -> None:
    """Command, rc, both streams, log, and the records of server and wire; one line says what happened."""
    head = (
        "def test_wrong_{}(ftps_server, lftp):\n    outcome = lftp(ftps_server(), rc='# my rc', run=['list'])\n    {}\n"
    )
    pytester.makepyfile("\n".join(head.format(number, line) for number, line in enumerate(WRONG)))
    result = pytester.runpytest_subprocess("-vv", "-p", "no:cacheprovider")
    result.assert_outcomes(failed=len(WRONG))
    failures = result.stdout.str().partition("FAILURES")[2].partition("short test summary")[0]
    shown = re.split(r"^_+ test_wrong_\d _+$", failures, flags=re.MULTILINE)[1:]
    headings = (
        "lftp's command",
        "# my rc",
        "stdout",
        "stderr",
        "debug log",
        "the server's account",
        "the wire's account",
    )
    for text, first in zip(shown, WRONG.values(), strict=True):
        for part in (first, "rejected: untrusted", *headings, "Certificate verification: "):
            assert part in text
        assert "ftps_harness/" not in text


def test_unused_plugin_imports_nothing_heavy_and_prints_nothing(pytester: pytest.Pytester) -> None:
    """The plugin alone imports no OpenSSL, pyftpdlib or msgspec, and prints nothing."""
    pytester.makepyfile(
        """
        import sys

        def test_light():
            heavy = {"OpenSSL", "pyftpdlib", "msgspec", "cryptography", "click", "rich", "trustme"}
            assert not heavy & set(sys.modules)
        """
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:cov", str(pytester.path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout
    assert "ftps-lab:" not in done.stdout
