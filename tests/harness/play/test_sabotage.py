"""The lab's own parts are broken in turn: servers, testimony, tap. Nothing passes.

A false pass is the worst bug that this project could ship. The tests use real servers and the real lftp.
"""

from __future__ import annotations

import socket
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.harness.play.sabotage import (
    ACCEPTED,
    EXPECTED,
    LOGIN_FAILED,
    ONLY_LIST,
    REJECTED,
    PlaceWith,
    TruncatingData,
    alter,
    baseline,
    change_records,
    contradictions,
    everything,
    falsified,
    forget,
    verdict,
)

from ftps_harness.play.material import impostor_of
from ftps_lab.server.data import LabData
from ftps_lab.servers import FtpsServer
from ftps_lab.testimony import Testimony, Wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.harness.conftest import Play

    from ftps_harness.client.lftp import Lftp
    from ftps_lab.interface import ServerSpec

pytestmark = [pytest.mark.lftp, pytest.mark.usefixtures("nothing_left")]


@pytest.mark.parametrize("expected", EXPECTED)
def test_both_steps_pass_without_sabotage(play: Play, expected: str) -> None:
    assert baseline(play, expected).status == "pass"


def claim_stranger_on_data(testimony: Testimony) -> Testimony:
    others = (replace(each, certificate="AA:BB") for each in testimony.handshakes[1:])
    return replace(testimony, handshakes=(*testimony.handshakes[:1], *others))


WITHOUT_EVIDENCE: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "the tap is off": ("wire", lambda _: Wire()),
    "the tap drops all bytes": ("wire", change_records(lambda r: replace(r, to_server=b"", to_client=b""))),
    "the tap drops what is sent": ("wire", change_records(lambda r: replace(r, to_server=b""))),
    "the tap drops what is received": ("wire", change_records(lambda r: replace(r, to_client=b""))),
    "the tap misses control connections": ("wire", change_records(lambda r: None if r.kind == "control" else r)),
    "the tap takes them for data": ("wire", change_records(lambda r: replace(r, kind="data"))),
    "the tap takes one for another": ("wire", change_records(lambda r: replace(r, peer=(r.peer[0], r.peer[1] ^ 1)))),
    "no connection is recorded": ("testimony", forget(connections=everything)),
    "the first connection is forgotten": ("testimony", forget(connections=lambda c: c.number == 1)),
    "no handshake is recorded": ("testimony", forget(handshakes=everything)),
    "every handshake failed": ("testimony", alter("handshakes", completed=False)),
    "another certificate was shown": (
        "testimony",
        alter("handshakes", certificate="AA:BB"),
    ),
    "another role": ("testimony", lambda testimony: replace(testimony, role="impostor")),
    "nothing is recorded": ("testimony", lambda testimony: Testimony(testimony.role)),
    "the record is not complete": ("settle", lambda _: False),
}
ONLY_ACCEPTED: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "the tap misses data connections": ("wire", change_records(lambda r: None if r.kind == "data" else r)),
    "the tap holds half of the content": (
        "wire",
        change_records(lambda r: replace(r, to_client=r.to_client[:2000]) if len(r.to_client) > 3000 else r),
    ),
    "the login is forgotten": ("testimony", forget(credentials=everything)),
    "the login was refused": (
        "testimony",
        alter("credentials", accepted=False),
    ),
    "the login and its command are forgotten": ("testimony", forget(credentials=everything, commands=everything)),
    "the login was in clear": (
        "testimony",
        alter("credentials", channel="clear"),
    ),
    "no transfer is recorded": ("testimony", forget(transfers=everything)),
    "the transfers were cut short": (
        "testimony",
        alter("transfers", completed=False),
    ),
    "something else was transferred": (
        "testimony",
        alter("transfers", sha256="0" * 64),
    ),
    "the transfers were in clear": (
        "testimony",
        alter("transfers", channel="clear"),
    ),
    "a stranger on the data channel": (
        "testimony",
        claim_stranger_on_data,
    ),
    "one handshake is forgotten": ("testimony", forget(handshakes=lambda h: h.connection == 1)),
}


@pytest.mark.parametrize("keys", ["", 'run = ["put"]'], ids=["list-get", "put"])
@pytest.mark.parametrize("sabotage", [*WITHOUT_EVIDENCE, *ONLY_ACCEPTED])
def test_acceptance_needs_every_piece_of_evidence(play: Play, sabotage: str, keys: str) -> None:
    place = falsified(*(WITHOUT_EVIDENCE | ONLY_ACCEPTED)[sabotage])
    result = baseline(play, "accepted", keys, place=place, controls=False)
    if sabotage == "the tap holds half of the content" and keys:
        assert result.status == "pass"  # little is received
    else:
        assert result.status in {"fail", "error"}
        assert verdict(result) in {"inconclusive", "exposed", "failed"}


