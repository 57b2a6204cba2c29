"""Arguments of the fixtures mean the same as in a scenario file, or are refused with a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import pytest
import trustme
from tests.harness.verdict.outcomes import pinned

from ftps_harness import testing
from ftps_harness.sandbox.home import Home
from ftps_harness.scenario.tables import ServerTable
from ftps_harness.testing import ArgumentError, LftpRunner, ServerFactory, keys
from ftps_lab.certificates import CertificateSpec
from ftps_lab.interface import ServerSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.testing import ServerHandle, TestOutcome

pytestmark = [pytest.mark.lftp, pytest.mark.usefixtures("nothing_left")]
pytest_plugins = ["pytester"]

PIN = 'set ssl:ca-file "~/.lftp/pin.crt"\n'


@pytest.fixture
def servers() -> Iterator[ServerFactory]:
    with ServerFactory() as factory:
        yield factory


@pytest.fixture
def lftp(client: Lftp) -> Iterator[LftpRunner]:
    with Home() as home:
        yield LftpRunner(client, home, timeout=20)


def rc_of(outcome: TestOutcome) -> str:
    return outcome.attempt.rc


def test_rc_stays_until_another_is_given(servers: ServerFactory, lftp: LftpRunner) -> None:
    """As in [[step]], a second run without rc keeps the previous rc."""
    server = servers()
    assert lftp(server, rc=pinned(server)).verdict == "accepted"
    assert lftp(server).verdict == "accepted"
    server.rotate()
    assert lftp(server).reasons == {"untrusted"}
    assert rc_of(lftp(server)) == pinned(server)
    assert lftp(server, rc="set ssl:verify-certificate no\n").verdict == "accepted"
    assert lftp(server).verdict == "accepted"
    assert lftp(server, rc=None).verdict == "rejected"
    assert not (lftp.home.dot_lftp / "rc").exists()
    assert lftp(server).verdict == "rejected"


def test_placeholders_of_a_kept_rc_are_replaced_for_each_server(servers: ServerFactory, lftp: LftpRunner) -> None:
    one, other = servers(), servers()
    rc = "# {port}\n" + PIN
    assert rc_of(lftp(one, rc=rc)) == f"# {one.port}\n{PIN}"
    assert rc_of(lftp(other)) == f"# {other.port}\n{PIN}"


def test_rc_may_be_text_bytes_or_a_file(servers: ServerFactory, lftp: LftpRunner, tmp_path: Path) -> None:
    """Bytes and files are used unchanged, with any content."""
    server = servers()
    rc = pinned(server) + "# {lftp} \u00fc\n"
    file = tmp_path / "my-rc"
    for given in (rc.encode("latin-1"), file):
        file.write_bytes(rc.encode("latin-1"))
        lftp(server, rc=None)
        assert lftp(server, rc=given).verdict == "accepted"
        assert (lftp.home.dot_lftp / "rc").read_bytes() == rc.encode("latin-1")
    assert lftp(server, rc=rc).verdict == "accepted"
    assert (lftp.home.dot_lftp / "rc").read_text("utf-8") == rc.replace("{lftp}", str(lftp.home.dot_lftp))


def test_placeholders_are_replaced_as_in_scenario_files(servers: ServerFactory, lftp: LftpRunner) -> None:
    """Placeholders work in the rc, in texts of files and in lftp commands."""
    server = servers()
    outcome = lftp(
        server,
        host="host.test",
        rc='set ssl:ca-file "{lftp}/pin.crt"\nset ssl:check-hostname no\n',
        files={"pin.crt": server.pin, "names": "{host} {port} {user} {password} {{host}}\n", "cwd/bytes": b"{host}"},
        run=["list", "echo port={port}"],
    )
    assert outcome.verdict == "accepted"
    names = f"host.test {server.port} {server.user} {server.password} {{host}}\n"
    assert (lftp.home.dot_lftp / "names").read_text() == names
    assert (lftp.home.home / "bytes").read_text() == "{host}"
    assert f"port={server.port}\n".encode() in outcome.attempt.run.stdout


def test_login_is_the_servers_unless_the_test_gives_one(servers: ServerFactory, lftp: LftpRunner) -> None:
    """The server's user and password are the right ones; a test passes its own to see them refused."""
    server = servers(user="backup", password="it's {right} #1")
    rc = pinned(server, "# {user} {password}\n")
    outcome = lftp(server, rc=rc)
    assert outcome.verdict == "accepted"
    assert rc_of(outcome).endswith("# backup it's {right} #1\n")
    assert (server.user, server.password) == ("backup", "it's {right} #1")
    refused = lftp(server, user="somebody", password="wrong")
    assert refused.verdict == "login-failed"
    assert rc_of(refused).endswith("# somebody wrong\n")


