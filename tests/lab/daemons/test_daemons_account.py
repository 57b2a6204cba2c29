"""A testimony from log, files and relay: what each source says, and every contradiction between them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest
from tests.lab.wire.tapped import VERSIONS, pair, server_context

from ftps_lab.daemons.account import Habits, TestimonyBuilder
from ftps_lab.daemons.log import Answered, Asked, Began, Event, Moved, Secured, sessions
from ftps_lab.daemons.tape import Link
from ftps_lab.testimony import TLS_IN_CLEAR

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Sequence
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
    return TestimonyBuilder(
        role="genuine", links=links, sessions=found, root=root, passwords={"alice": "secret"}, **more
    ).testimony()


def test_a_session_in_clear(root: Path) -> None:
    links = [control(IN_CLEAR + b"PASV\r\nRETR file\r\n"), data(b"hello")]
    testimony = compose(root, links, LOGIN + GET)
    assert testimony.discrepancies == ()
    (credential,) = testimony.credentials
    assert (credential.user, credential.password, credential.channel) == ("alice", "secret", "clear")
    (transfer,) = testimony.transfers
    assert (transfer.connection, transfer.control, transfer.size, transfer.completed) == (2, 1, 5, True)
    assert transfer.sha256 == hashlib.sha256(b"hello").hexdigest()
    assert (transfer.channel, transfer.certificate) == ("clear", "")
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


def test_a_password_in_the_log_without_its_user(root: Path) -> None:
    testimony = compose(root, [control(b"PASS secret\r\n")], (*LOGIN[:2], *LOGIN[4:]))
    (sentence,) = testimony.discrepancies
    assert "nobody whose it is" in sentence


@pytest.mark.parametrize("events", [PASV, GET], ids=["PASV", "RETR"])
def test_a_login_that_the_log_has_lost(root: Path, events: tuple[Event, ...]) -> None:
    links = [control(b"PASV\r\nRETR file\r\n"), data(b"hello")]
    told = compose(root, links, LOGIN[:2] + events).discrepancies
    assert any("login is not in the daemon's log" in sentence for sentence in told)
    refused = (*LOGIN[:5], Answered(A, 530, ""))
    assert compose(root, [control(IN_CLEAR)], refused).discrepancies == ()


def test_a_data_connection_in_clear_of_a_transfer_that_the_daemon_did_not_begin(root: Path) -> None:
    links = [control(IN_CLEAR + b"PASV\r\nRETR file\r\n"), data(b"hello")]
    (sentence,) = compose(root, links, (*LOGIN, *GET[:3], Answered(A, 425, ""))).discrepancies
    assert "in clear that belongs to no transfer" in sentence


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


# In TLS: the relay knows how often the client spoke and got an answer, but not the content.


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, str]:
    return server_context(tmp_path_factory.mktemp("pem"))


@pytest.fixture(params=VERSIONS, ids=["1.2", "1.3"])
def version(request: pytest.FixtureRequest) -> Any:
    return request.param


Context = tuple["ssl.SSLContext", str]
Talk = tuple[bytes, bytes]
"""The client's bytes and the server's answer, which is empty if it does not answer."""

TALK: tuple[Talk, ...] = (
    (b"USER alice\r\n", b"331 x\r\n"),
    (b"PASS secret\r\n", b"230 x\r\n"),
    (b"QUIT\r\n", b"221 x\r\n"),
)
AUTH: tuple[Event, ...] = (*LOGIN[:2], Asked(A, "AUTH", "TLS"), Answered(A, 234, ""), Secured(A, "TLSv1.x", "x"))
QUIT = (Asked(A, "QUIT", ""), Answered(A, 221, ""))


def in_tls(
    link: Link, context: Context, version: ssl.TLSVersion, talk: Iterable[Talk], *, until_client: bool = False
) -> Link:
    """The link with a handshake and then this talk; `until_client`: the server stops once the client has finished."""
    tapped = pair(context[0], version)
    tapped.shake_hands(until_client=until_client)
    for asked, answer in talk:
        for end, data in ((tapped.client, asked), (tapped.server, answer)):
            if data:
                tapped.say(end, data)
    above, below = len(link.to_server), len(link.to_client)
    link.certificate = context[1]
    link.to_server += tapped.up
    link.to_client += tapped.down
    link.marks += [(above, below), *((above + up, below + down) for up, down in tapped.marks)]
    return link


def doubts(root: Path, link: Link, events: Sequence[Event], version: ssl.TLSVersion, **habits: Any) -> str:
    name = {771: "TLSv1.2", 772: "TLSv1.3"}[version]
    known = [Secured(A, name, "x") if isinstance(event, Secured) else event for event in events]
    return "\n".join(compose(root, [link], known, habits=Habits(**habits)).discrepancies)


def explicit_link() -> Link:
    return control(b"AUTH TLS\r\n", b"220 hello\r\n234 ok\r\n")


def explicit(context: Context, version: ssl.TLSVersion, talk: Iterable[Talk] = TALK) -> Link:
    return in_tls(explicit_link(), context, version, talk)


def test_a_session_in_tls_that_the_log_has_whole(root: Path, context: Context, version: ssl.TLSVersion) -> None:
    assert doubts(root, explicit(context, version), (*AUTH, *LOGIN[2:], *QUIT), version) == ""


def test_what_came_before_tls_came_in_clear(root: Path, context: Context, version: ssl.TLSVersion) -> None:
    """This also holds if a first AUTH was refused."""
    link = control(b"AUTH SSL\r\nAUTH TLS\r\n", b"220 hello\r\n504 no\r\n234 ok\r\n")
    refused = (Asked(A, "AUTH", "SSL"), Answered(A, 504, ""))
    events = (*AUTH[:2], *refused, *AUTH[2:4], *LOGIN[2:], *QUIT)
    testimony = compose(root, [in_tls(link, context, version, TALK)], events)
    assert testimony.discrepancies == ()
    assert [c.channel for c in testimony.commands] == ["clear"] * 2 + ["tls"] * 3
    assert [c.channel for c in testimony.credentials] == ["tls"]


def test_a_log_that_ends_at_auth(root: Path, context: Context, version: ssl.TLSVersion) -> None:
    assert "more commands answered" in doubts(root, explicit(context, version), AUTH, version)
    assert "more commands answered" in doubts(root, explicit(context, version, TALK[:1]), AUTH, version)
    implicit = in_tls(control(b"", b"", implicit=True), context, version, TALK)
    events = (*LOGIN[:2], Secured(A, "", ""))
    assert "more commands answered" in doubts(root, implicit, events, version)


def test_a_client_that_leaves_before_the_daemon_reads_what_it_sent(
    root: Path, context: Context, version: ssl.TLSVersion
) -> None:
    """lftp may do so when it refuses a certificate: the daemon need not have read an unanswered command."""
    unheard = ((TALK[0][0], b""), (TALK[1][0], b""))
    assert doubts(root, explicit(context, version, unheard), AUTH, version) == ""
    pipelined = ((TALK[0][0], b""), (TALK[1][0], b"331 x\r\n"))
    assert doubts(root, explicit(context, version, pipelined), (*AUTH, *LOGIN[2:4]), version) == ""


@pytest.mark.parametrize("lost", [slice(2, 4), slice(4, 6), slice(2, 6), slice(4, None)])
def test_a_log_that_lost_some_commands(root: Path, context: Context, version: ssl.TLSVersion, lost: slice) -> None:
    events = [*LOGIN, *QUIT]
    del events[lost]
    assert "more commands answered" in doubts(root, explicit(context, version), AUTH + tuple(events[2:]), version)


def test_a_daemon_that_logs_not_every_command(root: Path, context: Context, version: ssl.TLSVersion) -> None:
    """ProFTPD omits LANG before the login, and unknown commands after it."""
    asks = (b"LANG\r\n", b"200 x\r\n")
    link = explicit(context, version, (asks, *TALK))
    whole = (*AUTH, *LOGIN[2:], *QUIT)
    assert "more commands answered" in doubts(root, link, whole, version)
    assert doubts(root, link, whole, version, leaves_out=1) == ""
    link = explicit(context, version, (asks, *TALK[:2], (b"XFOO\r\n", b"500 x\r\n"), TALK[2]))
    assert doubts(root, link, whole, version, leaves_out=1) == ""
    refused = explicit(context, version, (asks, *TALK[:2]))
    assert doubts(root, refused, (*AUTH, *LOGIN[2:5], Answered(A, 530, "")), version, leaves_out=1) == ""
    for events in (AUTH, AUTH + LOGIN[2:4], (*AUTH, *LOGIN[2:4], *QUIT)):  # but it never omits a login
        assert "more commands answered" in doubts(root, link, events, version, leaves_out=1)


def test_a_last_password_whose_reply_is_lost(root: Path, context: Context, version: ssl.TLSVersion) -> None:
    events = (*AUTH, *LOGIN[2:5])
    assert "more commands answered" in doubts(root, explicit(context, version, TALK[:2]), events, version)
    waiting = explicit(context, version, (TALK[0], (TALK[1][0], b"")))
    assert doubts(root, waiting, events, version) == ""  # the client left first, which is allowed


def test_a_last_password_in_clear_whose_reply_is_lost(root: Path) -> None:
    said = b"220 hello\r\n331 x\r\n"
    marks = [(len(b"USER alice\r\n"), said.index(b"331")), (len(IN_CLEAR), len(said))]
    waiting = control(IN_CLEAR, said, marks=marks)
    assert compose(root, [waiting], LOGIN[:5]).discrepancies == ()
    (sentence,) = compose(root, [control(IN_CLEAR, said + b"230 x\r\n", marks=marks)], LOGIN[:5]).discrepancies
    assert "more commands answered" in sentence


def test_a_session_in_the_log_that_the_relay_has_not(root: Path) -> None:
    stranger = "127.128.0.4"
    events = (Began(stranger), Asked(stranger, "USER", "bob"), Answered(stranger, 331, ""))
    (sentence,) = compose(root, [control(IN_CLEAR)], LOGIN + events).discrepancies
    assert f"session from {stranger} that the relay has not" in sentence
    assert compose(root, [control(IN_CLEAR)], LOGIN + events, others={stranger}).discrepancies == ()


def test_the_source_of_a_data_connection_is_no_session_of_the_relay(root: Path) -> None:
    """That address is the daemon's own, and all data connections share it."""
    stranger = Began("127.64.0.1")
    testimony = compose(root, [control(IN_CLEAR + b"PASV\r\nRETR file\r\n"), data(b"hello")], (*LOGIN, *GET, stranger))
    assert any("that the relay has not" in sentence for sentence in testimony.discrepancies)


