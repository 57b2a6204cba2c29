"""The client lies, hangs, dies or trusts every server: programs that replace the identified lftp."""

from __future__ import annotations

import shlex
import stat
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.harness.play.sabotage import EXPECTED, ONLY_LIST, REJECTED, baseline, contradictions, verdict

if TYPE_CHECKING:
    from pathlib import Path

    from tests.harness.conftest import Play

    from ftps_harness.client.lftp import Lftp

pytestmark = [pytest.mark.lftp, pytest.mark.usefixtures("nothing_left")]


FAKE = """#!/bin/sh
'''exec' {python} -SE "$0" "$@" # a path with a blank fits in no first line
' '''
import os, re, signal, socket, ssl, subprocess, sys, time
REAL = {real!r}
script = sys.argv[sys.argv.index("-c") + 1]
log = re.search(r"-o (\\S+) 9", script)
port = int(re.search(r"-p (\\d+)", script)[1]) if "-p " in script else 0
password = os.environ.get("LFTP_PASSWORD", "")
SAID = "Certificate verification: {refusal} ({fingerprint})"

def write_log(text):
    if log:
        with open(log[1], "a") as file:
            file.write("[%d] %s\\n" % (os.getpid(), text))

def refuse():
    write_log("ERROR: " + SAID)
    print("ls: Fatal error: " + SAID, file=sys.stderr)
    sys.exit(1)

def say(text):
    write_log("---- Connecting")
    print("ls: " + text, file=sys.stderr)
    sys.exit(1)

def connect():
    sock = socket.create_connection(("127.0.0.1", port), 5)
    sock.recv(1000)
    return sock

def shake():
    sock = connect()
    sock.sendall(b"AUTH TLS\\r\\n")
    sock.recv(1000)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(sock)

def tell(sock, password=password):
    for line in ("USER victim", "PASS " + password):
        sock.sendall(line.encode() + b"\\r\\n")
        sock.recv(1000)

def real(script=script, **streams):
    return subprocess.run([REAL, "-c", script], **streams).returncode

def real_with_another_log(change, **streams):
    own = log[1].replace(".log", ".own.log")
    code = real(script.replace(log[1], own), **streams)
    text = open(own).read()
    with open(log[1], "a") as file:
        file.write(change(text))
    return code

{body}
"""

REFUSALS = {
    "classic": "Not trusted",
    "status": "The certificate is NOT trusted. The certificate issuer is unknown. ",
    "openssl": "self-signed certificate",
}


class FakeClient:
    """Creates programs that pass for the identified lftp."""

    def __init__(self, folder: Path, client: Lftp) -> None:
        self._folder = folder
        self._client = client

    def __call__(self, body: str, fingerprint: str = "AA:" * 19 + "AA") -> Lftp:
        path = self._folder / "fake-lftp"
        refusal = REFUSALS[self._client.dialect]
        text = FAKE.format(
            python=shlex.quote(sys.executable),
            real=str(self._client.path),
            refusal=refusal,
            fingerprint=fingerprint,
            body=body,
        )
        path.write_text(text)
        path.chmod(stat.S_IRWXU)
        return replace(self._client, path=path)


@pytest.fixture
def fake(tmp_path: Path, client: Lftp) -> FakeClient:
    return FakeClient(tmp_path, client)


NAMED = """
from hashlib import sha1
digest = sha1(shake().getpeercert(True)).hexdigest().upper()
SAID = re.sub("(AA:)+AA", ":".join(re.findall("..", digest)), SAID)
"""
"""From here on, its refusals name the certificate that is really shown."""
WITHOUT_ERRORS = r"""
def change(text):
    return "\n".join(line for line in text.split("\n") if "ERROR" not in line)
"""
NO_TLS = "Login failed: ftp:ssl-force is set and server does not support or allow SSL"
PIECES = """
sock = connect()
for piece in (b"USER x\\r\\nPA", b"SS ", password[:3].encode(), password[3:].encode(), b"\\r\\n"):
    sock.sendall(piece)
    time.sleep(0.02)
refuse()
"""
LATER = """
if os.fork() == 0:
    os.setsid()
    time.sleep(0.3)
    tell(connect())
    os._exit(0)
refuse()
"""

