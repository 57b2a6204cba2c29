"""A testimony from log, files and relay: what each source contributes, and every contradiction between them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest
from tests.lab.wire.tapped import VERSIONS, pair, server_context

from ftps_lab.daemons.builder import Habits, TestimonyBuilder
from ftps_lab.daemons.log import Answered, Asked, Began, Event, Moved, Secured, sessions
from ftps_lab.daemons.recording import Link
from ftps_lab.testimony import TLS_IN_CLEAR

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from ftps_lab.testimony import Testimony

SOURCE = "127.128.0.3"
PASSIVE = (Asked(SOURCE, "PASV", ""), Answered(SOURCE, 227, "Entering Passive Mode (127,0,0,1,100,0)."))
PORT = 25600
LOGIN: tuple[Event, ...] = (
    *(Began(SOURCE), Answered(SOURCE, 220, "hello"), Asked(SOURCE, "USER", "alice"), Answered(SOURCE, 331, "")),
    *(Asked(SOURCE, "PASS", ""), Answered(SOURCE, 230, "")),
)
IN_CLEAR = b"USER alice\r\nPASS secret\r\n"
DOWNLOAD: tuple[Event, ...] = (
    *(*PASSIVE, Asked(SOURCE, "RETR", "file"), Answered(SOURCE, 150, "")),
    *(Moved(SOURCE, "/file", 5), Answered(SOURCE, 226, "")),
)


def control_link(sent: bytes, received: bytes = b"220 hello\r\n", **more: Any) -> Link:
    return Link(
        "control",
        21,
        ("10.0.0.1", 40000),
        SOURCE,
        0.0,
        "FP",
        to_server=bytearray(sent),
        to_client=bytearray(received),
        **more,
    )


def data_link(received: bytes = b"", sent: bytes = b"", port: int = 40001) -> Link:
    up, down = bytearray(sent), bytearray(received)
    return Link("data", PORT, ("10.0.0.1", port), "127.64.0.1", 0.1, "FP", to_server=up, to_client=down)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(b"hello")
    return tmp_path


def compose(root: Path, links: list[Link], events: tuple[Event, ...] | list[Event], **more: Any) -> Testimony:
    found, _ = sessions(events)
    return TestimonyBuilder(
        role="genuine", links=links, sessions=found, root=root, passwords={"alice": "secret"}, **more
    ).testimony()


def test_cleartext_session_is_recorded_from_all_sources(root: Path) -> None:
    links = [control_link(IN_CLEAR + b"PASV\r\nRETR file\r\n"), data_link(b"hello")]
    testimony = compose(root, links, LOGIN + DOWNLOAD)
    assert testimony.discrepancies == ()
    (credential,) = testimony.credentials
    assert (credential.user, credential.password, credential.channel) == ("alice", "secret", "clear")
    (transfer,) = testimony.transfers
    assert (transfer.connection, transfer.control, transfer.size, transfer.completed) == (2, 1, 5, True)
    assert transfer.sha256 == hashlib.sha256(b"hello").hexdigest()
    assert (transfer.channel, transfer.certificate) == ("clear", "")
    assert testimony.connections[0].greeted
    assert testimony.handshakes == ()


def test_password_only_in_the_log_is_a_discrepancy(root: Path) -> None:
    assert compose(root, [control_link(b"USER alice\r\n")], LOGIN).discrepancies


def test_password_only_in_the_relay_is_a_discrepancy(root: Path) -> None:
    testimony = compose(root, [control_link(IN_CLEAR)], LOGIN[:4])
    assert any("PASS" in sentence for sentence in testimony.discrepancies)


def test_connection_missing_from_the_log_is_a_discrepancy(root: Path) -> None:
    (sentence,) = compose(root, [control_link(b"")], []).discrepancies
    assert "not in the daemon's log" in sentence


def test_irrelevant_command_may_be_missing_from_the_log(root: Path) -> None:
    sent = b"FEAT\r\nLANG en\r\n" + IN_CLEAR + b"QUIT\r\n"
    assert compose(root, [control_link(sent)], LOGIN).discrepancies == ()


def test_tls_only_in_the_log_is_a_discrepancy(root: Path) -> None:
    events = [
        *LOGIN[:2],
        Asked(SOURCE, "AUTH", "TLS"),
        Answered(SOURCE, 234, ""),
        Secured(SOURCE, "TLSv1.3", "x"),
        *LOGIN[2:],
    ]
    testimony = compose(root, [control_link(b"AUTH TLS\r\n" + IN_CLEAR, b"220 x\r\n234 ok\r\n")], events)
    assert testimony.discrepancies
    assert {credential.channel for credential in testimony.credentials} == {"clear"}


def test_commands_missing_from_the_relay_are_a_discrepancy(root: Path) -> None:
    events = [*LOGIN[:2], Asked(SOURCE, "AUTH", "TLS"), Answered(SOURCE, 234, ""), *LOGIN[2:]]
    testimony = compose(root, [control_link(b"AUTH TLS\r\n", b"220 x\r\n234 ok\r\n")], events)
    assert any("neither in clear nor in TLS" in sentence for sentence in testimony.discrepancies)
    assert {credential.channel for credential in testimony.credentials} == {"clear"}


def test_cleartext_after_auth_is_a_discrepancy(root: Path) -> None:
    link = control_link(b"AUTH TLS\r\n\x16\x03\x01\x00\x02ab" + IN_CLEAR, b"220 x\r\n234 ok\r\n")
    events = [*LOGIN[:2], Asked(SOURCE, "AUTH", "TLS"), Answered(SOURCE, 234, "")]
    assert any("not TLS" in sentence for sentence in compose(root, [link], events).discrepancies)


def test_transfer_without_its_data_connection_is_a_discrepancy(root: Path) -> None:
    links = [control_link(IN_CLEAR + b"PASV\r\nRETR file\r\n")]
    testimony = compose(root, links, LOGIN + DOWNLOAD)
    assert any("but no data connection for it" in sentence for sentence in testimony.discrepancies)
    assert testimony.transfers == ()


def test_active_mode_transfer_bypasses_the_relay(root: Path) -> None:
    events = (*LOGIN, Asked(SOURCE, "PORT", "1,2,3,4,5,6"), Answered(SOURCE, 200, ""), *DOWNLOAD[2:])
    links = [control_link(IN_CLEAR + b"PORT 1,2,3,4,5,6\r\nRETR file\r\n")]
    assert any("but no data connection for it" in sentence for sentence in compose(root, links, events).discrepancies)


def test_unannounced_data_connection_is_a_discrepancy(root: Path) -> None:
    testimony = compose(root, [control_link(IN_CLEAR), data_link(b"hello")], LOGIN)
    assert any("belongs to no transfer" in sentence for sentence in testimony.discrepancies)


def test_password_without_its_user_is_a_discrepancy(root: Path) -> None:
    testimony = compose(root, [control_link(b"PASS secret\r\n")], (*LOGIN[:2], *LOGIN[4:]))
    (sentence,) = testimony.discrepancies
    assert "a password without a user" in sentence


@pytest.mark.parametrize("events", [PASSIVE, DOWNLOAD], ids=["PASV", "RETR"])
def test_login_missing_from_the_log_is_a_discrepancy(root: Path, events: tuple[Event, ...]) -> None:
    links = [control_link(b"PASV\r\nRETR file\r\n"), data_link(b"hello")]
    found = compose(root, links, LOGIN[:2] + events).discrepancies
    assert any("a transfer, but no login, in the daemon's log" in sentence for sentence in found)
    refused = (*LOGIN[:5], Answered(SOURCE, 530, ""))
    assert compose(root, [control_link(IN_CLEAR)], refused).discrepancies == ()


def test_cleartext_data_of_a_refused_transfer_is_a_discrepancy(root: Path) -> None:
    links = [control_link(IN_CLEAR + b"PASV\r\nRETR file\r\n"), data_link(b"hello")]
    (sentence,) = compose(root, links, (*LOGIN, *DOWNLOAD[:3], Answered(SOURCE, 425, ""))).discrepancies
    assert "in clear that belongs to no transfer" in sentence


def test_more_data_connections_than_announcements_are_a_discrepancy(root: Path) -> None:
    links = [control_link(IN_CLEAR + b"PASV\r\nRETR file\r\n"), data_link(b"hello"), data_link(b"hello", port=40002)]
    testimony = compose(root, links, LOGIN + DOWNLOAD)
    assert testimony.discrepancies
    assert testimony.transfers == ()


def test_unused_announcement_does_not_shift_the_next(root: Path) -> None:
    links = [control_link(IN_CLEAR + b"PASV\r\nPASV\r\nRETR file\r\n"), data_link(b"hello")]
    testimony = compose(root, links, LOGIN + PASSIVE + DOWNLOAD)
    assert testimony.discrepancies == ()
    assert [transfer.size for transfer in testimony.transfers] == [5]


def test_size_that_differs_from_the_relay_is_a_discrepancy(root: Path) -> None:
    for carried in (b"hell", b"hello!"):
        links = [control_link(IN_CLEAR + b"PASV\r\nRETR file\r\n"), data_link(carried)]
        assert any("carried" in sentence for sentence in compose(root, links, LOGIN + DOWNLOAD).discrepancies)


def test_transfer_has_no_hash_if_the_file_has_another_size(root: Path) -> None:
    (root / "file").write_bytes(b"hello and more")
    (transfer,) = compose(
        root, [control_link(IN_CLEAR + b"PASV\r\nRETR file\r\n"), data_link(b"hello")], LOGIN + DOWNLOAD
    ).transfers
    assert transfer.sha256 == ""


def test_transfer_has_no_hash_after_dele_or_rest(root: Path) -> None:
    links = [control_link(IN_CLEAR + b"PASV\r\nRETR file\r\nDELE file\r\n"), data_link(b"hello")]
    changed = compose(root, links, (*LOGIN, *DOWNLOAD, Asked(SOURCE, "DELE", "file"), Answered(SOURCE, 250, "")))
    links = [control_link(IN_CLEAR + b"PASV\r\nREST 3\r\nRETR file\r\n"), data_link(b"hello")]
    rest = compose(
        root, links, (*LOGIN, *DOWNLOAD[:2], Asked(SOURCE, "REST", "3"), Answered(SOURCE, 350, ""), *DOWNLOAD[2:])
    )
    assert [t.sha256 for t in (*changed.transfers, *rest.transfers)] == ["", ""]


def test_transfer_has_no_hash_if_its_path_leaves_the_root(root: Path) -> None:
    outside = root.parent / f"{root.name}-outside"
    outside.write_bytes(b"hello")
    (root / "file").unlink()
    (root / "file").symlink_to(outside)
    (transfer,) = compose(
        root, [control_link(IN_CLEAR + b"PASV\r\nRETR file\r\n"), data_link(b"hello")], LOGIN + DOWNLOAD
    ).transfers
    assert transfer.sha256 == ""


def test_refused_login_has_an_unknown_password(root: Path) -> None:
    testimony = compose(root, [control_link(IN_CLEAR)], (*LOGIN[:5], Answered(SOURCE, 530, "")))
    assert [(c.password, c.accepted) for c in testimony.credentials] == [(None, False)]


def test_anonymous_login_has_an_unknown_password(root: Path) -> None:
    events = (*LOGIN[:2], Asked(SOURCE, "USER", "anonymous"), Answered(SOURCE, 331, ""), *LOGIN[4:])
    testimony = compose(root, [control_link(b"USER anonymous\r\nPASS me@\r\n")], events)
    assert [(c.password, c.accepted) for c in testimony.credentials] == [(None, True)]


def test_transfer_ended_by_426_is_incomplete(root: Path) -> None:
    events = (*LOGIN, *DOWNLOAD[:4], Moved(SOURCE, "/file", 3), Answered(SOURCE, 426, ""))
    (transfer,) = compose(
        root, [control_link(IN_CLEAR + b"PASV\r\nRETR file\r\n"), data_link(b"hel")], events
    ).transfers
    assert (transfer.completed, transfer.size, transfer.sha256) == (False, 3, "")


# In TLS: the relay knows how often the client spoke and got an answer, but not the content.


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, str]:
    return server_context(tmp_path_factory.mktemp("pem"))


@pytest.fixture(params=VERSIONS, ids=["1.2", "1.3"])
def version(request: pytest.FixtureRequest) -> Any:
    return request.param


Context = tuple["ssl.SSLContext", str]
Exchange = tuple[bytes, bytes]
"""The client's bytes and the server's answer, which is empty if it does not answer."""

EXCHANGES: tuple[Exchange, ...] = (
    (b"USER alice\r\n", b"331 x\r\n"),
    (b"PASS secret\r\n", b"230 x\r\n"),
    (b"QUIT\r\n", b"221 x\r\n"),
)
AUTH_TLS: tuple[Event, ...] = (
    *LOGIN[:2],
    Asked(SOURCE, "AUTH", "TLS"),
    Answered(SOURCE, 234, ""),
    Secured(SOURCE, "TLSv1.x", "x"),
)
QUIT = (Asked(SOURCE, "QUIT", ""), Answered(SOURCE, 221, ""))


def add_tls(
    link: Link, context: Context, version: ssl.TLSVersion, exchanges: Iterable[Exchange], *, until_client: bool = False
) -> Link:
    """Add a handshake and these exchanges to the link; `until_client`: the server stops after the client's end."""
    tapped = pair(context[0], version)
    tapped.handshake(until_client=until_client)
    for asked, answer in exchanges:
        for end, data in ((tapped.client, asked), (tapped.server, answer)):
            if data:
                tapped.send(end, data)
    above, below = len(link.to_server), len(link.to_client)
    link.certificate = context[1]
    link.to_server += tapped.up
    link.to_client += tapped.down
    link.marks += [(above, below), *((above + up, below + down) for up, down in tapped.marks)]
    return link


