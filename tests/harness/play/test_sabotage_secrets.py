"""Encoded passwords: the witnesses find them by whatever route a setup sends them. Real lftp throughout."""

from __future__ import annotations

import base64
import socket
import time
from typing import TYPE_CHECKING

import pytest
from tests.harness.play.sabotage import EXPOSED
from tests.harness.verdict.outcomes import leaked

from ftps_harness.sandbox.secrets import Secrets
from ftps_harness.verdict.needles import Passwords
from ftps_harness.verdict.on_the_wire import account
from ftps_lab.certificates import CertificateSpec, issue
from ftps_lab.interface import ServerSpec
from ftps_lab.servers import FtpsServer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.conftest import Play

    from ftps_harness.play.runner import ScenarioResult

pytestmark = pytest.mark.long

ENCODINGS = {
    "plain": "printf %s $LFTP_PASSWORD",
    "with a blank": "printf '%s ' $LFTP_PASSWORD",
    "within a path": "printf '/home/%s/x' $LFTP_PASSWORD",
    "base64": "printf %s $LFTP_PASSWORD | base64 -w0",
    "base64 of user:password": "printf 'backup:%s' $LFTP_PASSWORD | base64 -w0",
    "base64, shifted": "printf 'me:%s' $LFTP_PASSWORD | base64 -w0",
    "hex": "printf %s $LFTP_PASSWORD | od -An -v -tx1 | tr -d ' \\n'",
    "base32": "printf %s $LFTP_PASSWORD | base32 -w0",
    "UTF-16": "printf %s $LFTP_PASSWORD | iconv -t UTF-16LE | base64 -w0",
    "upper case": "printf %s $LFTP_PASSWORD | tr a-z A-Z",
    "reversed": "printf %s $LFTP_PASSWORD | rev",
    "rot13": "printf %s $LFTP_PASSWORD | tr a-z n-za-m",
    "base64 twice": "printf %s $LFTP_PASSWORD | base64 -w0 | base64 -w0",
    "percent-encoded": "printf %s $LFTP_PASSWORD | od -An -v -tx1 | tr ' ' % | tr -d '\\n'",
}
VERBS = ["USER %s", "ACCT %s", "SITE x %s", "CWD %s", "%s"]
ANONYMOUS = 'user = "anonymous"\n'
IN_CLEAR = 'protocol = "plain"\n'
IMPOSTOR = 'protocol = "implicit"\nrole = "impostor"\n'


def play_line(play: Play, server: str, line: str, encoding: str) -> ScenarioResult:
    """An anonymous session that sends one more line, in which a shell has put the run's own password."""
    lines = line.replace("%s", "`" + encoding + "`")
    run = f"""run = [\'\'\'!echo "quote {lines}" > say\'\'\', "source say", "list"]\n"""
    return play(play.step(EXPOSED, rc="set ssl:verify-certificate no", keys=ANONYMOUS + run), server=server)


@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=ENCODINGS)
def test_password_in_any_usual_encoding_is_found(play: Play, encoding: str) -> None:
    outcome = play_line(play, IN_CLEAR, "SITE %s", encoding).steps[0].attempts[0].outcome
    assert leaked(outcome) == ("exposed", {"password", "payload"}, {"wire"})
    outcome = play_line(play, IMPOSTOR, "SITE %s", encoding).steps[0].attempts[0].outcome
    assert leaked(outcome) == ("exposed", {"password", "payload"}, {"impostor"})


@pytest.mark.parametrize("line", VERBS)
@pytest.mark.parametrize("encoding", ["plain", "base64"])
def test_password_in_any_command_is_found(play: Play, line: str, encoding: str) -> None:
    outcome = play_line(play, IMPOSTOR, line, ENCODINGS[encoding]).steps[0].attempts[0].outcome
    assert leaked(outcome) == ("exposed", {"password", "payload"}, {"impostor"})