PUT = (*PASV, Asked(A, "STOR", "file"))
SENT = IN_CLEAR + b"PASV\r\nSTOR file\r\n"


def stored(root: Path, link: Link, events: tuple[Event, ...]) -> tuple[str, ...]:
    session = control(SENT)
    session.certificate = link.certificate
    return compose(root, [session, link], LOGIN + events).discrepancies


@pytest.mark.parametrize("said", [0, 1], ids=["upload", "download"])
def test_content_in_tls_of_a_transfer_whose_replies_are_all_lost(
    root: Path, context: Context, version: ssl.TLSVersion, said: int
) -> None:
    content = (b"what passes" * 20, b"") if said == 0 else (b"", b"what passes" * 20)
    link = in_tls(data(), context, version, [content])
    (sentence,) = stored(root, link, PUT)
    assert "content in TLS that belongs to no transfer" in sentence
    (sentence,) = stored(root, link, PASV)[1:]
    assert "content in TLS that belongs to no transfer" in sentence


def test_what_a_daemon_refuses_is_no_lost_transfer(root: Path, context: Context, version: ssl.TLSVersion) -> None:
    """The client may have sent its first bytes by then; and a handshake alone carries no content."""
    link = in_tls(data(), context, version, [(b"what passes" * 20, b"")])
    assert stored(root, link, (*PUT, Answered(A, 425, ""))) == ()
    link = in_tls(data(), context, version, [])
    assert stored(root, link, PUT) == ()