def discrepancies_of(root: Path, link: Link, events: Sequence[Event], version: ssl.TLSVersion, **habits: Any) -> str:
    name = {771: "TLSv1.2", 772: "TLSv1.3"}[version]
    known = [Secured(SOURCE, name, "x") if isinstance(event, Secured) else event for event in events]
    return "\n".join(compose(root, [link], known, habits=Habits(**habits)).discrepancies)


def explicit_link() -> Link:
    return control_link(b"AUTH TLS\r\n", b"220 hello\r\n234 ok\r\n")


def explicit_session(context: Context, version: ssl.TLSVersion, exchanges: Iterable[Exchange] = EXCHANGES) -> Link:
    return add_tls(explicit_link(), context, version, exchanges)


def test_complete_log_of_a_tls_session_has_no_discrepancy(
    root: Path, context: Context, version: ssl.TLSVersion
) -> None:
    assert discrepancies_of(root, explicit_session(context, version), (*AUTH_TLS, *LOGIN[2:], *QUIT), version) == ""


def test_commands_before_tls_are_recorded_as_clear(root: Path, context: Context, version: ssl.TLSVersion) -> None:
    """Also after a first AUTH that was refused."""
    link = control_link(b"AUTH SSL\r\nAUTH TLS\r\n", b"220 hello\r\n504 no\r\n234 ok\r\n")
    refused = (Asked(SOURCE, "AUTH", "SSL"), Answered(SOURCE, 504, ""))
    events = (*AUTH_TLS[:2], *refused, *AUTH_TLS[2:4], *LOGIN[2:], *QUIT)
    testimony = compose(root, [add_tls(link, context, version, EXCHANGES)], events)
    assert testimony.discrepancies == ()
    assert [c.channel for c in testimony.commands] == ["clear"] * 2 + ["tls"] * 3
    assert [c.channel for c in testimony.credentials] == ["tls"]