LYING_CLIENTS: dict[str, tuple[str, str]] = {
    "refuses without having connected": ("refuse()", "inconclusive"),
    "refuses after a connection without TLS": ("connect(); refuse()", "inconclusive"),
    "refuses a certificate that was never shown": ("shake(); refuse()", "inconclusive"),
    "refuses and sends the password in clear": ("tell(connect()); refuse()", "exposed"),
    "refuses and sends it in pieces": (PIECES, "exposed"),
    "refuses, and a child sends it later": (LATER, "exposed"),
    "fails silently": ("sys.exit(1)", "inconclusive"),
    "fails silently and logs": ("write_log('---- Connecting'); sys.exit(1)", "unreachable"),
    "has done nothing": ("sys.exit(0)", "inconclusive"),
    "has done nothing and logs": ("write_log('---- Connecting'); sys.exit(0)", "unreachable"),
    "hangs": ("time.sleep(60)", "hung"),
    "leaves a child that hangs": ("if os.fork() == 0: time.sleep(60)\nrefuse()", "hung"),
    "dies": ("os.kill(os.getpid(), signal.SIGSEGV)", "crashed"),
    "prints an unknown message": ("say('Fatal error: certificate? no!')", "inconclusive"),
    "prints endlessly": ("while True: os.write(1, b'x' * 65536)", "hung"),
    "prints errors endlessly": ("while True: os.write(2, b'x' * 65536)", "hung"),
    "claims that there is no TLS": (f"say({NO_TLS!r})", "inconclusive"),
    "claims a broken handshake": ("shake(); say('Fatal error: gnutls_handshake: no')", "inconclusive"),
    "claims a refused login": ("shake(); say('Login failed: 530 no')", "inconclusive"),
}


@pytest.mark.parametrize("expected", EXPECTED)
@pytest.mark.parametrize("lie", LYING_CLIENTS)
@pytest.mark.long
def test_lying_client_never_passes(play: Play, fake: FakeClient, lie: str, expected: str) -> None:
    body, expected_verdict = LYING_CLIENTS[lie]
    timeout = 0.5 if expected_verdict == "hung" else 20
    result = baseline(play, expected, client=fake(body), controls=False, timeout=timeout)
    assert result.status in {"fail", "error"}
    assert verdict(result) == expected_verdict


@pytest.mark.parametrize(
    ("lie", "reason"),
    [("claims that there is no TLS", "tls-required"), ("claims a broken handshake", "tls-handshake")],
)
def test_client_that_lies_about_tls_never_passes(play: Play, fake: FakeClient, lie: str, reason: str) -> None:
    """The lies use reasons that need no certificate."""
    keys = 'control = "none"\nwhy_no_control = "sabotage"\n' + ONLY_LIST
    result = play(
        play.step(f'verdict = "rejected"\nreason = "{reason}"', keys=keys), client=fake(LYING_CLIENTS[lie][0])
    )
    assert (result.status, verdict(result)) == ("error", "inconclusive")


@pytest.mark.parametrize("expected", EXPECTED)
@pytest.mark.parametrize("log", ["os.unlink(log[1])", "open(log[1], 'w').close()"], ids=["removed", "emptied"])
def test_lftp_without_its_log_is_inconclusive(play: Play, fake: FakeClient, log: str, expected: str) -> None:
    """Leaks that lftp hides elsewhere would be missed."""
    result = baseline(play, expected, client=fake(f"code = real(); {log}; sys.exit(code)"), controls=False)
    assert (result.status, verdict(result)) == ("error", "inconclusive")


@pytest.mark.parametrize("expected", EXPECTED)
@pytest.mark.usefixtures("single_try")
def test_lftp_connected_elsewhere_is_unreachable(play: Play, fake: FakeClient, expected: str) -> None:
    body = "sys.exit(real(script.replace('command open', 'command open ftp://127.0.0.1:1; command echo')))"
    result = baseline(play, expected, client=fake(body), controls=False)
    assert (result.status, verdict(result)) == ("error", "unreachable")


@pytest.mark.parametrize("expected", EXPECTED)
def test_result_without_a_transfer_is_inconclusive(
    play: Play, fake: FakeClient, nothing_left: Path, expected: str
) -> None:
    """The client produces the right bytes without having requested them from the server."""
    body = f"""
import glob
name, target = re.search(r"get (\\S+) -o (\\S+)", script).groups()
(served,) = glob.glob({str(nothing_left)!r} + "/*/" + name)
print(name)
open(target, "wb").write(open(served, "rb").read())
write_log("x")
shake()
"""
    result = baseline(play, expected, client=fake(body), controls=False)
    assert (result.status, verdict(result)) == ("error", "inconclusive")
    assert "the client has the result, but the server witnessed no such transfer" in contradictions(result)


