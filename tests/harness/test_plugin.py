"""The plugin as other repositories use it: fixtures, scenario files as tests, idle unless used."""

from __future__ import annotations

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


def test_the_readme_example_passes(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_example=EXAMPLE.read_text())
    result = pytester.runpytest_subprocess("-W", "error", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*ftps-lab: * is lftp *dialect *; servers: pyftpdlib *, OpenSSL *"])


def test_every_claim_of_the_example_can_fail(pytester: pytest.Pytester) -> None:
    """Without the pin nothing is accepted; without the rotation nothing is refused."""
    text = EXAMPLE.read_text()
    pytester.makepyfile(
        test_no_pin=text.replace("set ssl:ca-file", "set net:timeout 3 #"),
        test_no_rotation=text.replace("server.rotate()", "pass"),
        test_no_verification=text.replace("rc = f'", "rc = f'set ssl:verify-certificate no;"),
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(failed=3)


def test_two_servers_under_xdist(pytester: pytest.Pytester) -> None:
    """Two servers at once, and more workers than one."""
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


def test_keywords_are_those_of_the_scenario_format(pytester: pytest.Pytester) -> None:
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
            with pytest.raises(UsageError, match="there is no such keyword"):
                ftps_server(**keywords)

        def test_impossible(ftps_server):
            with pytest.raises(UsageError, match="not_after"):
                ftps_server.certificate(not_after="yesterday")
        """
    )
    pytester.runpytest_subprocess("-W", "error", "-p", "no:cacheprovider").assert_outcomes(passed=6)


def test_a_scenario_file_is_a_test(pytester: pytest.Pytester) -> None:
    """It passes as it is, and fails with the evidence when its expectation is turned round."""
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


@pytest.mark.parametrize("arguments", [["--lftp", "/nonexistent/lftp"], ["--lftp", "/bin/true"]])
def test_an_unusable_lftp_fails_with_a_sentence(pytester: pytest.Pytester, arguments: list[str]) -> None:
    pytester.makepyfile("def test_x(lftp): pass")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", *arguments)
    assert result.ret != 0
    result.stdout.fnmatch_lines([f"*{arguments[1]}*"])
    assert "Traceback" not in result.stdout.str()


def test_what_comes_later_is_refused(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_x(pin_tool): pass")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--pin-tool", "x")
    result.stderr.fnmatch_lines(["*--pin-tool*later version*"])
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(errors=1)


def test_idle_unless_used(pytester: pytest.Pytester) -> None:
    """The plugin alone imports no OpenSSL, no pyftpdlib, no msgspec, and prints nothing."""
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