def test_log_that_ends_at_auth_is_a_discrepancy(root: Path, context: Context, version: ssl.TLSVersion) -> None:
    assert "more answers to commands" in discrepancies_of(root, explicit_session(context, version), AUTH_TLS, version)
    assert "more answers to commands" in discrepancies_of(
        root, explicit_session(context, version, EXCHANGES[:1]), AUTH_TLS, version
    )
    implicit = add_tls(control_link(b"", b"", implicit=True), context, version, EXCHANGES)
    events = (*LOGIN[:2], Secured(SOURCE, "", ""))
    assert "more answers to commands" in discrepancies_of(root, implicit, events, version)


def test_unanswered_command_may_be_missing_from_the_log(root: Path, context: Context, version: ssl.TLSVersion) -> None:
    """lftp may leave at once when it refuses a certificate: the daemon need not have read its last command."""
    unheard = ((EXCHANGES[0][0], b""), (EXCHANGES[1][0], b""))
    assert discrepancies_of(root, explicit_session(context, version, unheard), AUTH_TLS, version) == ""
    pipelined = ((EXCHANGES[0][0], b""), (EXCHANGES[1][0], b"331 x\r\n"))
    assert (
        discrepancies_of(root, explicit_session(context, version, pipelined), (*AUTH_TLS, *LOGIN[2:4]), version) == ""
    )