def test_anonymous_session_alone_exposes_no_password(play: Play) -> None:
    """The tests above find the password, not the session."""
    for server, to in ((IN_CLEAR, {"wire"}), (IMPOSTOR, {"impostor"})):
        step = play.step(EXPOSED, rc="set ssl:verify-certificate no", keys=ANONYMOUS + 'run = ["list"]\n')
        outcome = play(step, server=server).steps[0].attempts[0].outcome
        assert leaked(outcome) == ("exposed", {"payload"}, to)


@pytest.mark.parametrize("whose", ["step", "server"])
def test_declared_password_sent_by_other_means_is_found(play: Play, whose: str) -> None:
    """It is the step's, unused by its anonymous login, or the server's, where the step has another."""
    given = {
        "step": "password = 'declared-one'\n",
        "server": "password = 'x'\nserver = { password = 'declared-one' }\n",
    }
    keys = ANONYMOUS + given[whose] + 'run = ["quote SITE declared-one; ls"]\n'
    played = play(play.step(EXPOSED, rc="", keys=keys), server=IN_CLEAR)
    assert leaked(played.steps[0].attempts[0].outcome) == ("exposed", {"password", "payload"}, {"wire"})


def test_password_in_an_upload_is_found(play: Play) -> None:
    run = """run = ['!printf %s "$LFTP_PASSWORD" | base64 > note', "put note"]\n"""
    for server, to in ((IN_CLEAR, {"wire"}), (IMPOSTOR, {"impostor"})):
        step = play.step(EXPOSED, rc="set ssl:verify-certificate no", keys=ANONYMOUS + run)
        outcome = play(step, server=server).steps[0].attempts[0].outcome
        assert leaked(outcome) == ("exposed", {"password", "payload"}, to)


@pytest.mark.parametrize("server", [IN_CLEAR, 'attack = "strip-auth"\n', IMPOSTOR])
def test_password_in_another_charset_is_found(play: Play, server: str) -> None:
    """A URL can hold it in Latin-1 while the server has it in UTF-8: the login is refused, but the password is out."""
    scheme = "ftps" if server == IMPOSTOR else "ftp"
    run = f"run = ['open {scheme}://me:gr%F6%DFer%20als%20du@localhost:{{port}}; ls']\n"
    step = play.step(EXPOSED, rc="set ssl:verify-certificate no", keys=ANONYMOUS + run)
    attempt = play(step, server=server + 'password = "gr\\u00f6\\u00dfer als du"\n').steps[0].attempts[0]
    assert {(c.password, c.accepted) for c in attempt.testimony.credentials} == {("größer als du", False)}
    to = {IN_CLEAR: {"wire"}, IMPOSTOR: {"impostor"}}.get(server, {"wire", "impostor"})
    assert leaked(attempt.outcome) == ("exposed", {"password"}, to)


def test_password_split_over_segments_is_found(tmp_path: Path) -> None:
    """Anyone on the path can reassemble the segments."""
    secrets = Secrets.new()
    spec = ServerSpec(certificate=issue({"": CertificateSpec()})[""])
    with FtpsServer(spec, root=tmp_path, password=secrets.password) as server:
        with socket.create_connection((server.host, server.port)) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            encoded = base64.b64encode(b"me:" + secrets.password.encode())
            for piece in (b"SITE x", encoded[:9], encoded[9:], b"\r\n"):
                sock.sendall(piece)
                time.sleep(0.05)
        assert server.settle()
        found = account(server.wire(), server.testimony(), secrets, Passwords.of([secrets.password]))
    assert found.password


SOURCES = {
    "URL": ("", "open FTP://me:correct%20horse%20battery@localhost:{port}; ls"),
    "open -u": ("", "open -u 'me,correct horse battery' -p {port} FTP://localhost; ls"),
    "rc": ("alias go \"open -u 'me,correct horse battery' -p {port} FTP://localhost\"\n", "go; ls"),
    ".netrc": ("", "open -p {port} FTP://you@localhost; ls"),
    "bookmark": ("", "open far; ls"),
}
FILES = """files = { "cwd/.netrc" = "text:machine localhost login you password correct-horse\\n", \
"bookmarks" = "text:far\\tFTP://me:correct%20horse%20battery@localhost:{port}/\\n" }
"""


