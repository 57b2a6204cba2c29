"""The fixtures in the place `sealed`: real names, ports and addresses, all traffic captured, and no way out."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.harness.verdict.outcomes import EVERYTHING, NO_VERIFICATION, leaked, pinned

from ftps_harness.sandbox.home import Home
from ftps_harness.testing import ArgumentError, LabError, LftpRunner, ServerFactory
from ftps_harness.testing.sealed import SealedFixtures

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftps_harness.client.lftp import Lftp

pytest_plugins = ["pytester"]
pytestmark = [pytest.mark.lftp, pytest.mark.usefixtures("nothing_left")]

NAME = "backup.example.org"
OUTSIDE = "192.0.2.77"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stands for pytest's rootdir."""
    return tmp_path_factory.mktemp("project")


@pytest.fixture(scope="module")
def sealed(sealed_here: None, client: Lftp, project: Path) -> Iterator[SealedFixtures]:
    place = SealedFixtures(client.path, project)
    yield place
    place.close()


class Lab:
    """What a test in another repository gets from the plugin."""

    def __init__(self, servers: ServerFactory, lftp: LftpRunner) -> None:
        self.servers = servers
        self.lftp = lftp


@pytest.fixture
def lab(sealed: SealedFixtures, client: Lftp) -> Iterator[Lab]:
    with ServerFactory(sealed) as servers, Home(sealed.place.parent, sealed.place.inside) as home:
        yield Lab(servers, LftpRunner(client, home, timeout=20, sealed=sealed))


def test_real_name_and_port_without_a_setting_of_ours(lab: Lab) -> None:
    server = lab.servers(certificate={"names": [NAME]})
    outcome = lab.lftp(server, rc=pinned(server), run=EVERYTHING, host=NAME).check("accepted", exposed=())
    assert server.port == 21
    assert not any("dns:name" in word for word in outcome.attempt.run.argv)
    lab.lftp(server, host="other.example.org").check("rejected", reasons="hostname")
    server.rotate(role="impostor")
    lab.lftp(server, host=NAME).check("rejected", reasons="untrusted")
    outcome = lab.lftp(server, rc=NO_VERIFICATION, host=NAME)
    assert leaked(outcome) == ("exposed", {"password", "payload"}, {"impostor"})


@pytest.mark.parametrize("host", [OUTSIDE, "2001:db8::7", "::1", "127.0.0.1"])
def test_any_address_leads_to_the_server(lab: Lab, host: str) -> None:
    server = lab.servers(certificate={"names": [host]})
    lab.lftp(server, rc=pinned(server), host=host).check("accepted")
    lab.lftp(server).check("rejected", reasons="hostname")  # and localhost again


@pytest.mark.parametrize(
    "line", [f"open -u me,pw ftp://{OUTSIDE}; ls", f"set ftp:proxy ftp://{OUTSIDE}", f"set dns:name/{NAME} {OUTSIDE}"]
)
def test_rc_that_leads_elsewhere_reaches_nothing_and_is_seen(lab: Lab, line: str) -> None:
    server = lab.servers(certificate={"names": [NAME]})
    rc = pinned(server, f"set net:max-retries 1\nset net:timeout 2\n{line}\n")
    outcome = lab.lftp(server, rc=rc, host=NAME)
    assert outcome.verdict not in {"accepted", "rejected"}
    assert OUTSIDE in " ".join(outcome.attempt.exposure.elsewhere.tried)


def test_one_server_at_a_time(sealed: SealedFixtures) -> None:
    for _ in range(2):  # the place is free again once its server has ended
        with ServerFactory(sealed) as servers:
            assert servers().port == 21
            with pytest.raises(ArgumentError, match=r"only one at a time; change it with server\.rotate"):
                servers()
    with ServerFactory(sealed) as servers:
        servers().stop()
        assert servers(protocol="implicit").port == 990


