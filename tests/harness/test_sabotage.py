"""Everything that a verdict rests on is broken in turn, and then nothing passes: the lab, the client, the rc.

A false pass is the worst bug that this project could ship. Real servers and the real lftp, except where it is the
client that lies.
"""

from __future__ import annotations

import socket
import stat
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from ftps_harness import attempt as attempting
from ftps_harness import controls, runner
from ftps_harness import lftp as driver
from ftps_harness.lftp import Lftp, Run
from ftps_harness.material import impostor_of
from ftps_harness.place import Here
from ftps_lab.data import LabData
from ftps_lab.servers import FtpsServer
from ftps_lab.testimony import Testimony, Wire, WireRecord

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from pathlib import Path

    from tests.harness.conftest import Play

    from ftps_harness.runner import ScenarioResult
    from ftps_lab.servers import ServerSpec

pytestmark = [pytest.mark.lftp, pytest.mark.usefixtures("nothing_left")]

ACCEPTED = 'verdict = "accepted"'
REJECTED = 'verdict = "rejected"\nreason = "untrusted"'
EXPECTED = {"accepted": ACCEPTED, "rejected": REJECTED}
ONLY_LIST = 'run = ["list"]'


def verdict(result: ScenarioResult, step: int = 0) -> str:
    return result.steps[step].attempts[0].outcome.verdict


def contradictions(result: ScenarioResult, step: int = 0) -> str:
    return "\n".join(result.steps[step].attempts[0].outcome.contradictions)


def honest(play: Play, expected: str, keys: str = "", **options: Any) -> ScenarioResult:
    """The scenario that passes when nobody sabotages it: pinned and accepted, or not pinned and rejected."""
    rc = None if expected == "accepted" else ""
    return play(play.step(EXPECTED[expected], rc=rc, keys=keys), **options)


@pytest.mark.parametrize("expected", EXPECTED)
def test_without_sabotage_both_pass(play: Play, expected: str) -> None:
    assert honest(play, expected).status == "pass"


# The lab: servers that lie, forget, break, and a tap that misses something.


class In(Here):
    """A place whose servers are of another class; `more` are keywords for it."""

    def __init__(self, kind: type[FtpsServer], **more: Any) -> None:
        self._kind = kind
        self._more = more

    def serve(self, spec: ServerSpec, *, root: os.PathLike[str], password: str, port: int = 0, **_: Any) -> FtpsServer:
        return self._kind(spec, root=root, password=password, port=port, **self._more).start()


def lying(name: str, lie: Callable[[Any], Any]) -> In:
    """A place whose servers answer one question with a lie."""

    def answer(self: FtpsServer, *arguments: Any) -> Any:
        return lie(getattr(FtpsServer, name)(self, *arguments))

    return In(type("Lying", (FtpsServer,), {name: answer}))


def forget(**fields: Any) -> Callable[[Testimony], Testimony]:
    """Testimony that lacks something."""
    return lambda testimony: replace(
        testimony, **{name: part(getattr(testimony, name)) for name, part in fields.items()}
    )


def on_the_tap(change: Callable[[WireRecord], WireRecord | None]) -> Callable[[Wire], Wire]:
    """Another account of each connection, or none."""
    return lambda wire: Wire(tuple(changed for record in wire.records if (changed := change(record)) is not None))


def nothing(_: object) -> tuple[()]:
    return ()