@pytest.mark.parametrize("lost", [slice(2, 4), slice(4, 6), slice(2, 6), slice(4, None)])
def test_log_that_lacks_answered_commands_is_a_discrepancy(
    root: Path, context: Context, version: ssl.TLSVersion, lost: slice
) -> None:
    events = [*LOGIN, *QUIT]
    del events[lost]
    assert "more answers to commands" in discrepancies_of(
        root, explicit_session(context, version), AUTH_TLS + tuple(events[2:]), version
    )


def test_log_may_lack_as_many_commands_as_its_daemon_omits(
    root: Path, context: Context, version: ssl.TLSVersion
) -> None:
    """ProFTPD omits LANG before the login, and unknown commands after it."""
    asks = (b"LANG\r\n", b"200 x\r\n")
    link = explicit_session(context, version, (asks, *EXCHANGES))
    whole = (*AUTH_TLS, *LOGIN[2:], *QUIT)
    assert "more answers to commands" in discrepancies_of(root, link, whole, version)
    assert discrepancies_of(root, link, whole, version, leaves_out=1) == ""
    link = explicit_session(context, version, (asks, *EXCHANGES[:2], (b"XFOO\r\n", b"500 x\r\n"), EXCHANGES[2]))
    assert discrepancies_of(root, link, whole, version, leaves_out=1) == ""
    refused = explicit_session(context, version, (asks, *EXCHANGES[:2]))
    assert (
        discrepancies_of(root, refused, (*AUTH_TLS, *LOGIN[2:5], Answered(SOURCE, 530, "")), version, leaves_out=1)
        == ""
    )
    for events in (AUTH_TLS, AUTH_TLS + LOGIN[2:4], (*AUTH_TLS, *LOGIN[2:4], *QUIT)):  # but it never omits a login
        assert "more answers to commands" in discrepancies_of(root, link, events, version, leaves_out=1)