def test_path_given_as_text_is_refused_as_file_content(servers: ServerFactory, lftp: LftpRunner) -> None:
    """Otherwise the characters of the path would become the pin, and a wrong test could pass."""
    authority = trustme.CA()
    server = servers(certificate=authority.issue_cert("localhost"))
    for text in (str(server.pin), "~/.lftp/pin.crt", "./pin.crt", f"/nowhere{server.pin}"):
        with pytest.raises(ArgumentError, match=r"is a path, but text is the file's content; give Path\("):
            lftp(server, rc=PIN, files={"pin.crt": text})
        assert not (lftp.home.dot_lftp / "pin.crt").exists()
    with pytest.raises(ArgumentError, match=r"'x': ….*cannot read /nowhere: No such file"):
        lftp(server, files={"x": Path("/nowhere")})
    assert lftp(server, rc=PIN, files={"pin.crt": server.pin}).verdict in {"accepted", "rejected"}
    assert (lftp.home.dot_lftp / "pin.crt").read_bytes() == server.pin.read_bytes()
    assert lftp(server, files={"pin.crt": bytes(str(server.pin), "ascii")}).verdict == "rejected"


def test_content_that_names_a_file_in_the_current_folder_is_refused(
    servers: ServerFactory, lftp: LftpRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pin").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArgumentError, match="is a path"):
        lftp(servers(), files={"pin.crt": "pin"})


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "files: a number": ({"files": {"x": 5}}, r"lftp\(files={'x': …}\): give a certificate.*not 5"),
    "files: the rc": ({"files": {"rc": "set x y\n"}}, "write the rc file with the key rc"),
    "files: out of HOME": ({"files": {"../x": b""}}, "is not a file name"),
    "files: twice the same": ({"files": {"x": b"", "cwd/x": b""}, "cwd": "lftp"}, "is the same file as"),
    "files: a list": ({"files": ["x"]}, "must be a dictionary from names to contents"),
    "rc: a number": ({"rc": 5}, r"lftp\(rc=…\): give text, bytes, a pathlib.Path"),
    "rc: a path as text": ({"rc": "/etc/lftp.conf"}, r"is a path, not an rc; give Path\("),
    "rc: a file that is not there": ({"rc": Path("/nowhere/rc")}, "cannot read /nowhere/rc"),
    "rc: an unknown name": ({"rc": "x {sha1:mine}\n"}, r"\{sha1:mine\} is not a placeholder here; use one of \{lftp\}"),
    "rc: a misspelt name": (
        {"rc": "x {prot}\n"},
        r"\{prot\} is not a placeholder here; use one of \{lftp\}, .*\{port\}",
    ),
    "run: a misspelt name": ({"run": ["ls {prot}"]}, r"lftp\(run=…\): .*\{prot\} is not a placeholder here"),
    "files: a misspelt name": ({"files": {"x": "{prot}"}}, r"'x': ….*\{prot\} is not a placeholder here"),
    "cwd: a path": (
        {"cwd": "/nowhere"},
        "lftp cannot be started in '/nowhere'; use one of lftp, home, elsewhere",
    ),
    "cwd: a list": ({"cwd": ["home"]}, "lftp cannot be started in"),
    "run: a text": ({"run": "list"}, r"write a list, such as \['list'\]"),
    "run: a number": ({"run": [1]}, "write a list of strings"),
    "host: a URL": ({"host": "ftp://x"}, "is neither a host name nor an IP address"),
    "host: none": ({"host": None}, r"lftp\(host=…\): must be text"),
    "user: a number": ({"user": 5}, r"lftp\(user=…\): must be text"),
    "user: empty": ({"user": ""}, "must not be empty; omit it"),
    "password: a line end": ({"password": "x\n"}, "contains a line end or NUL"),
    "timeout: nothing": ({"timeout": 0}, "must be a number of seconds greater than 0, not 0"),
    "timeout: no end": ({"timeout": float("inf")}, "must be a number of seconds greater than 0"),
    "timeout: true": ({"timeout": True}, "must be a number of seconds greater than 0"),
    "timeout: text": ({"timeout": "5"}, "must be a number of seconds greater than 0"),
}


@pytest.mark.parametrize("case", WRONG)
def test_bad_argument_of_lftp_is_refused_before_it_runs(servers: ServerFactory, lftp: LftpRunner, case: str) -> None:
    """ArgumentError is a TypeError."""
    keywords, sentence = WRONG[case]
    server = servers()
    with pytest.raises(ArgumentError, match=sentence):
        lftp(server, **keywords)
    assert issubclass(ArgumentError, TypeError)
    assert server.testimony().connections == ()


@pytest.mark.parametrize("server", ["localhost", None, Path("/nowhere")])
def test_server_argument_must_be_a_server(lftp: LftpRunner, server: Any) -> None:
    with pytest.raises(ArgumentError, match=r"give a server, such as one = ftps_server\(\)"):
        lftp(server)


def test_stopped_server_is_refused(lftp: LftpRunner) -> None:
    """Its port may belong to another server by now."""
    with ServerFactory() as servers:
        server = servers()
    with pytest.raises(ArgumentError, match="the server is stopped"):
        lftp(server)