SILENCED: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "the tap is off": ("wire", lambda _: Wire()),
    "the tap drops all bytes": ("wire", on_the_tap(lambda r: replace(r, to_server=b"", to_client=b""))),
    "the tap drops what is sent": ("wire", on_the_tap(lambda r: replace(r, to_server=b""))),
    "the tap drops what is received": ("wire", on_the_tap(lambda r: replace(r, to_client=b""))),
    "the tap misses control connections": ("wire", on_the_tap(lambda r: None if r.kind == "control" else r)),
    "the tap takes them for data": ("wire", on_the_tap(lambda r: replace(r, kind="data"))),
    "the tap takes one for another": ("wire", on_the_tap(lambda r: replace(r, peer=(r.peer[0], r.peer[1] ^ 1)))),
    "no connection is remembered": ("testimony", forget(connections=nothing)),
    "the first connection is forgotten": ("testimony", forget(connections=lambda all_: all_[1:])),
    "no handshake is remembered": ("testimony", forget(handshakes=nothing)),
    "every handshake failed": ("testimony", forget(handshakes=lambda a: tuple(replace(h, completed=False) for h in a))),
    "another certificate was shown": (
        "testimony",
        forget(handshakes=lambda a: tuple(replace(h, certificate="AA:BB") for h in a)),
    ),
    "another role": ("testimony", lambda testimony: replace(testimony, role="impostor")),
    "nothing is remembered": ("testimony", lambda testimony: Testimony(testimony.role)),
    "the record is not complete": ("settle", lambda _: False),
}
ONLY_ACCEPTED: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "the tap misses data connections": ("wire", on_the_tap(lambda r: None if r.kind == "data" else r)),
    "the tap holds half of the content": (
        "wire",
        on_the_tap(lambda r: replace(r, to_client=r.to_client[:2000]) if len(r.to_client) > 3000 else r),
    ),
    "the login is forgotten": ("testimony", forget(credentials=nothing)),
    "the login was refused": (
        "testimony",
        forget(credentials=lambda a: tuple(replace(c, accepted=False) for c in a)),
    ),
    "the login and its command are forgotten": ("testimony", forget(credentials=nothing, commands=nothing)),
    "the login was in clear": (
        "testimony",
        forget(credentials=lambda a: tuple(replace(c, channel="clear") for c in a)),
    ),
    "no transfer is remembered": ("testimony", forget(transfers=nothing)),
    "the transfers were cut short": (
        "testimony",
        forget(transfers=lambda a: tuple(replace(t, completed=False) for t in a)),
    ),
    "something else was transferred": (
        "testimony",
        forget(transfers=lambda a: tuple(replace(t, sha256="0" * 64) for t in a)),
    ),
    "the transfers were in clear": (
        "testimony",
        forget(transfers=lambda a: tuple(replace(t, channel="clear") for t in a)),
    ),
    "a stranger on the data channel": (
        "testimony",
        forget(handshakes=lambda a: (*a[:1], *(replace(h, certificate="AA:BB") for h in a[1:]))),
    ),
    "one handshake is forgotten": ("testimony", forget(handshakes=lambda all_: all_[1:])),
}


@pytest.mark.parametrize("keys", ["", 'run = ["put"]'], ids=["list-get", "put"])
@pytest.mark.parametrize("sabotage", [*SILENCED, *ONLY_ACCEPTED])
def test_no_acceptance_without_any_of_what_proves_it(play: Play, sabotage: str, keys: str) -> None:
    place = lying(*(SILENCED | ONLY_ACCEPTED)[sabotage])
    result = honest(play, "accepted", keys, place=place, controls=False)
    if sabotage == "the tap holds half of the content" and keys:
        assert result.status == "pass"  # nothing long is received
    else:
        assert result.status in {"fail", "error"}
        assert verdict(result) in {"inconclusive", "exposed", "failed"}


@pytest.mark.parametrize("sabotage", SILENCED)
def test_no_refusal_without_any_of_what_proves_it(play: Play, sabotage: str) -> None:
    result = honest(play, "rejected", ONLY_LIST, place=lying(*SILENCED[sabotage]), controls=False)
    assert (result.status, verdict(result)) == ("error", "inconclusive")


@pytest.mark.parametrize("sabotage", ["the tap is off", "the tap drops what is sent", "no connection is remembered"])
def test_no_exposure_is_missed_by_a_tap_that_is_off(play: Play, sabotage: str) -> None:
    """Plain FTP: with the tap off nothing is readable on the wire, but that is no acceptance either."""
    step = play.step('verdict = "accepted"', keys='run = ["put"]')
    place = lying(*SILENCED[sabotage])
    result = play(step, server='protocol = "plain"', place=place, controls=False)
    assert result.status != "pass"
    assert verdict(result) in {"inconclusive", "exposed"}


