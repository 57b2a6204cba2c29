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


class Hand:
    """The objects that a test in another repository holds."""

    def __init__(self, servers: ServerFactory, lftp: LftpRunner) -> None:
        self.servers = servers
        self.lftp = lftp


@pytest.fixture
def hand(client: Lftp) -> Iterator[Hand]:
    with ServerFactory() as servers, Home() as home:
        yield Hand(servers, LftpRunner(client, home, timeout=20))


def test_the_fixtures_impostor_is_exposed_to_even_when_pinned(hand: Hand) -> None:
    server = hand.servers(role="impostor")
    outcome = hand.lftp(server, rc=pinned(server), run=EVERYTHING)
    assert leaked(outcome) == ("exposed", {"password", "payload"}, {"impostor"})
    server.rotate(role="genuine")
    assert hand.lftp(server, rc=pinned(server)).reasons == {"untrusted"}
    server.rotate(role="impostor", certificate=hand.servers.certificate())
    assert hand.lftp(server, rc=NO_VERIFICATION, run=["put"]).exposed == {"password", "payload"}


def test_two_servers_of_the_fixture_are_never_taken_for_each_other(hand: Hand) -> None:
    one, other = hand.servers(), hand.servers(role="impostor")
    for _ in range(2):
        assert hand.lftp(one, rc=pinned(one)).verdict == "accepted"
        assert hand.lftp(other, rc=pinned(one)).verdict == "rejected"
        assert hand.lftp(one, rc=pinned(other)).verdict == "rejected"
        assert hand.lftp(other, rc=pinned(other)).verdict == "exposed"
    assert one.testimony().passwords == []
    assert one.secrets.password != other.secrets.password


def test_what_lftp_takes_from_another_server_is_not_this_servers(hand: Hand) -> None:
    """The rc and the commands lead to a server other than the given one, so nothing is proved."""
    one, other = hand.servers(), hand.servers()
    elsewhere = f"open -u x,{other.secrets.password} -p {other.port} localhost"
    outcome = hand.lftp(one, rc=pinned(other), run=[elsewhere, "cls"])
    assert outcome.verdict == "unreachable"
    assert other.testimony().passwords == [other.secrets.password]
    outcome = hand.lftp(one, rc=pinned(one), run=["list", elsewhere, "cls"])
    assert outcome.verdict in {"inconclusive", "failed"}


@pytest.mark.parametrize("rc", [None, NO_VERIFICATION])
@pytest.mark.parametrize("role", ["genuine", "impostor"])
def test_a_rotation_during_the_run_proves_nothing(hand: Hand, tmp_path: Path, rc: str | None, role: Role) -> None:
    """A second connection meets another server than the one declared at the start, with either role."""
    server = hand.servers()
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
    outcome = hand.lftp(server, rc=rc or pinned(server), run=["list", wait, "close -a", "get"])
    thread.join()
    assert outcome.verdict == "inconclusive"
    assert "a certificate that was not declared" in str(outcome)


def test_files_of_the_fixture(hand: Hand) -> None:
    """Certificates, paths, text and bytes give the same pin; a key is not a pin."""
    server = hand.servers()
    certificate = server.certificate
    assert certificate is not None
    rc = 'set ssl:ca-file "~/.lftp/pin.crt"\nset ftp:ssl-protect-data yes\n'
    for content in (certificate, server.pin, certificate.pem, certificate.pem.decode()):
        assert hand.lftp(server, rc=rc, files={"pin.crt": content}).verdict == "accepted"
    stranger = hand.servers.certificate()
    assert hand.lftp(server, rc=rc, files={"pin.crt": stranger}).reasons == {"untrusted"}
    for garbage in ("", "garbage", stranger.key_pem):
        assert hand.lftp(server, rc=rc, files={"pin.crt": garbage}).verdict == "rejected"


def test_a_pin_of_the_folder_that_lftp_is_started_in(hand: Hand) -> None:
    server = hand.servers()
    rc = "set ssl:ca-file pin.crt\nset ftp:ssl-protect-data yes\n"
    files = {"cwd/pin.crt": server.pin}
    assert hand.lftp(server, rc=rc, files=files, cwd="elsewhere").verdict == "accepted"
    assert hand.lftp(server, rc=rc, cwd="home").verdict == "rejected"


def test_a_plain_server_of_the_fixture_exposes(hand: Hand) -> None:
    server = hand.servers(protocol="plain")
    outcome = hand.lftp(server, rc="# mine\n", run=["put ~/.lftp/rc"])
    assert leaked(outcome) == ("exposed", {"password", "payload"}, {"wire"})
    force = hand.lftp(server, rc="set ftp:ssl-force yes\n", run=["list"])
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
def test_what_the_fixture_cannot_witness_is_refused(hand: Hand, run: Any, part: str) -> None:
    """A request that the fixture cannot witness is refused, as in a scenario file."""
    with pytest.raises(UsageError, match=part):
        hand.lftp(hand.servers(), run=run)


def test_nothing_is_shared_by_two_runs_of_the_fixture(hand: Hand) -> None:
    """Content and messages of the first run do not count for the second."""
    server = hand.servers()
    assert hand.lftp(server, rc=pinned(server), run=["list", "get", "put"]).verdict == "accepted"
    refused = hand.lftp(server, rc="set ssl:verify-certificate yes\n", run=["list", "get", "put"])
    assert refused.verdict == "rejected"
    assert refused.attempt.client.holds_payload is False
    assert [task.done for task in refused.attempt.client.tasks] == [False, False, False]


def test_a_server_of_the_fixture_has_a_right_user_and_password(hand: Hand) -> None:
    """The given user and password hold, with any characters, until a rotation changes them; the defaults are secret."""
    server = hand.servers(user="SITE\\me", password="it's #1")
    assert (server.user, server.password) == ("SITE\\me", "it's #1")
    assert hand.lftp(server, rc=pinned(server)).verdict == "accepted"
    assert hand.lftp(server, rc=pinned(server), password="wrong").verdict == "login-failed"
    assert hand.lftp(server, rc=pinned(server), user="you").verdict == "login-failed"
    server.rotate(certificate=server.certificate, user=None, password=None)
    assert (server.user, server.password) == (server.secrets.user, server.secrets.password)
    assert hand.lftp(server, rc=pinned(server), user="you").verdict == "accepted"
    with pytest.raises(UsageError, match=r"ftps_server\(user=…\): is empty"):
        hand.servers(user="")