WRONG_SERVERS: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown key": ({"atack": "intercept"}, r"unknown keyword. Did you mean .attack.\?"),
    "a word for true": ({"require_tls": "no"}, "must be true or false"),
    "versions as one text": ({"tls": "1.2"}, r"ftps_server\(tls=…\): give a list of strings, not '1.2'"),
    "an unknown version": ({"tls": ["1.4"]}, 'unknown value "1.4"'),
    "a chain of names": ({"chain": ["root"]}, r"ftps_server\(chain=…\): give a list of certificates"),
    "a certificate's name": ({"certificate": "genuine"}, r"ftps_server\(certificate=…\): give one made by"),
    "names as one text": ({"certificate": {"names": "localhost"}}, r"certificate\(names=…\): must be a list"),
    "a word for no": ({"certificate": {"ca": "no"}}, r"certificate\(ca=…\)"),
    "another key": ({"certificate": {"key": "rsa-512"}}, r"certificate\(key=…\): unknown value"),
}


@pytest.mark.parametrize("case", WRONG_SERVERS)
def test_bad_argument_of_a_server_is_refused(servers: ServerFactory, case: str) -> None:
    keywords, sentence = WRONG_SERVERS[case]
    with pytest.raises(ArgumentError, match=sentence):
        servers(**keywords)
    with pytest.raises(ArgumentError, match=sentence):
        servers().rotate(**keywords)


def test_plain_server_has_no_pin(servers: ServerFactory) -> None:
    server = servers(protocol="plain")
    for name in ("pin", "new_pin"):
        with pytest.raises(ArgumentError, match="a plain server has no certificate"):
            getattr(server, name)


def test_new_pin_is_another_file_after_each_rotation(servers: ServerFactory) -> None:
    """An rc that names the previous pin must not come to trust the next certificate."""
    server = servers()
    pins = {server.pin: server.pin.read_bytes()}
    for _ in range(2):
        server.rotate()
        pins[server.new_pin] = server.new_pin.read_bytes()
    assert len(pins) == 3
    assert len(set(pins.values())) == 3
    assert {path: path.read_bytes() for path in pins} == pins


def test_typed_keys_match_the_scenario_format() -> None:
    greeting = {"greeting", "greeting_in_pieces"}  # only programs use them
    assert set(keys.ServerKeys.__annotations__) == set(ServerSpec.__dataclass_fields__) - greeting
    assert set(keys.ServerKeys.__annotations__) == set(get_type_hints(ServerTable)) - {"revoked"}
    assert set(keys.CertificateKeys.__annotations__) == set(CertificateSpec.__struct_fields__)


@pytest.mark.parametrize("key", ["greeting", "greeting_in_pieces"])
def test_greeting_keys_are_refused(servers: ServerFactory, key: str) -> None:
    with pytest.raises(ArgumentError, match=f"{key}"):
        servers(**{key: "x"})  # type: ignore[arg-type]


def test_repr_describes_servers_and_outcomes(servers: ServerFactory, lftp: LftpRunner) -> None:
    server: ServerHandle = servers(attack="strip-auth")
    assert repr(server) == f"<FTPS server on port {server.port}: explicit, attack strip-auth>"
    assert repr(servers(role="impostor", protocol="implicit")).endswith(": implicit, impostor>")
    assert repr(lftp(server, rc=pinned(server))) == "<lftp's outcome: exposed: password, payload to impostor, wire>"
    forced = lftp(server, rc=pinned(server, "set ftp:ssl-force yes\n"))
    assert repr(forced) == "<lftp's outcome: rejected: tls-required>"


MISTAKES = [
    "lftp('localhost')",
    "lftp(server, cwd='/tmp')",
    "lftp(server, files={'x': 5})",
    "lftp()",
    "lftp(server, rcc='')",
    "lftp(server, 'set x y')",
    "lftp(server, run=['exit'])",
    "ftps_server(atack='none')",
    "ftps_server(attack='nobody')",
    "ftps_server(certificate={'not_after': 'yesterday'})",
    "ftps_server.certificate(nmaes=[])",
    "server.rotate(certificate='x')",
    "ftps_server(protocol='plain').pin",
]


def test_traceback_of_a_mistake_ends_in_the_test(pytester: pytest.Pytester) -> None:
    """pytest shows no frame of ftps_harness."""
    functions = [
        f"def test_mistake_{number}(ftps_server, lftp):\n    server = ftps_server()\n    {line}\n"
        for number, line in enumerate(MISTAKES)
    ]
    pytester.makepyfile(test_mistakes="\n".join(functions))
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(failed=len(MISTAKES))
    shown = result.stdout.str().partition("FAILURES")[2].partition("short test summary")[0]
    assert shown.count(": ArgumentError\n") == len(MISTAKES)
    for number, line in enumerate(MISTAKES):
        assert f">       {line}\n" in shown
        assert f"test_mistakes.py:{4 * number + 3}: ArgumentError\n" in shown
    assert "ftps_harness/" not in shown


def test_public_names_can_be_imported() -> None:
    assert [name for name in testing.__all__ if not hasattr(testing, name)] == []