def test_program_sees_names_and_reaches_nothing_else(lab: Lab) -> None:
    server = lab.servers(certificate={"names": [NAME]})
    connect = "import socket, sys; print(socket.create_connection((sys.argv[1], int(sys.argv[2])), 2).recv(3))"
    fine = lab.lftp.program([sys.executable, "-c", connect, "{host}", "{port}"], server=server, host=NAME).check()
    assert b"220" in fine.stdout
    for target in (OUTSIDE, "elsewhere.example"):
        tried = lab.lftp.program([sys.executable, "-c", connect, target, "21"], server=server, host=NAME)
        assert tried.exit_code == 1
        assert target in " ".join(tried.refused)
        with pytest.raises(AssertionError):
            tried.check(1)
    datagram = f"import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('{OUTSIDE}', 9))"
    assert OUTSIDE in " ".join(lab.lftp.program([sys.executable, "-c", datagram]).refused)
    knock = "import socket; print(socket.socket().connect_ex(('127.0.0.1', 2999)))"
    lab.lftp.program([sys.executable, "-c", knock]).check()  # a closed port of this machine is no other machine


def test_program_of_the_project_writes_a_pin(lab: Lab, project: Path) -> None:
    tool = project / "pin.sh"
    tool.write_text('#!/bin/sh\ncp "$1" ~/.lftp/pin.crt && echo "set ssl:ca-file ~/.lftp/pin.crt" > ~/.lftp/rc\n')
    tool.chmod(0o755)
    server = lab.servers(certificate={"names": [NAME]})
    lab.lftp.program([tool, server.pin]).check()
    lab.lftp(server, host=NAME).check("accepted")
    server.rotate(role="impostor")
    lab.lftp(server, host=NAME).check("rejected", reasons="untrusted")
    assert lab.lftp.program(["sh", "-c", f"echo x > {project}/y"]).exit_code != 0, "the project is read-only"
    assert lab.lftp.program(["ls", str(Path(__file__).parent)]).exit_code != 0, "other folders are hidden"


def test_daemon_does_not_survive(lab: Lab) -> None:
    """The run lasts as long as it does, and no longer than its time limit."""
    done = lab.lftp.program(["sh", "-c", "setsid sleep 4711 >/dev/null 2>&1 </dev/null &"], timeout=0.5)
    assert done.timed_out
    running = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended meanwhile
            running.append(path.read_bytes())
    assert not [words for words in running if words.startswith(b"sleep\x004711")]


def test_server_that_cannot_move_is_an_error_and_nothing_more(sealed: SealedFixtures, lab: Lab) -> None:
    with ServerFactory(sealed) as servers:
        server = servers()
        with pytest.raises(LabError):
            lab.lftp(server, host="fe80::1")
    assert lab.servers().port == 21


def test_paths_in_home_are_translated(lab: Lab) -> None:
    (lab.lftp.home.home / "x").write_text("content")
    assert lab.lftp.program(["cat", lab.lftp.home.home / "x"]).check().stdout == b"content"


def test_fixtures_in_different_places_are_refused(lab: Lab) -> None:
    with ServerFactory() as servers:
        server = servers()
        with pytest.raises(ArgumentError, match=r"the server is in the place loopback, and this lftp in sealed"):
            lab.lftp(server)
        with pytest.raises(ArgumentError, match="place loopback"):
            lab.lftp.program(["true"], server=server)


TESTS = """
import socket
import pytest

def reach(server):
    socket.create_connection(("127.0.0.1", server.port), 2).close()

def test_default(ftps_server, lftp):
    server = ftps_server()
    reach(server)
    assert lftp(server).reasons == {"untrusted"}

@pytest.mark.ftps_place("sealed")
def test_marked(ftps_server, lftp):
    server = ftps_server(certificate={"names": ["backup.example.org"]})
    assert server.port == 21
    rc = f'set ssl:ca-file "{server.pin}"'
    assert lftp(server, rc=rc, host="backup.example.org").verdict == "accepted"

@pytest.mark.ftps_place("loopback")
def test_marked_back(ftps_server):
    reach(ftps_server())

@pytest.mark.ftps_place("moon")
def test_no_place(ftps_server):
    pass
"""