@pytest.mark.parametrize(("code", "expected"), [(1, "accepted"), (0, "accepted"), (0, "rejected")])
def test_exit_code_alone_decides_nothing(play: Play, fake: FakeClient, code: int, expected: str) -> None:
    """1 contradicts a completed run, and 0 does not cancel a refusal."""
    result = baseline(play, expected, client=fake(f"real(); sys.exit({code})"), controls=False)
    assert result.status == ("error" if code else "pass")


def test_refusal_missing_from_stderr_and_log_is_failed(play: Play, fake: FakeClient) -> None:
    """The refusal is real, but lftp's words about it are suppressed."""
    body = f"{WITHOUT_ERRORS}sys.exit(real_with_another_log(change, stderr=subprocess.DEVNULL))"
    result = baseline(play, "rejected", client=fake(body), controls=False)
    assert (result.status, verdict(result)) == ("fail", "failed")


def test_refusal_only_in_the_log_counts(play: Play, fake: FakeClient) -> None:
    body = "sys.exit(real(stderr=subprocess.DEVNULL))"
    assert baseline(play, "rejected", client=fake(body), controls=False).status == "pass"


def test_refusal_in_the_log_outweighs_a_successful_literal_put(play: Play, fake: FakeClient) -> None:
    """A ``put`` with a refused data channel exits with success; one time in ten, it has sent nothing by then."""
    say_more = (
        "def more(text):\n"
        "    number = text.split()[0]\n"
        "    return text + f'{number} ---- Connecting to x (127.0.0.1) port {port}\\n{number} ERROR: {SAID}\\n'\n"
    )
    body = NAMED + say_more + "sys.exit(real_with_another_log(more))"
    keys = 'run = ["put ~/.lftp/mycert.crt"]'
    result = play(play.step(REJECTED, keys=keys), client=fake(body), controls=False)
    assert (result.status, verdict(result)) == ("pass", "rejected")
    result = play(play.step(REJECTED, keys='run = ["put"]'), client=fake(body), controls=False)
    assert (result.status, verdict(result)) == ("error", "inconclusive")


def test_refusal_missing_from_the_log_is_inconclusive(play: Play, fake: FakeClient) -> None:
    body = f"{WITHOUT_ERRORS}sys.exit(real_with_another_log(change))"
    result = baseline(play, "rejected", client=fake(body), controls=False)
    assert (result.status, verdict(result)) == ("error", "inconclusive")


LIES_ABOUT_SETTINGS = """
if "set -a" in script:
    target = re.search(r"set -a > (\\S+)", script)[1]
    open(target, "w").write("set ssl:verify-certificate %s\\n" % ("no" if "-certificate no" in script else "yes"))
    sys.exit(0)
"""
"""Lies about its settings and refuses every certificate."""


def test_client_that_refuses_every_server_fails_its_control(play: Play, fake: FakeClient) -> None:
    """All three witnesses agree about its refusal: only the control distinguishes it from lftp."""
    refusing = fake(LIES_ABOUT_SETTINGS + NAMED + "refuse()")
    assert baseline(play, "rejected", client=refusing, controls=False).status == "pass"
    result = baseline(play, "rejected", client=refusing)
    (step,) = result.steps
    assert step.control is not None
    assert (result.status, step.control.attempt.outcome.verdict) == ("fail", "rejected")


def test_client_without_readable_settings_is_an_error(play: Play, fake: FakeClient) -> None:
    result = baseline(play, "rejected", client=fake(NAMED + "refuse()"))
    assert (result.status, result.steps) == ("error", ())
    assert "printed no settings" in result.why


@pytest.mark.parametrize(
    "body",
    [
        "sys.exit(real('set ssl:verify-certificate no\\n' + script))",
        "open(os.environ['HOME'] + '/.lftp/rc', 'a').write('set ssl:verify-certificate no\\n'); sys.exit(real())",
        "open(os.environ['HOME'] + '/.lftprc', 'a').write('set ssl:verify-certificate no\\n'); sys.exit(real())",
    ],
    ids=["by a command", "in the rc", "in another rc"],
)
@pytest.mark.parametrize("expected", EXPECTED)
def test_client_that_switches_verification_off_fails(play: Play, fake: FakeClient, body: str, expected: str) -> None:
    """It is accepted with the pin and without: a step that expects this passes, but its control fails."""
    result = baseline(play, expected, client=fake(body))
    (step,) = result.steps
    assert result.status == "fail"
    assert step.control is not None
    assert (step.judgement.status == "pass") is (expected == "accepted")
    assert (step.control.judgement.status == "fail") is (expected == "accepted")
