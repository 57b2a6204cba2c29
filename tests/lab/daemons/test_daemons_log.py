"""Daemons' logs, recorded from real sessions of lftp 4.9.2 (tests/recordings/daemons), and specs that they refuse."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ftps_lab.certificates import CertificateSpec, issue
from ftps_lab.daemons import DAEMONS, DaemonServer, proftpd, pure_ftpd, vsftpd, why_not
from ftps_lab.daemons.log import Answered, Asked, Began, Moved, Secured, Strange, sessions
from ftps_lab.errors import LabError
from ftps_lab.interface import ServerSpec

if TYPE_CHECKING:
    from ftps_lab.daemons.log import Event, Session

RECORDINGS = Path(__file__).parents[2] / "recordings" / "daemons"
ROOT = "/srv/root"
A, B = "127.128.0.9", "127.128.0.10"


def events_of(kind: str, lines: list[str]) -> list[Event]:
    if kind == "proftpd":
        return list(proftpd.read_lines(lines, ROOT))
    if kind == "vsftpd":
        return [event for line in lines for event in vsftpd.read_line(line)]
    return [event for line in lines for event in pure_ftpd.read_line(line, ROOT)]


def recorded(kind: str, name: str) -> Session:
    _, _, rest = (RECORDINGS / f"{kind}.log").read_text().partition(f"### {name}\n")
    lines = rest.partition("### ")[0].removesuffix("\n").split("\n")
    found, strange = sessions(events_of(kind, lines))
    assert strange == []
    (session,) = found.values()
    assert session.problems == []
    return session


KINDS = ["vsftpd", "proftpd", "pure-ftpd"]


@pytest.mark.parametrize("kind", KINDS)
def test_recorded_session_is_read_in_full(kind: str) -> None:
    session = recorded(kind, "session")
    assert session.secured is not None
    assert session.secured.version == "TLSv1.3"
    by_verb = {exchange.verb: exchange for exchange in session.exchanges}
    assert (by_verb["USER"].argument, by_verb["USER"].reply) == ("alice", 331)
    assert (by_verb["PASS"].argument, by_verb["PASS"].reply) == ("", 230)
    transfers = [exchange for exchange in session.exchanges if exchange.transferred]
    assert [exchange.verb for exchange in transfers] == ["LIST", "RETR", "STOR"]
    assert [exchange.final for exchange in transfers] == [226, 226, 226]
    assert all(exchange.port is not None for exchange in transfers)
    moved = [(e.moved.path.replace("//", "/"), e.moved.size) for e in transfers[1:] if e.moved is not None]
    assert moved == [("/secret.txt", 8), ("/up", 16)]


@pytest.mark.parametrize("kind", KINDS)
def test_recorded_refusal_cleartext_login_and_wrong_password(kind: str) -> None:
    refused = recorded(kind, "refused")
    assert refused.secured is not None
    assert not {"USER", "PASS"} & {exchange.verb for exchange in refused.exchanges}
    clear = recorded(kind, "clear")
    assert clear.secured is None
    assert [e.reply for e in clear.exchanges if e.verb == "PASS"] == [230]
    assert [e.reply for e in recorded(kind, "wrong").exchanges if e.verb == "PASS"] == [530]


@pytest.mark.parametrize("kind", KINDS)
def test_unknown_line_is_strange(kind: str) -> None:
    assert events_of(kind, ["anything else"]) == [Strange("anything else")]


@pytest.mark.parametrize("kind", KINDS)
def test_recordings_contain_no_password(kind: str) -> None:
    content = (RECORDINGS / f"{kind}.log").read_text()
    assert "correct-horse" not in content
    assert "wrong\n" not in content.replace("### wrong\n", "")


def test_vsftpd_line_without_a_size_is_an_empty_transfer() -> None:
    line = f'Sun Nov 22 22:51:17 2026 [pid 16] [alice] OK UPLOAD: Client "{A}", "/empty", 0.00Kbyte/sec'
    assert list(vsftpd.read_line(line)) == [Moved(A, "/empty", 0)]


def test_vsftpd_file_name_with_quotes_is_read_verbatim() -> None:
    line = f'Sun Nov 22 22:51:17 2026 [pid 16] [alice] FTP command: Client "{A}", "RETR a"b", "c"'
    assert list(vsftpd.read_line(line)) == [Asked(A, "RETR", 'a"b", "c')]


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("vsftpd", f'Sun Nov 22 22:51:17 2026 [pid 16] [a] OK UPLOAD: Client "{A}", "/up", 16 by'),
        ("pure-ftpd", f"pure-ftpd: (a@{A}) [NOTICE] /srv/root//up uploaded  (16 by"),
        ("proftpd", f"la\x1f13\x1f{A}\x1fSTOR\x1fup\x1f226\x1fTransfer complete\x1f16\x1f/srv/root/up"),
        ("proftpd", f"lab\x1f13\x1f{A}\x1fSTOR\x1fup\x1f226\x1fTransfer complete\x1f16"),
    ],
)
def test_truncated_transfer_line_is_strange(kind: str, line: str) -> None:
    assert events_of(kind, [line])[-1] == Strange(line)


def test_proftpd_size_of_a_refused_transfer_is_ignored() -> None:
    line = f"lab\x1f13\x1f{A}\x1fRETR\x1fup\x1f550\x1fNo such file\x1f0\x1f/srv/root/up"
    assert not any(isinstance(event, Moved) for event in events_of("proftpd", [line]))
    line = f"lab\x1f13\x1f{A}\x1fRETR\x1fup\x1f426\x1fAborted\x1f3\x1f/srv/root/up"
    assert Moved(A, "/up", 3) in events_of("proftpd", [line])


@pytest.mark.parametrize(
    ("what", "transferred", "completed"),
    [
        ((), False, False),
        ((Answered(A, 150, ""),), True, False),
        ((Answered(A, 150, ""), Answered(A, 226, "")), True, True),
        ((Answered(A, 250, ""),), True, True),
        ((Answered(A, 425, ""),), False, False),
        ((Secured(A, "TLSv1.3", "x"), Answered(A, 425, "")), True, False),
        ((Moved(A, "/x", 3), Answered(A, 550, "")), True, False),
        ((Answered(A, 150, ""), Answered(A, 426, ""), Answered(A, 226, "")), True, False),
    ],
)
def test_replies_decide_what_is_transferred_and_completed(
    what: tuple[Event, ...], transferred: bool, completed: bool
) -> None:
    found, _ = sessions([Asked(A, "RETR", "x"), *what])
    (exchange,) = found[A].exchanges
    assert (exchange.transferred, exchange.completed) == (transferred, completed)


def test_second_size_of_one_transfer_is_a_problem() -> None:
    found, _ = sessions([Asked(A, "RETR", "x"), Moved(A, "/x", 3), Moved(A, "/x", 3)])
    assert len(found[A].problems) == 1


def test_pure_ftpd_logout_line_is_not_a_reply() -> None:
    """It repeats the code of its last reply, here the one to USER."""
    lines = [
        f"pure-ftpd: (?@{A}) [DEBUG] Command [user] [alice]",
        f"pure-ftpd: (?@{A}) [DEBUG] 331 User alice OK. Password required",
        f"pure-ftpd: (?@{A}) [DEBUG] Command [pass] [<*>]",
        f"pure-ftpd: (?@{A}) [DEBUG] 331 Logout.",
    ]
    found, strange = sessions(events_of("pure-ftpd", lines))
    assert strange == []
    assert [(e.verb, e.reply) for e in found[A].exchanges] == [("USER", 331), ("PASS", None)]
    assert [e.replies for e in recorded("pure-ftpd", "session").exchanges if e.verb == "QUIT"] == [[(221, "Logout.")]]


def test_interleaved_sessions_are_kept_apart() -> None:
    found, _ = sessions(
        [
            *(Began(A), Began(B), Asked(A, "USER", "a"), Asked(B, "USER", "b")),
            *(Answered(B, 331, ""), Answered(A, 530, ""), Asked(B, "PASS", ""), Answered(B, 230, "")),
        ]
    )
    assert [(e.verb, e.reply) for e in found[A].exchanges] == [("USER", 530)]
    assert [(e.verb, e.reply) for e in found[B].exchanges] == [("USER", 331), ("PASS", 230)]


def test_size_without_a_transfer_command_is_a_problem() -> None:
    found, _ = sessions([Asked(A, "NOOP", ""), Answered(A, 200, ""), Moved(A, "/x", 3)])
    assert len(found[A].problems) == 1


def test_second_handshake_on_a_control_connection_is_a_problem() -> None:
    found, _ = sessions([Asked(A, "AUTH", "TLS"), Secured(A, "TLSv1.3", "x"), Secured(A, "TLSv1.3", "x")])
    assert len(found[A].problems) == 1


def test_transfer_has_the_last_announced_port() -> None:
    found, _ = sessions(
        [
            *(Asked(A, "PASV", ""), Answered(A, 227, "Entering Passive Mode (127,0,0,1,1,2).")),
            *(Asked(A, "EPSV", ""), Answered(A, 229, "Entering Extended Passive Mode (|||777|)")),
            *(Asked(A, "RETR", "x"), Answered(A, 150, ""), Asked(A, "RETR", "y"), Answered(A, 425, "")),
        ]
    )
    assert [e.announced for e in found[A].exchanges] == [258, 777, None, None]
    assert [e.port for e in found[A].exchanges] == [None, None, 777, None]
    assert [e.transferred for e in found[A].exchanges] == [False, False, True, False]


def _certificates(*names: str) -> list[Any]:
    return list(issue({name: CertificateSpec() for name in names}).values())


def test_why_not_names_what_a_daemon_cannot_do() -> None:
    one, other = _certificates("one", "other")
    for kind in DAEMONS:
        assert why_not(kind, ServerSpec(certificate=one)) == ""
        assert why_not(kind, ServerSpec(certificate=one, data_certificate=one, role="impostor")) == ""
        assert why_not(kind, ServerSpec(protocol="plain")) == ""
        assert "attack" in why_not(kind, ServerSpec(certificate=one, attack="intercept"))
        assert "same certificate" in why_not(kind, ServerSpec(certificate=one, data_certificate=other))
        for own in (ServerSpec(certificate=one, user="me"), ServerSpec(certificate=one, password="mine")):
            assert "gets its users and password when it starts" in why_not(kind, own)
        gap = why_not(kind, ServerSpec(certificate=one, tls=("1.3", "1.1")))
        assert gap == "" if kind == "proftpd" else "gap" in gap
    assert "implicit" in why_not("pure-ftpd", ServerSpec(protocol="implicit", certificate=one))
    assert why_not("vsftpd", ServerSpec(protocol="implicit", certificate=one)) == ""
    assert "older" in why_not("pure-ftpd", ServerSpec(certificate=one, tls=("1.1", "1.2")))


def test_unknown_daemon_is_an_error() -> None:
    with pytest.raises(LabError, match="unknown daemon 'wu-ftpd'"):
        why_not("wu-ftpd", ServerSpec())


def test_daemon_is_not_started_with_a_spec_it_cannot_serve(tmp_path: Path) -> None:
    (one,) = _certificates("one")
    spec = ServerSpec(certificate=one, attack="intercept")
    server = DaemonServer("vsftpd", spec, root=tmp_path, password="x", users=("a",), host="127.0.0.1", port=0)
    with pytest.raises(LabError, match="attack"):
        server.start()
    server.stop()
    with pytest.raises(LabError, match="is not running"):
        server.record()
