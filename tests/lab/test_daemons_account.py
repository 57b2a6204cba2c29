"""A testimony out of log, files and relay: what each tells, and every contradiction between them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from ftps_lab.daemons.account import Account
from ftps_lab.daemons.log import Answered, Asked, Began, Event, Moved, Secured, sessions
from ftps_lab.daemons.tape import Link

if TYPE_CHECKING:
    from pathlib import Path

    from ftps_lab.testimony import Testimony

A = "127.128.0.3"
PASV = (Asked(A, "PASV", ""), Answered(A, 227, "Entering Passive Mode (127,0,0,1,100,0)."))
PORT = 25600
LOGIN: tuple[Event, ...] = (
    *(Began(A), Answered(A, 220, "hello"), Asked(A, "USER", "alice"), Answered(A, 331, "")),
    *(Asked(A, "PASS", ""), Answered(A, 230, "")),
)
IN_CLEAR = b"USER alice\r\nPASS secret\r\n"
GET: tuple[Event, ...] = (
    *(*PASV, Asked(A, "RETR", "file"), Answered(A, 150, "")),
    *(Moved(A, "/file", 5), Answered(A, 226, "")),
)


def control(sent: bytes, said: bytes = b"220 hello\r\n", **more: Any) -> Link:
    return Link(
        "control", 21, ("10.0.0.1", 40000), A, 0.0, "FP", to_server=bytearray(sent), to_client=bytearray(said), **more
    )


def data(said: bytes = b"", sent: bytes = b"", port: int = 40001) -> Link:
    up, down = bytearray(sent), bytearray(said)
    return Link("data", PORT, ("10.0.0.1", port), "127.64.0.1", 0.1, "FP", to_server=up, to_client=down)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(b"hello")
    return tmp_path


def compose(root: Path, links: list[Link], events: tuple[Event, ...] | list[Event], **more: Any) -> Testimony:
    found, _ = sessions(events)
    return Account(role="genuine", links=links, sessions=found, root=root, password="secret", **more).testimony()


def test_a_session_in_clear(root: Path) -> None:
    links = [control(IN_CLEAR + b"PASV\r\nRETR file\r\n"), data(b"hello")]
    testimony = compose(root, links, LOGIN + GET)
    assert testimony.discrepancies == ()
    (credential,) = testimony.credentials
    assert (credential.user, credential.password, credential.channel) == ("alice", "secret", "clear")
    (transfer,) = testimony.transfers
    assert (transfer.connection, transfer.control, transfer.size, transfer.completed) == (2, 1, 5, True)
    assert transfer.sha256 == hashlib.sha256(b"hello").hexdigest()
    assert testimony.connections[0].greeted
    assert testimony.handshakes == ()


def test_a_password_in_the_log_that_the_relay_does_not_hold(root: Path) -> None:
    assert compose(root, [control(b"USER alice\r\n")], LOGIN).discrepancies


def test_a_password_in_the_relay_that_the_log_does_not_hold(root: Path) -> None:
    testimony = compose(root, [control(IN_CLEAR)], LOGIN[:4])
    assert any("PASS" in sentence for sentence in testimony.discrepancies)


def test_a_connection_that_is_not_in_the_log(root: Path) -> None:
    (sentence,) = compose(root, [control(b"")], []).discrepancies
    assert "not in the daemon's log" in sentence


def test_a_command_that_does_not_matter_may_be_left_out_of_the_log(root: Path) -> None:
    sent = b"FEAT\r\nLANG en\r\n" + IN_CLEAR + b"QUIT\r\n"
    assert compose(root, [control(sent)], LOGIN).discrepancies == ()


def test_tls_that_only_the_log_knows(root: Path) -> None:
    events = [*LOGIN[:2], Asked(A, "AUTH", "TLS"), Answered(A, 234, ""), Secured(A, "TLSv1.3", "x"), *LOGIN[2:]]
    testimony = compose(root, [control(b"AUTH TLS\r\n" + IN_CLEAR, b"220 x\r\n234 ok\r\n")], events)
    assert testimony.discrepancies
    assert {credential.channel for credential in testimony.credentials} == {"clear"}


def test_commands_that_the_relay_has_nowhere(root: Path) -> None:
    events = [*LOGIN[:2], Asked(A, "AUTH", "TLS"), Answered(A, 234, ""), *LOGIN[2:]]
    testimony = compose(root, [control(b"AUTH TLS\r\n", b"220 x\r\n234 ok\r\n")], events)
    assert any("neither in clear nor in TLS" in sentence for sentence in testimony.discrepancies)
    assert {credential.channel for credential in testimony.credentials} == {"clear"}


def test_what_is_not_tls_behind_auth(root: Path) -> None:
    link = control(b"AUTH TLS\r\n\x16\x03\x01\x00\x02ab" + IN_CLEAR, b"220 x\r\n234 ok\r\n")
    events = [*LOGIN[:2], Asked(A, "AUTH", "TLS"), Answered(A, 234, "")]
    assert any("not TLS" in sentence for sentence in compose(root, [link], events).discrepancies)


def test_a_transfer_without_its_data_connection(root: Path) -> None:
    links = [control(IN_CLEAR + b"PASV\r\nRETR file\r\n")]
    testimony = compose(root, links, LOGIN + GET)
    assert any("without its data connection" in sentence for sentence in testimony.discrepancies)
    assert testimony.transfers == ()


def test_active_mode_goes_past_the_relay(root: Path) -> None:
    events = (*LOGIN, Asked(A, "PORT", "1,2,3,4,5,6"), Answered(A, 200, ""), *GET[2:])
    links = [control(IN_CLEAR + b"PORT 1,2,3,4,5,6\r\nRETR file\r\n")]
    assert any("without its data connection" in sentence for sentence in compose(root, links, events).discrepancies)


def test_a_data_connection_that_nobody_announced(root: Path) -> None:
    testimony = compose(root, [control(IN_CLEAR), data(b"hello")], LOGIN)
    assert any("belongs to no transfer" in sentence for sentence in testimony.discrepancies)


def test_more_data_connections_than_announcements_are_ambiguous(root: Path) -> None:
    links = [control(IN_CLEAR + b"PASV\r\nRETR file\r\n"), data(b"hello"), data(b"hello", port=40002)]
    testimony = compose(root, links, LOGIN + GET)
    assert testimony.discrepancies
    assert testimony.transfers == ()


def test_an_announcement_without_a_connection_does_not_shift_the_next(root: Path) -> None:
    links = [control(IN_CLEAR + b"PASV\r\nPASV\r\nRETR file\r\n"), data(b"hello")]
    testimony = compose(root, links, LOGIN + PASV + GET)
    assert testimony.discrepancies == ()
    assert [transfer.size for transfer in testimony.transfers] == [5]


def test_the_relay_carried_another_size_than_the_log_has(root: Path) -> None:
    for carried in (b"hell", b"hello!"):
        links = [control(IN_CLEAR + b"PASV\r\nRETR file\r\n"), data(carried)]
        assert any("carried" in sentence for sentence in compose(root, links, LOGIN + GET).discrepancies)


def test_a_file_of_another_size_has_no_hash(root: Path) -> None:
    (root / "file").write_bytes(b"hello and more")
    (transfer,) = compose(root, [control(IN_CLEAR + b"PASV\r\nRETR file\r\n"), data(b"hello")], LOGIN + GET).transfers
    assert transfer.sha256 == ""


def test_a_file_that_was_changed_later_or_read_from_the_middle_has_no_hash(root: Path) -> None:
    links = [control(IN_CLEAR + b"PASV\r\nRETR file\r\nDELE file\r\n"), data(b"hello")]
    changed = compose(root, links, (*LOGIN, *GET, Asked(A, "DELE", "file"), Answered(A, 250, "")))
    links = [control(IN_CLEAR + b"PASV\r\nREST 3\r\nRETR file\r\n"), data(b"hello")]
    rest = compose(root, links, (*LOGIN, *GET[:2], Asked(A, "REST", "3"), Answered(A, 350, ""), *GET[2:]))
    assert [t.sha256 for t in (*changed.transfers, *rest.transfers)] == ["", ""]


def test_a_name_that_leads_out_of_the_root_has_no_hash(root: Path) -> None:
    outside = root.parent / f"{root.name}-outside"
    outside.write_bytes(b"hello")
    (root / "file").unlink()
    (root / "file").symlink_to(outside)
    (transfer,) = compose(root, [control(IN_CLEAR + b"PASV\r\nRETR file\r\n"), data(b"hello")], LOGIN + GET).transfers
    assert transfer.sha256 == ""


def test_a_refused_login_tells_no_password(root: Path) -> None:
    testimony = compose(root, [control(IN_CLEAR)], (*LOGIN[:5], Answered(A, 530, "")))
    assert [(c.password, c.accepted) for c in testimony.credentials] == [(None, False)]


def test_an_anonymous_login_tells_no_password(root: Path) -> None:
    events = (*LOGIN[:2], Asked(A, "USER", "anonymous"), Answered(A, 331, ""), *LOGIN[4:])
    testimony = compose(root, [control(b"USER anonymous\r\nPASS me@\r\n")], events)
    assert [(c.password, c.accepted) for c in testimony.credentials] == [(None, True)]


def test_an_aborted_transfer_is_not_completed(root: Path) -> None:
    events = (*LOGIN, *GET[:4], Moved(A, "/file", 3), Answered(A, 426, ""))
    (transfer,) = compose(root, [control(IN_CLEAR + b"PASV\r\nRETR file\r\n"), data(b"hel")], events).transfers
    assert (transfer.completed, transfer.size, transfer.sha256) == (False, 3, "")