def test_password_without_its_reply_in_the_log_is_a_discrepancy(
    root: Path, context: Context, version: ssl.TLSVersion
) -> None:
    events = (*AUTH_TLS, *LOGIN[2:5])
    assert "more answers to commands" in discrepancies_of(
        root, explicit_session(context, version, EXCHANGES[:2]), events, version
    )
    waiting = explicit_session(context, version, (EXCHANGES[0], (EXCHANGES[1][0], b"")))
    assert discrepancies_of(root, waiting, events, version) == ""  # the client left first, which is allowed


def test_cleartext_password_without_its_reply_is_a_discrepancy(root: Path) -> None:
    replies = b"220 hello\r\n331 x\r\n"
    marks = [(len(b"USER alice\r\n"), replies.index(b"331")), (len(IN_CLEAR), len(replies))]
    waiting = control_link(IN_CLEAR, replies, marks=marks)
    assert compose(root, [waiting], LOGIN[:5]).discrepancies == ()
    (sentence,) = compose(root, [control_link(IN_CLEAR, replies + b"230 x\r\n", marks=marks)], LOGIN[:5]).discrepancies
    assert "more answers to commands" in sentence


def test_session_missing_from_the_relay_is_a_discrepancy(root: Path) -> None:
    stranger = "127.128.0.4"
    events = (Began(stranger), Asked(stranger, "USER", "bob"), Answered(stranger, 331, ""))
    (sentence,) = compose(root, [control_link(IN_CLEAR)], LOGIN + events).discrepancies
    assert f"session from {stranger} that the relay did not record" in sentence
    assert compose(root, [control_link(IN_CLEAR)], LOGIN + events, others={stranger}).discrepancies == ()


def test_session_from_the_data_source_address_is_a_discrepancy(root: Path) -> None:
    """That address is the daemon's own, and all data connections share it."""
    stranger = Began("127.64.0.1")
    testimony = compose(
        root, [control_link(IN_CLEAR + b"PASV\r\nRETR file\r\n"), data_link(b"hello")], (*LOGIN, *DOWNLOAD, stranger)
    )
    assert any("that the relay did not record" in sentence for sentence in testimony.discrepancies)


UPLOAD = (*PASSIVE, Asked(SOURCE, "STOR", "file"))
UPLOAD_IN_CLEAR = IN_CLEAR + b"PASV\r\nSTOR file\r\n"


