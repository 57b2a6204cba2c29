"""The plugin's fixtures use the same pipeline as a scenario, without controls."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.harness.verdict.outcomes import EVERYTHING, NO_VERIFICATION, leaked, pinned

from ftps_harness.errors import UsageError
from ftps_harness.sandbox.home import Home
from ftps_harness.testing import LftpRunner, ServerFactory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.testing import Role

pytestmark = [pytest.mark.lftp, pytest.mark.usefixtures("nothing_left")]


class Lab:
    """What a test in another repository gets from the plugin."""

    def __init__(self, servers: ServerFactory, lftp: LftpRunner) -> None:
        self.servers = servers
        self.lftp = lftp


@pytest.fixture
def lab(client: Lftp) -> Iterator[Lab]:
    with ServerFactory() as servers, Home() as home:
        yield Lab(servers, LftpRunner(client, home, timeout=20))


def test_impostor_gets_the_password_even_if_it_is_pinned(lab: Lab) -> None:
    server = lab.servers(role="impostor")
    outcome = lab.lftp(server, rc=pinned(server), run=EVERYTHING)
    assert leaked(outcome) == ("exposed", {"password", "payload"}, {"impostor"})
    server.rotate(role="genuine")
    assert lab.lftp(server, rc=pinned(server)).reasons == {"untrusted"}
    server.rotate(role="impostor", certificate=lab.servers.certificate())
    assert lab.lftp(server, rc=NO_VERIFICATION, run=["put"]).exposed == {"password", "payload"}


def test_two_servers_have_separate_pins_and_testimony(lab: Lab) -> None:
    one, other = lab.servers(), lab.servers(role="impostor")
    for _ in range(2):
        assert lab.lftp(one, rc=pinned(one)).verdict == "accepted"
        assert lab.lftp(other, rc=pinned(one)).verdict == "rejected"
        assert lab.lftp(one, rc=pinned(other)).verdict == "rejected"
        assert lab.lftp(other, rc=pinned(other)).verdict == "exposed"
    assert one.testimony().passwords == []
    assert one.secrets.password != other.secrets.password


def test_login_to_another_server_does_not_count_for_this_one(lab: Lab) -> None:
    """The rc or the commands lead to another server, so nothing is proved about this one."""
    one, other = lab.servers(), lab.servers()
    elsewhere = f"open -u x,{other.secrets.password} -p {other.port} localhost"
    outcome = lab.lftp(one, rc=pinned(other), run=[elsewhere, "cls"])
    assert outcome.verdict == "unreachable"
    assert other.testimony().passwords == [other.secrets.password]
    outcome = lab.lftp(one, rc=pinned(one), run=["list", elsewhere, "cls"])
    assert outcome.verdict in {"inconclusive", "failed"}


@pytest.mark.parametrize("rc", [None, NO_VERIFICATION])
@pytest.mark.parametrize("role", ["genuine", "impostor"])
def test_rotation_during_a_run_is_inconclusive(lab: Lab, tmp_path: Path, rc: str | None, role: Role) -> None:
    """A second connection meets a server other than the one declared at the start, with either role."""
    server = lab.servers()
    before, after = tmp_path / "before", tmp_path / "after"

    def rotate() -> None:
        deadline = time.monotonic() + 15
        while not before.exists() and time.monotonic() < deadline:
            time.sleep(0.005)
        server.rotate(role=role)
        after.touch()

    thread = threading.Thread(target=rotate)
    thread.start()
    wait = f"!touch {before}; while ! test -e {after}; do sleep 0.01; done"
    outcome = lab.lftp(server, rc=rc or pinned(server), run=["list", wait, "close -a", "get"])
    thread.join()
    assert outcome.verdict == "inconclusive"
    assert "a certificate that was not declared" in str(outcome)


def test_files_may_be_certificates_paths_text_or_bytes(lab: Lab) -> None:
    """Certificates, paths, text and bytes give the same pin; a key is not a pin."""
    server = lab.servers()
    certificate = server.certificate
    assert certificate is not None
    rc = 'set ssl:ca-file "~/.lftp/pin.crt"\nset ftp:ssl-protect-data yes\n'
    for content in (certificate, server.pin, certificate.pem, certificate.pem.decode()):
        assert lab.lftp(server, rc=rc, files={"pin.crt": content}).verdict == "accepted"
    stranger = lab.servers.certificate()
    assert lab.lftp(server, rc=rc, files={"pin.crt": stranger}).reasons == {"untrusted"}
    for garbage in ("", "garbage", stranger.key_pem):
        assert lab.lftp(server, rc=rc, files={"pin.crt": garbage}).verdict == "rejected"


def test_relative_pin_is_read_from_the_start_folder(lab: Lab) -> None:
    server = lab.servers()
    rc = "set ssl:ca-file pin.crt\nset ftp:ssl-protect-data yes\n"
    files = {"cwd/pin.crt": server.pin}
    assert lab.lftp(server, rc=rc, files=files, cwd="elsewhere").verdict == "accepted"
    assert lab.lftp(server, rc=rc, cwd="home").verdict == "rejected"


def test_plain_server_exposes_password_and_payload(lab: Lab) -> None:
    server = lab.servers(protocol="plain")
    outcome = lab.lftp(server, rc="# mine\n", run=["put ~/.lftp/rc"])
    assert leaked(outcome) == ("exposed", {"password", "payload"}, {"wire"})
    force = lab.lftp(server, rc="set ftp:ssl-force yes\n", run=["list"])
    assert force.verdict == "rejected"
    assert force.reasons == {"tls-required"}


@pytest.mark.parametrize(
    ("run", "part"),
    [
        ([], "would run nothing"),
        ("list", r"write a list, such as \['list'\]"),
        (["list", "exit"], "ends lftp before the lab has seen the rest"),
        (["get &"], "where the lab does not see it"),
        (["echo x"], "never connects"),
    ],
)
def test_command_that_cannot_be_witnessed_is_a_usage_error(lab: Lab, run: Any, part: str) -> None:
    """The rules are those of a scenario file."""
    with pytest.raises(UsageError, match=part):
        lab.lftp(lab.servers(), run=run)


def test_second_run_shares_nothing_with_the_first(lab: Lab) -> None:
    """Content and messages of the first run do not count for the second."""
    server = lab.servers()
    assert lab.lftp(server, rc=pinned(server), run=["list", "get", "put"]).verdict == "accepted"
    refused = lab.lftp(server, rc="set ssl:verify-certificate yes\n", run=["list", "get", "put"])
    assert refused.verdict == "rejected"
    assert refused.attempt.client.holds_payload is False
    assert [task.done for task in refused.attempt.client.tasks] == [False, False, False]


def test_server_accepts_only_its_own_user_and_password(lab: Lab) -> None:
    """They may have any characters, and hold until a rotation changes them."""
    server = lab.servers(user="SITE\\me", password="it's #1")
    assert (server.user, server.password) == ("SITE\\me", "it's #1")
    assert lab.lftp(server, rc=pinned(server)).verdict == "accepted"
    assert lab.lftp(server, rc=pinned(server), password="wrong").verdict == "login-failed"
    assert lab.lftp(server, rc=pinned(server), user="you").verdict == "login-failed"
    server.rotate(certificate=server.certificate, user=None, password=None)
    assert (server.user, server.password) == (server.secrets.user, server.secrets.password)
    assert lab.lftp(server, rc=pinned(server), user="you").verdict == "accepted"
    with pytest.raises(UsageError, match=r"ftps_server\(user=…\): is empty"):
        lab.servers(user="")