def test_a_transfer_without_an_end_before_another_command(root: Path) -> None:
    link = control(IN_CLEAR + b"PASV\r\nRETR file\r\nQUIT\r\n")
    events = LOGIN + GET[:5]
    assert any("without a reply" in told for told in compose(root, [link, data(b"hello")], events + QUIT).discrepancies)
    assert compose(root, [link, data(b"hello")], events).discrepancies == ()  # the client left, which is allowed
    link = control(IN_CLEAR + b"PASV\r\nRETR file\r\nABOR\r\n")
    aborted = (*events, Asked(A, "ABOR", ""), Answered(A, 226, ""))
    testimony = compose(root, [link, data(b"hello")], aborted)
    assert (testimony.discrepancies, testimony.transfers[0].completed) == ((), False)


def test_a_transfer_that_was_aborted_is_not_completed_by_the_reply_to_the_abor(root: Path) -> None:
    """Pure-FTPd does not log an ABOR that arrives during a transfer: its 426 and 226 both follow the transfer."""
    events = (*LOGIN, *GET[:5], Answered(A, 426, "ABORT"), Answered(A, 226, "done"))
    (transfer,) = compose(root, [control(IN_CLEAR + b"PASV\r\nRETR file\r\n"), data(b"hello")], events).transfers
    assert not transfer.completed