def upload_discrepancies(root: Path, link: Link, events: tuple[Event, ...]) -> tuple[str, ...]:
    session = control_link(UPLOAD_IN_CLEAR)
    session.certificate = link.certificate
    return compose(root, [session, link], LOGIN + events).discrepancies


@pytest.mark.parametrize("direction", [0, 1], ids=["upload", "download"])
def test_tls_content_without_a_logged_transfer_is_a_discrepancy(
    root: Path, context: Context, version: ssl.TLSVersion, direction: int
) -> None:
    content = (b"what passes" * 20, b"") if direction == 0 else (b"", b"what passes" * 20)
    link = add_tls(data_link(), context, version, [content])
    (sentence,) = upload_discrepancies(root, link, UPLOAD)
    assert "content in TLS that belongs to no transfer" in sentence
    (sentence,) = upload_discrepancies(root, link, PASSIVE)[1:]
    assert "content in TLS that belongs to no transfer" in sentence


def test_tls_data_of_a_refused_transfer_is_not_a_discrepancy(
    root: Path, context: Context, version: ssl.TLSVersion
) -> None:
    """The client may have sent its first bytes by then; and a handshake alone carries no content."""
    link = add_tls(data_link(), context, version, [(b"what passes" * 20, b"")])
    assert upload_discrepancies(root, link, (*UPLOAD, Answered(SOURCE, 425, ""))) == ()
    link = add_tls(data_link(), context, version, [])
    assert upload_discrepancies(root, link, UPLOAD) == ()


def test_transfer_without_a_final_reply_is_a_discrepancy(root: Path) -> None:
    """Unless the client leaves before it."""
    link = control_link(IN_CLEAR + b"PASV\r\nRETR file\r\nQUIT\r\n")
    events = LOGIN + DOWNLOAD[:5]
    assert any(
        "without a reply" in found for found in compose(root, [link, data_link(b"hello")], events + QUIT).discrepancies
    )
    assert compose(root, [link, data_link(b"hello")], events).discrepancies == ()  # the client left, which is allowed
    link = control_link(IN_CLEAR + b"PASV\r\nRETR file\r\nABOR\r\n")
    aborted = (*events, Asked(SOURCE, "ABOR", ""), Answered(SOURCE, 226, ""))
    testimony = compose(root, [link, data_link(b"hello")], aborted)
    assert (testimony.discrepancies, testimony.transfers[0].completed) == ((), False)


def test_226_to_an_unlogged_abor_does_not_complete_a_transfer(root: Path) -> None:
    """Pure-FTPd does not log an ABOR that arrives during a transfer: its 426 and 226 both follow the transfer."""
    events = (*LOGIN, *DOWNLOAD[:5], Answered(SOURCE, 426, "ABORT"), Answered(SOURCE, 226, "done"))
    (transfer,) = compose(
        root, [control_link(IN_CLEAR + b"PASV\r\nRETR file\r\n"), data_link(b"hello")], events
    ).transfers
    assert not transfer.completed


def test_unlogged_abor_is_not_a_discrepancy(root: Path, context: Context, version: ssl.TLSVersion) -> None:
    talk = ((b"STOR f\r\n", b"150 x\r\n"), (b"ABOR\r\n", b"426 x\r\n226 x\r\n"))
    replies = (Answered(SOURCE, 150, ""), Answered(SOURCE, 426, ""), Answered(SOURCE, 226, ""))
    for logged in (replies, replies[:2], (replies[0], replies[0])):  # the client may leave before the last reply
        found = discrepancies_of(
            root, explicit_session(context, version, talk), (*AUTH_TLS, Asked(SOURCE, "STOR", "f"), *logged), version
        )
        assert "more answers to commands" not in found
    for whole in (replies[:1], replies[::2], (Answered(SOURCE, 550, ""),)):
        found = discrepancies_of(
            root, explicit_session(context, version, talk), (*AUTH_TLS, Asked(SOURCE, "STOR", "f"), *whole), version
        )
        assert "more answers to commands" in found


def test_reply_of_a_lost_command_after_a_transfer_is_noticed(
    root: Path, context: Context, version: ssl.TLSVersion
) -> None:
    talk = ((b"STOR f\r\n", b"150 x\r\n226 x\r\n"), (b"TYPE I\r\n", b"200 x\r\n"))
    replies = (Answered(SOURCE, 150, ""), Answered(SOURCE, 226, ""), Answered(SOURCE, 200, ""))
    found = discrepancies_of(
        root, explicit_session(context, version, talk), (*AUTH_TLS, Asked(SOURCE, "STOR", "f"), *replies), version
    )
    assert "more answers to commands" in found