@pytest.mark.parametrize("sabotage", WITHOUT_EVIDENCE)
def test_refusal_needs_every_piece_of_evidence(play: Play, sabotage: str) -> None:
    result = baseline(play, "rejected", ONLY_LIST, place=falsified(*WITHOUT_EVIDENCE[sabotage]), controls=False)
    assert (result.status, verdict(result)) == ("error", "inconclusive")


@pytest.mark.parametrize("sabotage", ["the tap is off", "the tap drops what is sent", "no connection is recorded"])
def test_cleartext_is_not_accepted_with_the_tap_off(play: Play, sabotage: str) -> None:
    """Plain FTP: with the tap off, the wire shows nothing readable, but that is not an acceptance either."""
    step = play.step('verdict = "accepted"', keys='run = ["put"]')
    place = falsified(*WITHOUT_EVIDENCE[sabotage])
    result = play(step, server='protocol = "plain"', place=place, controls=False)
    assert result.status in {"fail", "error"}
    assert verdict(result) in {"inconclusive", "exposed"}


@pytest.mark.parametrize("expected", EXPECTED)
@pytest.mark.parametrize("error", [RuntimeError, SystemExit])
@pytest.mark.usefixtures("single_try")
def test_exception_in_the_servers_thread_is_an_error(play: Play, expected: str, error: type[BaseException]) -> None:
    """pyftpdlib survives one of the errors; the other one ends the thread."""

    class Failing(FtpsServer):
        def record(self) -> None:
            super().record()
            if self.running and "ftp_FEAT" not in vars(self.handler):

                def fail(*_: object) -> None:
                    raise error("sabotage")

                self.override(ftp_FEAT=fail)

    result = baseline(play, expected, ONLY_LIST, place=PlaceWith(Failing), timeout=3)
    assert result.status == "error"
    assert "sabotage" in result.why
    assert result.steps == ()


@pytest.mark.parametrize("expected", ["accepted", "rejected"])
@pytest.mark.usefixtures("single_try")
def test_dead_port_is_unreachable(play: Play, expected: str) -> None:
    """It is neither a refusal nor a broken promise."""

    class Dead(FtpsServer):
        def record(self) -> None:
            super().record()
            self.stop()

        def start(self) -> Dead:
            super().start()
            self.stop()
            return self

    result = baseline(play, expected, ONLY_LIST, place=PlaceWith(Dead), controls=False)
    assert (result.status, verdict(result)) == ("error", "unreachable")


def served_by(**methods: Any) -> PlaceWith:
    """A place whose control connections behave differently once the server is ready."""

    class Otherwise(FtpsServer):
        def record(self) -> None:
            super().record()
            self.override(**methods)

    return PlaceWith(Otherwise)


def never_greet(_: Any) -> None:
    """Accept and never greet."""


def greet_with_421(handler: Any) -> None:
    """Answer 421 instead of the greeting."""
    handler.respond("421 Too many.")
    handler.close_when_done()


def close_connection(handler: Any) -> None:
    """Close at once."""
    handler.close()


def close_on_command(handler: Any, *_: Any) -> None:
    """Close on a command."""
    handler.close()


class CutOff(LabData):
    """Closes each data connection instead of sending anything."""

    def send(self, _data: bytes) -> int:
        self.close()
        return 0


MISBEHAVING: dict[str, tuple[dict[str, Any], str]] = {
    "mute": ({"handle": never_greet}, "unreachable"),
    "busy": ({"handle": greet_with_421}, "unreachable"),
    "closes at once": ({"handle": close_connection}, "unreachable"),
    "closes on FEAT": ({"ftp_FEAT": close_on_command}, "failed"),
    "closes on USER": ({"ftp_USER": close_on_command}, "failed"),
    "closes on LIST": ({"ftp_LIST": close_on_command}, "failed"),
    "closes data connections": ({"dtp_handler": CutOff}, "failed"),
    "sends less than there is": ({"dtp_handler": TruncatingData}, "failed"),
}


@pytest.mark.parametrize("case", MISBEHAVING)
@pytest.mark.usefixtures("single_try")
@pytest.mark.long
def test_misbehaving_server_is_never_accepted(play: Play, case: str) -> None:
    methods, expected = MISBEHAVING[case]
    keys = ONLY_LIST if case != "sends less than there is" else 'run = ["get"]'
    result = baseline(play, "accepted", keys, place=served_by(**methods), controls=False)
    assert result.status == ("fail" if expected == "failed" else "error")
    assert verdict(result) == expected


@pytest.mark.usefixtures("single_try")
def test_refusal_fails_if_the_server_dies_in_the_control(play: Play) -> None:
    """Without verification the run must succeed; a refused step alone is not enough."""
    result = baseline(play, "rejected", ONLY_LIST, place=served_by(ftp_USER=close_on_command))
    (step,) = result.steps
    assert step.judgement.status == "pass"
    assert step.control is not None
    assert (step.control.attempt.outcome.verdict, result.status) == ("failed", "fail")