def test_an_abor_that_is_not_in_the_log_is_no_lost_command(
    root: Path, context: Context, version: ssl.TLSVersion
) -> None:
    talk = ((b"STOR f\r\n", b"150 x\r\n"), (b"ABOR\r\n", b"426 x\r\n226 x\r\n"))
    replies = (Answered(A, 150, ""), Answered(A, 426, ""), Answered(A, 226, ""))
    for said in (replies, replies[:2], (replies[0], replies[0])):  # the client may leave before the last reply
        told = doubts(root, explicit(context, version, talk), (*AUTH, Asked(A, "STOR", "f"), *said), version)
        assert "more commands" not in told
    for whole in (replies[:1], replies[::2], (Answered(A, 550, ""),)):
        told = doubts(root, explicit(context, version, talk), (*AUTH, Asked(A, "STOR", "f"), *whole), version)
        assert "more commands" in told


def test_a_lost_command_whose_reply_stands_behind_a_transfer(
    root: Path, context: Context, version: ssl.TLSVersion
) -> None:
    talk = ((b"STOR f\r\n", b"150 x\r\n226 x\r\n"), (b"TYPE I\r\n", b"200 x\r\n"))
    replies = (Answered(A, 150, ""), Answered(A, 226, ""), Answered(A, 200, ""))
    told = doubts(root, explicit(context, version, talk), (*AUTH, Asked(A, "STOR", "f"), *replies), version)
    assert "more commands" in told


def test_a_transfer_that_is_logged_when_it_is_over_may_have_no_reply(
    root: Path, context: Context, version: ssl.TLSVersion
) -> None:
    """ProFTPD's line has no reply if the session ended first, although it had sent 150."""
    link = explicit(context, version, ((b"RETR f\r\n", b"150 x\r\n"),))
    assert doubts(root, link, (*AUTH, Asked(A, "RETR", "f")), version) == ""


# Handshakes: the relay has the client's Finished; the log or the relay has the result.

NAMES = {771: "TLSv1.2", 772: "TLSv1.3"}


def finished_by(root: Path, link: Link, *events: Event) -> bool:
    (handshake,) = compose(root, [link], (*AUTH[:4], *events)).handshakes
    return handshake.completed


def test_a_handshake_is_completed_by_both_sides(root: Path, context: Context, version: ssl.TLSVersion) -> None:
    assert finished_by(root, explicit(context, version), Secured(A, NAMES[version], "x"))
    assert finished_by(root, explicit(context, version))  # the daemon continued in TLS, whatever its log says
    cut = explicit(context, version)
    cut.to_server = cut.to_server[: cut.marks[1][0]]  # cut after the ClientHello
    assert not finished_by(root, cut, Secured(A, NAMES[version], "x"))
    assert any("did not see finished" in told for told in compose(root, [cut], AUTH).discrepancies)


def test_a_clients_finished_alone_completes_nothing(root: Path, context: Context) -> None:
    """In TLS 1.3 the daemon may have refused it; if it sends no tickets, only its log tells."""
    link = in_tls(explicit_link(), context, VERSIONS[1], (), until_client=True)
    assert not finished_by(root, link)
    assert finished_by(root, link, Secured(A, "TLSv1.3", "x"))


def test_an_upload_completes_the_handshake_of_a_connection_on_which_the_daemon_says_nothing(
    root: Path, context: Context
) -> None:
    link = in_tls(data(), context, VERSIONS[1], ((b"hello", b""),), until_client=True)
    session = control(SENT)
    session.certificate = link.certificate
    events = (*LOGIN, *PUT, Answered(A, 150, ""), Moved(A, "/file", 5), Answered(A, 226, ""))
    testimony = compose(root, [session, link], events)
    assert [h.completed for h in testimony.handshakes] == [True]
    assert (testimony.transfers[0].completed, testimony.discrepancies) == (True, ())
    for end in (425, 522):
        testimony = compose(root, [session, link], (*LOGIN, *PUT, Answered(A, end, "")))
        assert [h.completed for h in testimony.handshakes] == [False]


def test_what_log_and_relay_say_of_a_handshake_must_be_the_same(
    root: Path, context: Context, version: ssl.TLSVersion
) -> None:
    link, whole = explicit(context, version), (*LOGIN[2:], *QUIT)
    other = Secured(A, NAMES[VERSIONS[version == VERSIONS[0]]], "x")
    (sentence,) = compose(root, [link], (*AUTH[:4], other, *whole)).discrepancies
    assert f"has {other.version} in the daemon's log, but {NAMES[version]} in the relay" in sentence
    link.certificate = "another"
    told = compose(root, [link], (*AUTH[:4], Secured(A, NAMES[version], "x"), *whole)).discrepancies
    # In TLS 1.3 the certificate is encrypted, so it was read from the daemon beforehand (`probe`).
    assert any("another certificate" in sentence for sentence in told) is (version == VERSIONS[0])