def test_unfinished_transfer_may_have_no_reply_in_the_log(
    root: Path, context: Context, version: ssl.TLSVersion
) -> None:
    """ProFTPD's line has no reply if the session ended first, although it had sent 150."""
    link = explicit_session(context, version, ((b"RETR f\r\n", b"150 x\r\n"),))
    assert discrepancies_of(root, link, (*AUTH_TLS, Asked(SOURCE, "RETR", "f")), version) == ""


# Handshakes: the relay has the client's Finished; the log or the relay has the result.

NAMES = {771: "TLSv1.2", 772: "TLSv1.3"}


def completed_handshake(root: Path, link: Link, *events: Event) -> bool:
    (handshake,) = compose(root, [link], (*AUTH_TLS[:4], *events)).handshakes
    return handshake.completed


def test_handshake_is_complete_once_both_sides_finished(root: Path, context: Context, version: ssl.TLSVersion) -> None:
    assert completed_handshake(root, explicit_session(context, version), Secured(SOURCE, NAMES[version], "x"))
    assert completed_handshake(
        root, explicit_session(context, version)
    )  # the daemon continued in TLS, whatever its log says
    cut = explicit_session(context, version)
    cut.to_server = cut.to_server[: cut.marks[1][0]]  # cut after the ClientHello
    assert not completed_handshake(root, cut, Secured(SOURCE, NAMES[version], "x"))
    assert any("did not see completed" in found for found in compose(root, [cut], AUTH_TLS).discrepancies)


def test_client_finished_alone_does_not_complete_a_handshake(root: Path, context: Context) -> None:
    """In TLS 1.3 the daemon may have refused it; if it sends no tickets, only its log can confirm it."""
    link = add_tls(explicit_link(), context, VERSIONS[1], (), until_client=True)
    assert not completed_handshake(root, link)
    assert completed_handshake(root, link, Secured(SOURCE, "TLSv1.3", "x"))


def test_accepted_upload_completes_its_data_handshake(root: Path, context: Context) -> None:
    link = add_tls(data_link(), context, VERSIONS[1], ((b"hello", b""),), until_client=True)
    session = control_link(UPLOAD_IN_CLEAR)
    session.certificate = link.certificate
    events = (*LOGIN, *UPLOAD, Answered(SOURCE, 150, ""), Moved(SOURCE, "/file", 5), Answered(SOURCE, 226, ""))
    testimony = compose(root, [session, link], events)
    assert [h.completed for h in testimony.handshakes] == [True]
    assert (testimony.transfers[0].completed, testimony.discrepancies) == (True, ())
    for end in (425, 522):
        testimony = compose(root, [session, link], (*LOGIN, *UPLOAD, Answered(SOURCE, end, "")))
        assert [h.completed for h in testimony.handshakes] == [False]


def test_handshake_that_differs_from_the_relay_is_a_discrepancy(
    root: Path, context: Context, version: ssl.TLSVersion
) -> None:
    link, whole = explicit_session(context, version), (*LOGIN[2:], *QUIT)
    other = Secured(SOURCE, NAMES[VERSIONS[version == VERSIONS[0]]], "x")
    (sentence,) = compose(root, [link], (*AUTH_TLS[:4], other, *whole)).discrepancies
    assert f"has {other.version} in the daemon's log, but {NAMES[version]} in the relay's recording" in sentence
    link.certificate = "another"
    found = compose(root, [link], (*AUTH_TLS[:4], Secured(SOURCE, NAMES[version], "x"), *whole)).discrepancies
    # In TLS 1.3 the certificate is encrypted, so it was read from the daemon beforehand (`probe`).
    assert any("a certificate other than" in sentence for sentence in found) is (version == VERSIONS[0])