@pytest.mark.usefixtures("sealed_here")
def test_marker_and_ini_option_choose_the_place(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TESTS)
    words = ("--strict-markers", "-W", "error", "-p", "no:cacheprovider")
    result = pytester.runpytest_subprocess(*words)
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*marker ftps_place: 'moon' is no place; use loopback or sealed*"])
    result = pytester.runpytest_subprocess(*words, "-o", "ftps_place=sealed", "-k", "not no_place")
    result.stdout.fnmatch_lines(["*ConnectionRefusedError*"])
    result.assert_outcomes(passed=2, failed=1)


WIDER = """
import pytest

@pytest.mark.ftps_place(place="sealed")
def test_of_module(ftps_server_module):
    pass

@pytest.mark.ftps_place("sealed")
def test_of_session(lftp_session):
    pass
"""


@pytest.mark.usefixtures("sealed_here")
def test_marker_that_does_not_reach_a_shared_fixture_is_an_error(pytester: pytest.Pytester) -> None:
    """Otherwise the test would pass on loopback."""
    pytester.makepyfile(WIDER)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(
        ["*ftps_server_module is shared, so it lives in loopback*", "*lftp_session is shared, so it lives in loopback*"]
    )
    module = WIDER.replace("import pytest", "import pytest\npytestmark = pytest.mark.ftps_place('sealed')")
    pytester.makepyfile(module.replace("lftp_session", "ftps_server, lftp_module"))
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=2)
    pytester.makepyfile(WIDER)
    pytester.runpytest_subprocess("-p", "no:cacheprovider", "-o", "ftps_place=sealed").assert_outcomes(passed=2)


BROKEN = """
import pytest
from ftps_harness.testing import LabError
pytestmark = pytest.mark.ftps_place("sealed")

def test_breaks(ftps_server, lftp):
    server = ftps_server()
    ftps_server.sealed.place._sandbox.host._give_up("broken")
    with pytest.raises(LabError, match="broken"):
        lftp(server)

def test_works_again(ftps_server, lftp):
    server = ftps_server()
    assert lftp(server, rc=f'set ssl:ca-file "{server.pin}"').verdict == "accepted"
"""


@pytest.mark.long
@pytest.mark.usefixtures("sealed_here")
def test_broken_place_is_replaced(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(BROKEN)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-k", "works")
    result.assert_outcomes(passed=1)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    assert result.parseoutcomes()["passed"] == 2, result.outlines


@pytest.mark.long
@pytest.mark.usefixtures("sealed_here")
@pytest.mark.parametrize("where", ["memory", "a link", "a mount below"])
def test_unusual_folders(pytester: pytest.Pytester, tmp_path: Path, where: str) -> None:
    """Files for tests in memory; a project behind a link, or with a volume in it, as containers have."""
    pytester.makepyfile(BROKEN.replace("    server", "    lftp.program(['ls', __file__]).check()\n    server"))
    words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-k", "works"]
    if where == "memory":
        in_memory = {**os.environ, "TMPDIR": "/dev/shm"}  # noqa: S108 - what is tested
        done = subprocess.run(words, cwd=pytester.path, env=in_memory, check=False, stdout=-1)
    elif where == "a link":
        (link := tmp_path / "link").symlink_to(pytester.path)
        done = subprocess.run([*words, "--rootdir", link, link], cwd=link, check=False, stdout=-1)
    else:
        (pytester.path / "volume").mkdir()
        mounted = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec"]
        mounted += ['mount -t tmpfs none volume; touch volume/x; exec "$@"', "sh"]
        done = subprocess.run([*mounted, *words], cwd=pytester.path, check=False, stdout=-1)
    assert b"1 passed" in done.stdout, done.stdout.decode()


def test_without_sandbox_it_is_skipped_with_the_reason(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        "from ftps_harness.sandbox.sandbox import Unavailable\n"
        "def none(*_, **__):\n    raise Unavailable('no user namespaces here')\n"
        "import ftps_harness.testing.sealed as fixtures\n"
        "fixtures.Sealed = none\n"
    )
    pytester.makepyfile(TESTS)
    result = pytester.runpytest_subprocess("-rs", "-p", "no:cacheprovider", "-k", "test_marked and not back")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*no user namespaces here*"])