def test_what_goes_on_in_clear_proves_no_tls(root: Path, context: Context, version: ssl.TLSVersion) -> None:
    link = explicit(context, version)
    link.to_server += b"PASS secret\r\n"
    testimony = compose(root, [link], (*AUTH[:4], Secured(A, NAMES[version], "x"), *LOGIN[2:]))
    assert any("not TLS" in sentence for sentence in testimony.discrepancies)
    assert {credential.channel for credential in testimony.credentials} == {"clear"}
    link = in_tls(data(), context, version, ((b"", b"hello"),))
    link.to_client += b"more"
    session = control(IN_CLEAR + b"PASV\r\nRETR file\r\n")
    session.certificate = link.certificate
    (sentence,) = compose(root, [session, link], LOGIN + GET).discrepancies
    assert "goes on with something else" in sentence


def test_what_is_unclear_in_the_log_is_told(root: Path) -> None:
    events = (*LOGIN, Moved(A, "/file", 5))
    (sentence,) = compose(root, [control(IN_CLEAR)], events).discrepancies
    assert "is unclear" in sentence
    links = [control(IN_CLEAR + b"PASV\r\nRETR file\r\n"), data(b"hello")]
    twice = compose(root, links, (*LOGIN, *GET[:5], *GET[4:])).discrepancies
    assert any("is unclear" in sentence for sentence in twice)


def test_a_file_that_is_named_in_a_command_that_was_answered_has_the_size_of_the_log(root: Path) -> None:
    """A completed transfer proves nothing if the log gives no size for the file."""
    links = [control(IN_CLEAR + b"PASV\r\nRETR file\r\n"), data(b"hello")]
    testimony = compose(root, links, (*LOGIN, *GET[:4], GET[5]))
    assert any("tells no size" in sentence for sentence in testimony.discrepancies)
    assert testimony.transfers[0].sha256 == ""


def test_a_data_connection_in_tls_that_cannot_have_carried_what_the_log_says(
    root: Path, context: Context, version: ssl.TLSVersion
) -> None:
    (root / "file").write_bytes(b"x" * 5000)
    session, events = control(SENT), (*LOGIN, *PUT, Answered(A, 150, ""), Moved(A, "/file", 5000), Answered(A, 226, ""))
    session.certificate = context[1]
    link = in_tls(data(), context, version, ((b"x" * 5000, b""),))
    assert compose(root, [session, link], events).discrepancies == ()
    link = in_tls(data(), context, version, ((b"x" * 50, b""),))
    assert any(
        "but the daemon's log speaks of 5000" in told for told in compose(root, [session, link], events).discrepancies
    )
    link.to_server = link.to_server[: link.marks[1][0]]  # cut after the ClientHello
    assert any(
        "did not see its TLS handshake finished" in told
        for told in compose(root, [session, link], events).discrepancies
    )


def test_a_session_keeps_its_certificate_on_data_connections_that_come_after_a_rotation(
    root: Path, context: Context
) -> None:
    session = control(IN_CLEAR + b"PASV\r\nRETR file\r\n")
    session.certificate = "OLD"
    link = in_tls(data(), context, VERSIONS[1], ((b"", b"hello"),))
    link.certificate = "NEW"
    testimony = compose(root, [session, link], LOGIN + GET)
    assert [transfer.certificate for transfer in testimony.transfers] == ["OLD"]
    assert [handshake.certificate for handshake in testimony.handshakes] == ["OLD"]


HELLO = b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"


def test_tls_in_the_place_of_the_first_command_is_a_failed_handshake(root: Path) -> None:
    """The daemon's log lines about it are not commands."""
    events = (Began(A), Answered(A, 220, "hello"), Asked(A, "\x16\x03\x01", ""), Answered(A, 530, ""))
    testimony = compose(root, [control(HELLO)], events)
    assert testimony.discrepancies == ()
    assert testimony.commands == ()
    (handshake,) = testimony.handshakes
    assert (handshake.connection, handshake.completed, handshake.error) == (1, False, TLS_IN_CLEAR)
    assert testimony.connections[0].greeted


def test_commands_in_the_log_where_the_relay_has_tls_alone(root: Path) -> None:
    assert compose(root, [control(HELLO + IN_CLEAR)], LOGIN).discrepancies


def test_who_never_spoke_to_an_implicit_port_need_not_be_in_the_log(root: Path) -> None:
    assert compose(root, [control(b"", b"", implicit=True)], []).discrepancies == ()
    assert compose(root, [control(HELLO, b"", implicit=True)], []).discrepancies