class OtherPassword(FtpsServer):
    """Accepts no login."""

    def __init__(self, spec: ServerSpec, **keywords: Any) -> None:
        super().__init__(spec, **{**keywords, "password": "not this one"})


@pytest.mark.parametrize(
    ("expect", "rc", "keys", "where"),
    [
        (ACCEPTED, None, "", "step"),
        (REJECTED, "", "", "control"),
        (LOGIN_FAILED, None, 'password = "wrong"', "control"),
    ],
)
def test_server_that_refuses_every_login_fails_step_or_control(
    play: Play, expect: str, rc: str | None, keys: str, where: str
) -> None:
    result = play(play.step(expect, rc=rc, keys=keys), place=PlaceWith(OtherPassword))
    (step,) = result.steps
    assert result.status == "fail"
    assert (step.judgement.status == "fail") is (where == "step")
    assert step.control is not None
    assert (step.control.judgement.status == "fail") is (where == "control")


def test_server_that_never_changes_is_noticed(play: Play) -> None:
    """The second step's impostor never appeared: the certificate presented is not the declared one."""

    class NeverChanging(FtpsServer):
        def change(self, spec: ServerSpec) -> None:
            """Do nothing."""

    steps = (
        play.step(ACCEPTED, title="one"),
        play.step(REJECTED, title="two", keys='server = { certificate = "stranger", role = "impostor" }'),
        play.step(ACCEPTED, title="three", keys='server = { certificate = "expired", role = "genuine" }'),
    )
    result = play(*steps, place=PlaceWith(NeverChanging), controls=False)
    assert [step.status for step in result.steps] == ["pass", "error", "error"]
    assert "declared impostor" in contradictions(result, 1)
    assert "a certificate that was not declared" in contradictions(result, 2)


def test_server_with_an_undeclared_certificate_is_noticed(play: Play, client: Lftp) -> None:
    """lftp names the certificate that it refuses, and this server's testimony does not contain it."""

    class Swapped(FtpsServer):
        def _identities(self, spec: ServerSpec) -> dict[str, Any]:
            swapped = super()._identities(impostor_of(spec))
            assert spec.certificate is not None
            return swapped | {"identity": replace(swapped["identity"], certificate=spec.certificate.sha256)}

    if client.dialect == "openssl":
        pytest.skip("OpenSSL builds may name a certificate of the pin's file")
    result = baseline(play, "rejected", ONLY_LIST, place=PlaceWith(Swapped), controls=False)
    assert (result.status, verdict(result)) == ("error", "inconclusive")
    assert "does not show" in contradictions(result)


class Lingering(FtpsServer):
    """Another client stays connected from the start of each record."""

    def __init__(self, spec: ServerSpec, **keywords: Any) -> None:
        super().__init__(spec, **keywords)
        self.others: list[socket.socket] = []

    def record(self) -> None:
        super().record()
        if len(self.others) < 2:  # the first is from the server's start
            self.others.append(socket.create_connection((self.host, self.port), 5))
            self.others[-1].recv(100)
            self.shared = self.recorder

    def settle(self, timeout: float = 5.0) -> bool:
        """Wait a shorter time if another client is on the record, because the wait cannot succeed then."""
        alone = len(self.others) < 2 or self.recorder is not self.shared
        return super().settle(timeout if alone else 0.3)

    def stop(self) -> None:
        for other in self.others:
            other.close()
        super().stop()


def test_lingering_connection_affects_its_own_step_only(play: Play) -> None:
    steps = (play.step(ACCEPTED, title="one", keys=ONLY_LIST), play.step(ACCEPTED, title="two", keys=ONLY_LIST))
    result = play(*steps, place=PlaceWith(Lingering), controls=False)
    assert [step.status for step in result.steps] == ["error", "pass"]
    assert "still open" in contradictions(result, 0)


def test_later_bytes_of_a_connection_stay_in_its_own_step(play: Play) -> None:
    """The first step's connection sends the password in clear during the second step, which is judged on its own."""

    class SendingLater(Lingering):
        def record(self) -> None:
            if len(self.others) == 2:
                self.others[1].sendall(f"USER x\r\nPASS {self._password}\r\n".encode())
                time.sleep(0.1)
            super().record()

    steps = [play.step(ACCEPTED, title=str(number), keys=ONLY_LIST) for number in range(3)]
    result = play(*steps, place=PlaceWith(SendingLater), controls=False)
    assert [step.status for step in result.steps] == ["error", "pass", "pass"]
    assert [len(step.attempts[0].testimony.credentials) for step in result.steps[1:]] == [1, 1]


def test_evidence_of_steps_is_kept_apart(play: Play) -> None:
    """One server exposes, refuses and accepts; each step's witnesses saw only that step."""
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