@pytest.mark.parametrize(("rc", "run"), SOURCES.values(), ids=SOURCES)
@pytest.mark.parametrize("server", [IN_CLEAR, 'attack = "strip-auth"\n', IMPOSTOR])
def test_password_from_url_rc_netrc_or_bookmark_is_found(play: Play, rc: str, run: str, server: str) -> None:
    """The lab learns it when it is sent, and the server refuses it."""
    step = f"[[step]]\ntitle = 'it'\n{FILES}{ANONYMOUS}run = [\"{run}\"]\n"
    step += f"rc = '''\nset ssl:verify-certificate no\n{rc}'''\n[step.expect]\n{EXPOSED}\n"
    step = step.replace("FTP://", "ftps://" if server == IMPOSTOR else "ftp://")
    outcome = play(step, server=server).steps[0].attempts[0].outcome
    to = {IN_CLEAR: {"wire"}, IMPOSTOR: {"impostor"}}.get(server, {"wire", "impostor"})
    assert leaked(outcome) == ("exposed", {"password"}, to)


@pytest.mark.parametrize("keys", ["", 'user = "me"\npassword = "a/b c?d>e"\n'], ids=["the run's", "the step's"])
def test_basic_authentication_to_a_proxy_is_an_exposure(play: Play, keys: str) -> None:
    rc = play.pin + "set ftp:ssl-force yes\nset ftp:proxy http://127.0.0.1:{port}\n"
    # The FTP server does not understand HTTP, and lftp would wait in vain.
    played = play(play.step(EXPOSED, rc=rc, keys=keys + 'run = ["list"]\n'), timeout=2.0)
    outcome = played.steps[0].attempts[0].outcome
    assert leaked(outcome) == ("exposed", {"password"}, {"wire"})


IN_PIECES = {
    "commands": "printf 'quote SITE %.12s\\nquote NOOP\\nquote SITE %s\\n' $P ${P#????????????}",
    "connections": "printf 'quote SITE %.12s\\nclose -a\\nquote SITE %s\\n' $P ${P#????????????}",
    "names": "printf 'mkdir %s\\nmkdir %.12s\\n' ${P#????????????} $P",
}


@pytest.mark.parametrize("way", IN_PIECES)
def test_password_in_pieces_is_found(play: Play, way: str) -> None:
    """The impostor gets them before lftp refuses it."""
    rc = f"set ssl:verify-certificate no\n!P=$LFTP_PASSWORD; {IN_PIECES[way]} > ~/say\n"
    refused = "close -a; set ssl:verify-certificate yes; open -u {user},{password} -p {port} ftp://localhost; ls"
    allowed = "set ftp:ssl-allow-anonymous yes; open -u anonymous,lftp@ -p {port} ftp://localhost; source ~/say"
    step = play.step(EXPOSED, rc=rc, keys=f"run = {[allowed, refused]!r}\n")
    outcome = play(step, server='role = "impostor"\n').steps[0].attempts[0].outcome
    assert leaked(outcome) == ("exposed", {"password"}, {"impostor"})


def test_password_in_the_url_for_a_proxy_is_an_exposure(play: Play) -> None:
    """No server needs to know it: only the rc does."""
    rc = "set hftp:use-authorization no\nset ftp:proxy http://127.0.0.1:{port}\n"
    run = 'run = ["open -u me,hunter2hunter2 -p {port} ftp://localhost; ls"]\n'
    played = play(play.step(EXPOSED, rc=rc, keys=ANONYMOUS + run), timeout=2.0)
    assert leaked(played.steps[0].attempts[0].outcome) == ("exposed", {"password"}, {"wire"})