def test_cleartext_after_tls_is_a_discrepancy(root: Path, context: Context, version: ssl.TLSVersion) -> None:
    link = explicit_session(context, version)
    link.to_server += b"PASS secret\r\n"
    testimony = compose(root, [link], (*AUTH_TLS[:4], Secured(SOURCE, NAMES[version], "x"), *LOGIN[2:]))
    assert any("not TLS" in sentence for sentence in testimony.discrepancies)
    assert {credential.channel for credential in testimony.credentials} == {"clear"}
    link = add_tls(data_link(), context, version, ((b"", b"hello"),))
    link.to_client += b"more"
    session = control_link(IN_CLEAR + b"PASV\r\nRETR file\r\n")
    session.certificate = link.certificate
    (sentence,) = compose(root, [session, link], LOGIN + DOWNLOAD).discrepancies
    assert "continues with something else" in sentence


def test_ambiguous_log_is_a_discrepancy(root: Path) -> None:
    events = (*LOGIN, Moved(SOURCE, "/file", 5))
    (sentence,) = compose(root, [control_link(IN_CLEAR)], events).discrepancies
    assert "is unclear" in sentence
    links = [control_link(IN_CLEAR + b"PASV\r\nRETR file\r\n"), data_link(b"hello")]
    twice = compose(root, links, (*LOGIN, *DOWNLOAD[:5], *DOWNLOAD[4:])).discrepancies
    assert any("is unclear" in sentence for sentence in twice)


def test_completed_transfer_without_a_size_is_a_discrepancy(root: Path) -> None:
    """It proves nothing, and gets no hash."""
    links = [control_link(IN_CLEAR + b"PASV\r\nRETR file\r\n"), data_link(b"hello")]
    testimony = compose(root, links, (*LOGIN, *DOWNLOAD[:4], DOWNLOAD[5]))
    assert any("without a size" in sentence for sentence in testimony.discrepancies)
    assert testimony.transfers[0].sha256 == ""


def test_tls_data_too_short_for_the_logged_size_is_a_discrepancy(
    root: Path, context: Context, version: ssl.TLSVersion
) -> None:
    (root / "file").write_bytes(b"x" * 5000)
    session, events = (
        control_link(UPLOAD_IN_CLEAR),
        (*LOGIN, *UPLOAD, Answered(SOURCE, 150, ""), Moved(SOURCE, "/file", 5000), Answered(SOURCE, 226, "")),
    )
    session.certificate = context[1]
    link = add_tls(data_link(), context, version, ((b"x" * 5000, b""),))
    assert compose(root, [session, link], events).discrepancies == ()
    link = add_tls(data_link(), context, version, ((b"x" * 50, b""),))
    assert any(
        "but the daemon's log says 5000" in found for found in compose(root, [session, link], events).discrepancies
    )
    link.to_server = link.to_server[: link.marks[1][0]]  # cut after the ClientHello
    assert any(
        "did not see its TLS handshake completed" in found
        for found in compose(root, [session, link], events).discrepancies
    )


def test_data_connection_after_rotation_has_the_sessions_certificate(root: Path, context: Context) -> None:
    session = control_link(IN_CLEAR + b"PASV\r\nRETR file\r\n")
    session.certificate = "OLD"
    link = add_tls(data_link(), context, VERSIONS[1], ((b"", b"hello"),))
    link.certificate = "NEW"
    testimony = compose(root, [session, link], LOGIN + DOWNLOAD)
    assert [transfer.certificate for transfer in testimony.transfers] == ["OLD"]
    assert [handshake.certificate for handshake in testimony.handshakes] == ["OLD"]


HELLO = b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"


def test_client_hello_as_first_command_is_a_failed_handshake(root: Path) -> None:
    """The daemon's log lines about it are not commands."""
    events = (
        Began(SOURCE),
        Answered(SOURCE, 220, "hello"),
        Asked(SOURCE, "\x16\x03\x01", ""),
        Answered(SOURCE, 530, ""),
    )
    testimony = compose(root, [control_link(HELLO)], events)
    assert testimony.discrepancies == ()
    assert testimony.commands == ()
    (handshake,) = testimony.handshakes
    assert (handshake.connection, handshake.completed, handshake.error) == (1, False, TLS_IN_CLEAR)
    assert testimony.connections[0].greeted


def test_logged_commands_after_a_bare_client_hello_are_a_discrepancy(root: Path) -> None:
    assert compose(root, [control_link(HELLO + IN_CLEAR)], LOGIN).discrepancies


def test_silent_implicit_connection_may_be_missing_from_the_log(root: Path) -> None:
    assert compose(root, [control_link(b"", b"", implicit=True)], []).discrepancies == ()
    assert compose(root, [control_link(HELLO, b"", implicit=True)], []).discrepancies