@pytest.mark.parametrize("expected", EXPECTED)
@pytest.mark.parametrize("error", [RuntimeError, SystemExit])
def test_a_servers_thread_that_fails_is_an_error_of_the_lab(
    play: Play, expected: str, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """pyftpdlib survives the one, and the thread ends with the other."""
    monkeypatch.setattr(driver, "settings_of_ours", impatient)

    class Failing(FtpsServer):
        def record(self) -> None:
            super().record()
            if self._thread is not None and self._ftpd.handler.__name__ != "Failing":

                def fail(*_: object) -> None:
                    raise error("sabotage")

                self._ftpd.handler = type("Failing", (self._ftpd.handler,), {"ftp_FEAT": fail})

    result = honest(play, expected, ONLY_LIST, place=In(Failing), timeout=3)
    assert result.status == "error"
    assert "sabotage" in result.why
    assert result.steps == ()


@pytest.mark.parametrize("expected", ["accepted", "rejected"])
def test_a_server_that_is_not_there(play: Play, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead port is neither a refusal nor a failure of the promise."""
    monkeypatch.setattr(driver, "settings_of_ours", impatient)

    class Dead(FtpsServer):
        def record(self) -> None:
            super().record()
            self.stop()

        def start(self) -> Dead:
            super().start()
            self.stop()
            return self

    result = honest(play, expected, ONLY_LIST, place=In(Dead), controls=False)
    assert (result.status, verdict(result)) == ("error", "unreachable")


def served_by(**methods: Any) -> In:
    """A place whose control connections behave otherwise, from the readiness of the server on."""

    class Otherwise(FtpsServer):
        def record(self) -> None:
            super().record()
            self._ftpd.handler = type("Otherwise", (self._ftpd.handler,), methods)

    return In(Otherwise)


def mute(_: Any) -> None:
    """Accepts and never greets."""


def busy(handler: Any) -> None:
    """Answers 421 in the place of the greeting."""
    handler.respond("421 Too many.")
    handler.close_when_done()


def slam(handler: Any) -> None:
    """Closes at once."""
    handler.close()


def slam_later(handler: Any, *_: Any) -> None:
    """Closes on a command."""
    handler.close()


class CutOff(LabData):
    """Closes each data connection in the place of sending anything."""

    def send(self, _data: bytes) -> int:
        self.close()
        return 0


class Swallowing(LabData):
    """Sends all but the last bytes of everything, and takes it for complete."""

    def send(self, data: bytes) -> int:
        super().send(data[:-20])
        return len(data)


MISBEHAVING: dict[str, tuple[dict[str, Any], str]] = {
    "mute": ({"handle": mute}, "unreachable"),
    "busy": ({"handle": busy}, "unreachable"),
    "closes at once": ({"handle": slam}, "unreachable"),
    "closes on FEAT": ({"ftp_FEAT": slam_later}, "failed"),
    "closes on USER": ({"ftp_USER": slam_later}, "failed"),
    "closes on LIST": ({"ftp_LIST": slam_later}, "failed"),
    "closes data connections": ({"dtp_handler": CutOff}, "failed"),
    "sends less than there is": ({"dtp_handler": Swallowing}, "failed"),
}


@pytest.mark.parametrize("case", MISBEHAVING)
def test_a_server_that_misbehaves_accepts_and_refuses_nothing(
    play: Play, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "settings_of_ours", impatient)
    methods, expected = MISBEHAVING[case]
    keys = ONLY_LIST if case != "sends less than there is" else 'run = ["get"]'
    result = honest(play, "accepted", keys, place=served_by(**methods), controls=False)
    assert result.status == ("fail" if expected == "failed" else "error")
    assert verdict(result) == expected


_settings_of_ours = driver.settings_of_ours


def impatient(host: str, **_: object) -> list[str]:
    """The same settings, for an lftp that gives up soon."""
    return [*_settings_of_ours(host, patience=3), "command set net:max-retries 1"]


def test_a_refusal_whose_server_dies_in_the_control_does_not_pass(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without verification the run must go through: it is not enough that the step was refused."""
    monkeypatch.setattr(driver, "settings_of_ours", impatient)
    result = honest(play, "rejected", ONLY_LIST, place=served_by(ftp_USER=slam_later))
    (step,) = result.steps
    assert step.judgement.status == "pass"
    assert step.control is not None
    assert (step.control.attempt.outcome.verdict, result.status) == ("failed", "fail")


class OtherPassword(FtpsServer):
    """Lets nobody in."""

    def __init__(self, spec: ServerSpec, **keywords: Any) -> None:
        super().__init__(spec, **{**keywords, "password": "not this one"})


LOGIN_FAILED = 'verdict = "login-failed"'


@pytest.mark.parametrize(
    ("expect", "rc", "keys", "where"),
    [
        (ACCEPTED, None, "", "step"),
        (REJECTED, "", "", "control"),
        (LOGIN_FAILED, None, 'password = "wrong"', "control"),
    ],
)
def test_a_server_that_lets_nobody_in_passes_nothing(
    play: Play, expect: str, rc: str | None, keys: str, where: str
) -> None:
    result = play(play.step(expect, rc=rc, keys=keys), place=In(OtherPassword))
    (step,) = result.steps
    assert result.status == "fail"
    assert (step.judgement.status == "fail") is (where == "step")
    assert step.control is not None
    assert (step.control.judgement.status == "fail") is (where == "control")


def test_a_server_that_never_changes_is_noticed(play: Play) -> None:
    """The second step's impostor never came: what is shown is not what was declared."""

    class Stubborn(FtpsServer):
        def change(self, spec: ServerSpec) -> None:
            """Not at all."""

    steps = (
        play.step(ACCEPTED, title="one"),
        play.step(REJECTED, title="two", keys='server = { certificate = "stranger", role = "impostor" }'),
        play.step(ACCEPTED, title="three", keys='server = { certificate = "expired", role = "genuine" }'),
    )
    result = play(*steps, place=In(Stubborn), controls=False)
    assert [step.status for step in result.steps] == ["pass", "error", "error"]
    assert "declared impostor" in contradictions(result, 1)
    assert "a certificate that was not declared" in contradictions(result, 2)


def test_a_server_with_another_certificate_than_it_says_is_noticed(play: Play, client: Lftp) -> None:
    """lftp names the certificate that it refuses, and this server's testimony knows of none such."""

    class Swapped(FtpsServer):
        def _identities(self, spec: ServerSpec) -> dict[str, Any]:
            swapped = super()._identities(impostor_of(spec))
            assert spec.certificate is not None
            return swapped | {"identity": replace(swapped["identity"], certificate=spec.certificate.sha256)}

    if client.dialect == "openssl":
        pytest.skip("OpenSSL builds may name a certificate of the pin's file")
    result = honest(play, "rejected", ONLY_LIST, place=In(Swapped), controls=False)
    assert (result.status, verdict(result)) == ("error", "inconclusive")
    assert "does not show" in contradictions(result)


class Lingering(FtpsServer):
    """Somebody else stays connected, from each record on."""

    def __init__(self, spec: ServerSpec, **keywords: Any) -> None:
        super().__init__(spec, **keywords)
        self.others: list[socket.socket] = []

    def record(self) -> None:
        super().record()
        if len(self.others) < 2:  # the first is of the server's start
            self.others.append(socket.create_connection((self.host, self.port), 5))
            self.others[-1].recv(100)

    def settle(self, timeout: float = 0.3) -> bool:
        return super().settle(timeout)

    def stop(self) -> None:
        for other in self.others:
            other.close()
        super().stop()


def test_a_connection_that_lingers_spoils_its_own_step_only(play: Play) -> None:
    steps = (play.step(ACCEPTED, title="one", keys=ONLY_LIST), play.step(ACCEPTED, title="two", keys=ONLY_LIST))
    result = play(*steps, place=In(Lingering), controls=False)
    assert [step.status for step in result.steps] == ["error", "pass"]
    assert "still open" in contradictions(result, 0)


def test_what_a_lingering_connection_says_later_is_not_taken_for_the_next_steps(play: Play) -> None:
    """The password in clear on the first step's connection, during the second: the second is about its own."""

    class Telling(Lingering):
        def record(self) -> None:
            if len(self.others) == 2:
                self.others[1].sendall(f"USER x\r\nPASS {self._password}\r\n".encode())
                time.sleep(0.1)
            super().record()

    steps = [play.step(ACCEPTED, title=str(number), keys=ONLY_LIST) for number in range(3)]
    result = play(*steps, place=In(Telling), controls=False)
    assert [step.status for step in result.steps] == ["error", "pass", "pass"]
    assert [len(step.attempts[0].testimony.credentials) for step in result.steps[1:]] == [1, 1]


def test_the_witnesses_of_two_steps_do_not_mix(play: Play) -> None:
    """Exposed, refused, accepted, by one server: each step's witnesses saw that step alone."""
    steps = (
        play.step('verdict = "exposed"', title="clear", rc="set ftp:ssl-allow no\n"),
        play.step(REJECTED, title="refused", rc=""),
        play.step(ACCEPTED, title="accepted"),
    )
    result = play(*steps)
    assert result.status == "pass"
    passwords = [len(step.attempts[0].testimony.passwords) for step in result.steps]
    assert passwords == [1, 0, 1]
    assert [step.attempts[0].exposure.password for step in result.steps] == [True, False, False]


# The client: programs in the place of lftp, after it was identified.

FAKE = """#!{python} -SE
import os, re, signal, socket, ssl, subprocess, sys, time
REAL = {real!r}
script = sys.argv[sys.argv.index("-c") + 1]
log = re.search(r"-o (\\S+) 9", script)
port = int(re.search(r"-p (\\d+)", script)[1]) if "-p " in script else 0
password = os.environ.get("LFTP_PASSWORD", "")
SAID = "Certificate verification: {said} ({fingerprint})"

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

{body}
"""

REFUSALS = {
    "classic": "Not trusted",
    "status": "The certificate is NOT trusted. The certificate issuer is unknown. ",
    "openssl": "self-signed certificate",
}


class Faker:
    """Makes programs that pass for the lftp that was identified."""

    def __init__(self, folder: Path, client: Lftp) -> None:
        self._folder = folder
        self._client = client

    def __call__(self, body: str, fingerprint: str = "AA:" * 19 + "AA") -> Lftp:
        path = self._folder / "fake-lftp"
        said = REFUSALS[self._client.dialect]
        text = FAKE.format(
            python=sys.executable, real=str(self._client.path), said=said, fingerprint=fingerprint, body=body
        )
        path.write_text(text)
        path.chmod(stat.S_IRWXU)
        return replace(self._client, path=path)


@pytest.fixture
def fake(tmp_path: Path, client: Lftp) -> Faker:
    return Faker(tmp_path, client)


NAMED = """
from hashlib import sha1
digest = sha1(shake().getpeercert(True)).hexdigest().upper()
SAID = re.sub("(AA:)+AA", ":".join(re.findall("..", digest)), SAID)
"""
"""From here on its refusals name the certificate that is really shown."""
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

FAKES: dict[str, tuple[str, str]] = {
    "refuses without having connected": ("refuse()", "inconclusive"),
    "refuses after a connection without TLS": ("connect(); refuse()", "inconclusive"),
    "refuses a certificate that was never shown": ("shake(); refuse()", "inconclusive"),
    "refuses and tells the password in clear": ("tell(connect()); refuse()", "exposed"),
    "refuses and tells it in pieces": (PIECES, "exposed"),
    "refuses, and a child tells it later": (LATER, "exposed"),
    "fails silently": ("sys.exit(1)", "inconclusive"),
    "fails silently and logs": ("write_log('---- Connecting'); sys.exit(1)", "unreachable"),
    "has done nothing": ("sys.exit(0)", "inconclusive"),
    "has done nothing and logs": ("write_log('---- Connecting'); sys.exit(0)", "unreachable"),
    "hangs": ("time.sleep(60)", "hung"),
    "leaves a child that hangs": ("if os.fork() == 0: time.sleep(60)\nrefuse()", "hung"),
    "dies": ("os.kill(os.getpid(), signal.SIGSEGV)", "crashed"),
    "says what no table holds": ("say('Fatal error: certificate? no!')", "inconclusive"),
    "prints endlessly": ("while True: os.write(1, b'x' * 65536)", "hung"),
    "says endlessly": ("while True: os.write(2, b'x' * 65536)", "hung"),
    "claims that there is no TLS": (f"say({NO_TLS!r})", "inconclusive"),
    "claims a broken handshake": ("shake(); say('Fatal error: gnutls_handshake: no')", "inconclusive"),
    "claims a refused login": ("shake(); say('Login failed: 530 no')", "inconclusive"),
}


@pytest.mark.parametrize("expected", EXPECTED)
@pytest.mark.parametrize("lie", FAKES)
def test_no_lie_of_the_client_passes(play: Play, fake: Faker, lie: str, expected: str) -> None:
    body, told_apart = FAKES[lie]
    timeout = 0.5 if told_apart == "hung" else 20
    result = honest(play, expected, client=fake(body), controls=False, timeout=timeout)
    assert result.status in {"fail", "error"}
    assert verdict(result) == told_apart


@pytest.mark.parametrize(
    ("lie", "reason"),
    [("claims that there is no TLS", "tls-required"), ("claims a broken handshake", "tls-handshake")],
)
def test_no_lie_about_tls_passes(play: Play, fake: Faker, lie: str, reason: str) -> None:
    """The reasons that no certificate is needed for."""
    keys = 'control = "none"\nwhy_no_control = "sabotage"\n' + ONLY_LIST
    result = play(play.step(f'verdict = "rejected"\nreason = "{reason}"', keys=keys), client=fake(FAKES[lie][0]))
    assert (result.status, verdict(result)) == ("error", "inconclusive")


@pytest.mark.parametrize("expected", EXPECTED)
@pytest.mark.parametrize("log", ["os.unlink(log[1])", "open(log[1], 'w').close()"], ids=["removed", "emptied"])
def test_the_real_one_without_its_log(play: Play, fake: Faker, log: str, expected: str) -> None:
    """What lftp hides elsewhere would be missed."""
    result = honest(play, expected, client=fake(f"code = real(); {log}; sys.exit(code)"), controls=False)
    assert (result.status, verdict(result)) == ("error", "inconclusive")


@pytest.mark.parametrize("expected", EXPECTED)
def test_the_real_one_in_another_place(play: Play, fake: Faker, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "settings_of_ours", impatient)
    body = "sys.exit(real(script.replace('command open', 'command open ftp://127.0.0.1:1; command echo')))"
    result = honest(play, expected, client=fake(body), controls=False)
    assert (result.status, verdict(result)) == ("error", "unreachable")


@pytest.mark.parametrize("expected", EXPECTED)
def test_results_out_of_thin_air(play: Play, fake: Faker, nothing_left: Path, expected: str) -> None:
    """A client that brings the right bytes without having asked the server for them."""
    body = f"""
import glob
name, target = re.search(r"get (\\S+) -o (\\S+)", script).groups()
(served,) = glob.glob({str(nothing_left)!r} + "/*/" + name)
print(name)
open(target, "wb").write(open(served, "rb").read())
write_log("x")
shake()
"""
    result = honest(play, expected, client=fake(body), controls=False)
    assert (result.status, verdict(result)) == ("error", "inconclusive")
    assert "the client holds the result, but the server witnessed no such transfer" in contradictions(result)


@pytest.mark.parametrize(("code", "expected"), [(1, "accepted"), (0, "accepted"), (0, "rejected")])
def test_an_exit_code_of_its_own(play: Play, fake: Faker, code: int, expected: str) -> None:
    """Neither 0 nor 1 makes a verdict: 1 contradicts what was carried out, and 0 takes no refusal back."""
    result = honest(play, expected, client=fake(f"real(); sys.exit({code})"), controls=False)
    assert result.status == ("error" if code else "pass")


def test_a_refusal_that_is_nowhere_is_none(play: Play, fake: Faker) -> None:
    """The real refusal, kept from standard error and from the log."""
    body = (
        "code = real(stderr=subprocess.DEVNULL)\nlines = open(log[1]).read().split('\\n')\n"
        "open(log[1], 'w').write('\\n'.join(line for line in lines if 'ERROR' not in line))\nsys.exit(code)"
    )
    result = honest(play, "rejected", client=fake(body), controls=False)
    assert (result.status, verdict(result)) == ("fail", "failed")


def test_a_refusal_that_only_the_log_holds_counts(play: Play, fake: Faker) -> None:
    body = "sys.exit(real(stderr=subprocess.DEVNULL))"
    assert honest(play, "rejected", client=fake(body), controls=False).status == "pass"


def test_a_literal_command_is_not_believed_against_the_log(play: Play, fake: Faker) -> None:
    """A ``put`` whose data channel is refused ends well; before it has sent anything, once in ten times."""
    say_more = "number = open(log[1]).read().split()[0]\nopen(log[1], 'a').write(f'{number} ERROR: {SAID}\\n')\n"
    body = "code = real()\n" + NAMED + say_more + "sys.exit(code)"
    keys = 'run = ["put ~/.lftp/mycert.crt"]'
    result = play(play.step(REJECTED, keys=keys), client=fake(body), controls=False)
    assert (result.status, verdict(result)) == ("pass", "rejected")
    result = play(play.step(REJECTED, keys='run = ["put"]'), client=fake(body), controls=False)
    assert (result.status, verdict(result)) == ("error", "inconclusive")


def test_a_refusal_that_the_log_does_not_hold_is_in_doubt(play: Play, fake: Faker) -> None:
    body = (
        "code = real()\nlines = open(log[1]).read().split('\\n')\n"
        "open(log[1], 'w').write('\\n'.join(line for line in lines if 'ERROR' not in line))\nsys.exit(code)"
    )
    result = honest(play, "rejected", client=fake(body), controls=False)
    assert (result.status, verdict(result)) == ("error", "inconclusive")


PARROT = """
if "set -a" in script:
    target = re.search(r"set -a > (\\S+)", script)[1]
    open(target, "w").write("set ssl:verify-certificate %s\\n" % ("no" if "-certificate no" in script else "yes"))
    sys.exit(0)
"""
"""Lies about its settings, and refuses whatever it is shown."""


def test_a_client_that_refuses_everybody_fails_its_control(play: Play, fake: Faker) -> None:
    """All three witnesses agree about its refusal: only the control tells it from lftp."""
    parrot = fake(PARROT + NAMED + "refuse()")
    assert honest(play, "rejected", client=parrot, controls=False).status == "pass"
    result = honest(play, "rejected", client=parrot)
    (step,) = result.steps
    assert step.control is not None
    assert (result.status, step.control.attempt.outcome.verdict) == ("fail", "rejected")


def test_a_client_whose_settings_cannot_be_read_back_is_an_error(play: Play, fake: Faker) -> None:
    result = honest(play, "rejected", client=fake(NAMED + "refuse()"))
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
def test_a_client_that_switches_verification_off(play: Play, fake: Faker, body: str, expected: str) -> None:
    """Accepted with the pin and without: the step passes where that is expected, its control does not."""
    result = honest(play, expected, client=fake(body))
    (step,) = result.steps
    assert result.status == "fail"
    assert step.control is not None
    assert (step.judgement.status == "pass") is (expected == "accepted")
    assert (step.control.judgement.status == "fail") is (expected == "accepted")


# The rc, and a control that is no control.


@pytest.mark.parametrize(
    ("rc", "status"),
    [
        ("set ssl:verify-certificate no\n", "fail"),
        ("set ssl:verify-certificate/* no\n", "fail"),
        ("set ssl:verify-certificate/localhost no\n", "fail"),
        ("set ssl:verify-certificate/{sha1:genuine} no\n", "pass"),
        ("set ftp:ssl-allow no\n", "fail"),
        ("set ftp:ssl-protect-data no\n", "fail"),
        ("set ftp:proxy http://127.0.0.1:1\n", "error"),
        ("set ftp:proxy ftp://127.0.0.1:{port}\n", "fail"),
        ("alias set echo\n", "pass"),
        ("alias command echo\n", "error"),
        ("alias open open ftp://127.0.0.1:1\n", "pass"),
        ("open ftp://127.0.0.1:1\n", "pass"),
        ("set net:max-retries 1; set net:reconnect-interval-base 1; open ftp://127.0.0.1:1; ls\n", "fail"),
        ("exit\n", "pass"),
        ("quit\n", "pass"),
        ("exit 7\n", "pass"),
        ("set cmd:fail-exit yes\n", "pass"),
        ("set cmd:at-exit 'echo bye'\n", "pass"),
        ("set cmd:at-exit 'set ftp:ssl-allow no; close -a; ls'\n", "fail"),
        ("source /nonexistent/rc\n", "pass"),
        ("set dns:name/localhost 127.0.0.9\n", "pass"),
        ("alias ls echo\n", "fail"),
        ("alias get echo\n", "error"),
        ("set log:enabled no; set log:enabled/debug no; set log:level/debug 0; set log:show-pid/debug no\n", "pass"),
        ("set 'unfinished\n", "pass"),
    ],
)
def test_an_acceptance_whatever_else_stands_in_the_rc(
    play: Play, rc: str, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What weakens trust never passes, what leads elsewhere proves nothing, and the rest makes no difference."""
    monkeypatch.setattr(driver, "settings_of_ours", impatient)
    result = play(play.step(ACCEPTED, rc=play.pin + rc))
    assert result.status == status


@pytest.mark.parametrize(
    ("rc", "status"),
    [
        ("set ssl:verify-certificate/* yes\n", "pass"),
        ("set ssl:verify-certificate/localhost yes\nset ssl:verify-certificate no\n", "fail"),
        ("set ssl:verify-certificate/{sha1:stranger} no\n", "pass"),
        ("set ssl:verify-certificate/{sha1:genuine} no\n", "fail"),
        ("set ssl:verify-certificate/other.example no\n", "pass"),
        ("set ftp:proxy http://127.0.0.1:1\n", "error"),
        ("alias set echo\n", "pass"),
        ("alias command echo\n", "error"),
        ("alias ls echo\n", "error"),
        ("exit\n", "pass"),
        ("set cmd:fail-exit yes\n", "pass"),
        ("set cmd:at-exit 'echo bye'\n", "pass"),
        ("set cmd:at-exit 'set ftp:ssl-allow no; close -a; ls'\n", "fail"),
        ("source /nonexistent/rc\n", "pass"),
        ("set ftp:ssl-allow no\n", "fail"),
    ],
)
def test_a_refusal_whatever_else_stands_in_the_rc(
    play: Play, rc: str, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control takes verification away through closures and aliases, or the step is an error."""
    monkeypatch.setattr(driver, "settings_of_ours", impatient)
    result = play(play.step(REJECTED, rc=rc, keys=ONLY_LIST))
    assert result.status == status


def test_the_commands_of_an_rc_that_fail_are_not_nothing(play: Play) -> None:
    """All that the step asks for is done, and yet lftp says of something that it failed."""
    rc = play.pin + "set net:max-retries 1; set net:reconnect-interval-base 1; open ftp://127.0.0.1:1; ls\n"
    result = play(play.step('verdict = "failed"', rc=rc))
    assert all(task.done for task in result.steps[0].attempts[0].client.tasks)
    assert result.status == "pass"


@pytest.mark.parametrize(
    "keys", ['host = "127.0.0.2"', 'password = "wrong"', 'user = "anonymous"'], ids=["host", "password", "anonymous"]
)
def test_a_refusal_that_is_not_about_trust_does_not_pass(
    play: Play, keys: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "settings_of_ours", impatient)
    result = play(play.step(REJECTED, rc="", keys=keys + "\n" + ONLY_LIST))
    assert result.status in {"fail", "error"}


@pytest.mark.parametrize("reasons", [{"tls-handshake"}, {"hostname"}, {"expired"}])
def test_an_impostor_refused_for_anything_but_trust_proves_no_pin(
    play: Play, reasons: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twin differs by its keys alone; a lab whose impostor cannot shake hands would pass every pin."""
    _change_controls(monkeypatch, reasons=frozenset(reasons))
    result = honest(play, "accepted")
    (step,) = result.steps
    assert step.control is not None
    assert result.status == "fail"
    assert "expected the reason untrusted" in step.control.judgement.why[0]


def test_an_impostor_that_only_the_wire_heard_is_not_accepted(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    _change_controls(monkeypatch, to=frozenset({"wire"}))
    step = play.step(ACCEPTED, rc="set ssl:verify-certificate no\n", keys='control = "impostor-accepted"')
    result = play(step)
    assert result.status == "fail"
    assert "exposed to the impostor" in result.steps[0].control.judgement.why[0]  # type: ignore[union-attr]


def _change_controls(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """What comes of every attempt with an impostor is something else."""

    def changed(scene: Any, spec: ServerSpec, request: Any) -> attempting.Attempt:
        made = attempting.attempt(scene, spec, request)
        if spec.role == "impostor":
            return replace(made, outcome=replace(made.outcome, **changes))
        return made

    monkeypatch.setattr(runner, "attempt", changed)


@pytest.mark.parametrize("expected_control", ["impostor-refused", "impostor-accepted"])
def test_an_impostor_with_the_genuine_keys_is_no_control(
    play: Play, expected_control: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lab whose twin is the genuine server itself: pinned, it is let in, and that fails the control."""
    monkeypatch.setattr(runner, "impostor_of", lambda spec: replace(spec, role="impostor"))
    result = play(play.step(ACCEPTED, keys=f'control = "{expected_control}"'))
    assert result.status == ("fail" if expected_control == "impostor-refused" else "pass")


def test_a_setting_that_is_not_taken_away_is_an_error(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controls, "lift_commands", lambda *_: ["command set net:timeout 3"])
    result = honest(play, "rejected")
    assert result.status == "error"
    assert "did not take" in result.why


def test_the_debug_log_makes_no_difference(play: Play) -> None:
    """What is measured must not hang on our measuring it."""
    for expected in EXPECTED:
        assert honest(play, expected, log=False).status == "pass"


def test_a_run_that_is_no_run(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """An lftp that was never started has no verdict."""
    none = Run((), 0, None, timed_out=False, seconds=0.0, stdout=b"", stderr=b"", log=b"x")
    monkeypatch.setattr(driver, "run", lambda *_, **__: none)
    for expected in EXPECTED:
        result = honest(play, expected, controls=False)
        assert (result.status, verdict(result)) == ("error", "unreachable")
