"""Each attacker broken in turn: no step that needs it passes.

The worst case is an attack that is declared and never made, because an immune lftp looks just the same. So every step
of `scenarios/attack` is played against a lab that leaves its attacker out or uses another one.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from tests.harness.play.sabotage import PlaceWith, falsified

from ftps_harness.client import lftp as driver
from ftps_harness.play.runner import Options, run_scenario
from ftps_harness.scenario import catalogue, load
from ftps_lab.attackers import ATTACKS, downgrade, relay
from ftps_lab.attackers.data import DataRelay
from ftps_lab.server.handlers import CONTROLS, ExplicitControl
from ftps_lab.servers import FtpsServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.harness.conftest import Play

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.play.runner import ScenarioResult, StepResult
    from ftps_harness.scenario import Scenario, Source
    from ftps_lab.interface import ServerSpec
    from ftps_lab.testimony import Testimony, Wire

pytestmark = [pytest.mark.lftp, pytest.mark.usefixtures("nothing_left", "single_try")]

ROOT = Path(__file__).parents[3]
CATALOGUE = {name: load(path) for name, path in catalogue(ROOT / "scenarios" / "attack").items()}
ATTACKED = [
    name.removeprefix("attack/")
    for name, each in CATALOGUE.items()
    if any(step.server.attack != "none" for step in each.steps)
]


@pytest.fixture
def single_try(single_try: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """lftp does not pause before it reconnects without TLS."""
    settings_of_ours = driver.settings_of_ours
    no_pause = "command set net:reconnect-interval-base 0"
    monkeypatch.setattr(driver, "settings_of_ours", lambda host, **more: [*settings_of_ours(host, **more), no_pause])


def verdict(step: StepResult) -> str:
    return step.attempts[0].outcome.verdict


# The attack is declared, but the server is another one.


class AttackLeftOut(FtpsServer):
    """The genuine server alone: the attack is missing, everything else is as declared."""

    def _handler_class(self, spec: ServerSpec) -> type:
        return super()._handler_class(replace(spec, attack="none", attack_certificate=None))


class AttackUnused(FtpsServer):
    """The attacker is prepared completely, but clients meet the genuine handler."""

    def _handler_class(self, spec: ServerSpec) -> type:
        made = super()._handler_class(spec)
        genuine = super()._identities(replace(spec, attack="none", attack_certificate=None))
        names = {name: value for name, value in vars(made).items() if not name.startswith("__")}
        return type("Handler", (CONTROLS[spec.protocol],), names | genuine)


class NeverChanging(FtpsServer):
    """Starts without an attack, and no step changes it."""

    def __init__(self, spec: ServerSpec, **keywords: Any) -> None:
        super().__init__(replace(spec, attack="none", attack_certificate=None), **keywords)

    def change(self, spec: ServerSpec) -> None:
        """Do nothing."""


def attacked_steps(scenario: Scenario) -> Scenario:
    """Only the steps that declare an attack, each once, with the rc and the files in place at that point."""
    steps, rc = [], None
    files: dict[str, tuple[Source, ...]] = {}
    for step in scenario.steps:
        rc, files = step.rc or rc, files | step.files
        if step.server.attack != "none":
            steps.append(msgspec.structs.replace(step, rc=rc, files=files, repeat=1, changed=True))
    assert steps
    return msgspec.structs.replace(scenario, server=steps[0].server, steps=tuple(steps))


def play_with(name: str, client: Lftp, kind: type[FtpsServer]) -> ScenarioResult:
    """Play a scenario against servers of this class."""
    scenario = attacked_steps(CATALOGUE[f"attack/{name}"])
    result = run_scenario(scenario, client, Options(timeout=20, controls=False), PlaceWith(kind))
    assert not result.why or "not the declared one" in result.why  # a pin fetched from another server
    return result


@pytest.mark.parametrize("name", ATTACKED)
def test_no_step_passes_without_its_attack(name: str, client: Lftp) -> None:
    """Whether it expects rejected, failed, exposed or accepted."""
    result = play_with(name, client, AttackLeftOut)
    assert [step.title for step in result.steps if step.status == "pass"] == []


def test_attacked_steps_cover_every_verdict_and_every_attack() -> None:
    """Otherwise the test above would prove less than it claims."""
    steps = [step for name in ATTACKED for step in attacked_steps(CATALOGUE[f"attack/{name}"]).steps]
    assert {step.expect.verdict for step in steps} == {"accepted", "rejected", "exposed", "failed"}
    assert {step.server.attack for step in steps} == set(ATTACKS)


@pytest.mark.parametrize("kind", [AttackUnused, NeverChanging])
@pytest.mark.parametrize("name", ["intercept-copy", "inject-before-tls", "clear-data", "refuse-prot", "strip-auth"])
def test_no_step_passes_if_its_attack_is_prepared_but_unused(name: str, kind: type[FtpsServer], client: Lftp) -> None:
    """Or if the attack is requested but the server stays as it was."""
    result = play_with(name, client, kind)
    assert [step.title for step in result.steps if step.status == "pass"] == []


class DefaultForm(FtpsServer):
    """Each attack in its default form: the declared reply, or the way of breaking, is ignored."""

    def _handler_class(self, spec: ServerSpec) -> type:
        return super()._handler_class(replace(spec, attack_reply=502, attack_how="alert"))


@pytest.mark.parametrize("name", ["refuse-auth-codes", "refuse-prot-codes", "break-handshake-text"])
def test_no_step_passes_with_another_form_of_its_attack(name: str, client: Lftp) -> None:
    """502 instead of 431, or an alert instead of a text; a step that declares the default still passes."""
    result = play_with(name, client, DefaultForm)
    servers = {step.title: step.server for step in result.scenario.steps}
    other = {title for title, server in servers.items() if server.attack_reply != 502 or server.attack_how != "alert"}
    assert other
    assert {step.title for step in result.steps if step.status != "pass"} == other


OTHERS = {
    "strip-auth": "refuse-auth",
    "refuse-auth": "strip-auth",
    "drop-at-auth": "clear-data",
    "clear-data": "drop-at-auth",
    "inject-before-tls": "none",
    "refuse-prot": "clear-data",
    "intercept": "strip-auth",
    "break-handshake": "drop-at-auth",
}
EXPECTS = {
    "strip-auth": ('verdict = "rejected"\nreason = "tls-required"', "set ftp:ssl-force yes\n"),
    "refuse-auth": ('verdict = "rejected"\nreason = "tls-required"', "set ftp:ssl-force yes\n"),
    "drop-at-auth": ('verdict = "failed"', ""),
    "inject-before-tls": ('verdict = "accepted"', None),
    "refuse-prot": ('verdict = "exposed"', None),
    "intercept": ('verdict = "exposed"', "set ssl:verify-certificate no\n"),
    "break-handshake": ('verdict = "rejected"\nreason = "tls-handshake"', "set ftp:ssl-force yes\n"),
    "clear-data": ('verdict = "failed"', 'set ssl:ca-file "{lftp}/mycert.crt"\nset ftp:ssl-protect-list no\n'),
}
"""Behaviour of lftp under each attack, by rc; None is the rc with the pin."""


def play_attack(
    play: Play, attack: str, *, expect: str = "", rc: str | None = "as in EXPECTS", **more: Any
) -> StepResult:
    """One listing under an attack, as in `EXPECTS`."""
    usual, its_rc = EXPECTS[attack]
    keys = 'run = ["list"]\ncontrol = "none"\nwhy_no_control = "sabotage"'
    step = play.step(expect or usual, rc=its_rc if rc == "as in EXPECTS" else rc, keys=keys)
    result = play(step, server=f'attack = "{attack}"', controls=False, **more)
    assert not result.why
    return result.steps[0]


def test_tables_cover_every_attack() -> None:
    assert set(OTHERS) == set(EXPECTS) == set(ATTACKS)


@pytest.mark.parametrize("attack", ATTACKS)
def test_each_step_passes_without_sabotage(play: Play, attack: str) -> None:
    """Otherwise the following tests would prove nothing."""
    assert play_attack(play, attack).status == "pass"


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacker_other_than_the_declared_one_is_noticed(play: Play, attack: str) -> None:
    """Even if lftp behaves the same under both attacks."""

    class MixedUp(FtpsServer):
        def _handler_class(self, spec: ServerSpec) -> type:
            other = replace(spec, attack=OTHERS[attack]) if spec.attack == attack else spec
            return super()._handler_class(other)

    step = play_attack(play, attack, place=PlaceWith(MixedUp))
    assert step.status == "error"
    contradictions = step.attempts[0].outcome.contradictions
    assert f"the declared attack is {attack}, but the client met {OTHERS[attack]}" in contradictions


# Different certificates on the control and data connections: `data-certificate` and similar scenarios.

ON_DATA = [name.removeprefix("attack/") for name in CATALOGUE if name.startswith("attack/data-")]


class Swapped(FtpsServer):
    """The stranger's certificate is on the control connection, the genuine one on the data connection."""

    def _identities(self, spec: ServerSpec) -> dict[str, Any]:
        made = super()._identities(spec)
        other = {"identity": made["data_identity"], "data_identity": made["identity"]}
        return made | other | {"ssl_context": made["data_identity"].context}


class StrangerEverywhere(FtpsServer):
    """The control connection shows the stranger's certificate too."""

    def _identities(self, spec: ServerSpec) -> dict[str, Any]:
        return super()._identities(replace(spec, certificate=spec.data_certificate))


@pytest.mark.parametrize("kind", [Swapped, StrangerEverywhere])
def test_no_step_passes_with_the_stranger_on_the_control_connection(kind: type[FtpsServer], client: Lftp) -> None:
    """lftp refuses there for the same reason, and the data connection stays untested."""
    scenario = CATALOGUE["attack/data-certificate"]
    steps = tuple(msgspec.structs.replace(step, repeat=1) for step in scenario.steps)
    once = msgspec.structs.replace(scenario, steps=steps)
    result = run_scenario(once, client, Options(timeout=20, controls=False), PlaceWith(kind))
    assert not result.why
    assert [step.title for step in result.steps if step.status == "pass"] == []


@pytest.mark.long
@pytest.mark.parametrize("name", ON_DATA)
def test_data_certificate_is_refused_on_a_data_connection(name: str, client: Lftp) -> None:
    """lftp had logged in, in the mode of the title; with a pin that does not work, each step would be refused too."""
    scenario = CATALOGUE[f"attack/{name}"]
    steps = [
        step for step in scenario.steps if "again and again" not in step.title
    ]  # with `single_try`, lftp gives up there
    once = [msgspec.structs.replace(step, repeat=1) for step in steps]
    result = run_scenario(msgspec.structs.replace(scenario, steps=tuple(once)), client, Options(controls=False))
    assert not result.why
    rc = ""
    for step, done in zip(steps, result.steps, strict=True):
        rc = rc if step.rc is None else step.rc
        if "ssl:ca-file" not in rc or "tls-handshake" in (step.expect.reasons or ()):  # lftp never talks to it
            continue
        testimony = done.attempts[0].testimony
        assert testimony.logged_in, step.title
        data = {each.number for each in testimony.connections if each.kind == "data"}
        assert data & {each.connection for each in testimony.handshakes if each.completed}, step.title
        modes = {each.verb for each in testimony.commands} & {"PASV", "EPSV", "PORT", "EPRT"}
        assert modes, step.title
        assert modes <= ({"PORT", "EPRT"} if "active" in step.title else {"PASV", "EPSV"}), step.title


# The attacker is present, but does nothing or does it badly.

GENUINE_AUTH = ExplicitControl.ftp_AUTH
IDLE: dict[str, tuple[type, str, Any]] = {
    "strip-auth": (relay.Stripper, "lab_about_tls", relay.Relay.lab_about_tls),
    "refuse-auth": (downgrade.AuthRefused, "ftp_AUTH", GENUINE_AUTH),
    "drop-at-auth": (downgrade.DroppedAtAuth, "ftp_AUTH", GENUINE_AUTH),
    "break-handshake": (downgrade.HandshakeBroken, "secure_connection", ExplicitControl.secure_connection),
    "inject-before-tls": (downgrade.InjectedBeforeTls, "respond", ExplicitControl.respond),
    "refuse-prot": (downgrade.ProtRefused, "ftp_PROT", ExplicitControl.ftp_PROT),
    "clear-data": (downgrade.DataInClear, "dtp_handler", ExplicitControl.dtp_handler),
}
"""Attack → patch that makes its attacker a genuine server under the attacker's name."""


@pytest.mark.parametrize("attack", IDLE)
def test_attacker_that_does_nothing_is_noticed(play: Play, attack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The step expects what an unattacked lftp does: it is accepted with a pin, and still must not pass."""
    monkeypatch.setattr(*IDLE[attack])
    assert play_attack(play, attack).status in {"fail", "error"}
    pinned = play_attack(play, attack, expect='verdict = "accepted"', rc=None)
    assert (pinned.status, verdict(pinned)) in {("error", "inconclusive"), ("fail", "exposed")}
    refused = play_attack(play, attack, expect='verdict = "rejected"\nreason = "untrusted"', rc="")
    if attack not in {
        "refuse-prot",
        "clear-data",
    }:  # there lftp leaves before the attack begins, as it would have done anyway
        assert refused.status == "error"


def test_empty_injection_is_noticed(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """The attacker believes that it injected replies, but the wire does not hold them."""
    monkeypatch.setattr(downgrade, "INJECTED", ())
    step = play_attack(play, "inject-before-tls")
    assert (step.status, verdict(step)) == ("error", "inconclusive")
    sentence = "after the reply that accepts AUTH, the wire tap has tls, not text"
    assert sentence in step.attempts[0].outcome.contradictions


@pytest.mark.parametrize("rc", ["", "set ftp:ssl-force yes\n"])
def test_strip_auth_that_leaves_feat_unchanged_is_noticed(play: Play, rc: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay.Stripper, "lab_features", relay.Relay.lab_features)
    expect = 'verdict = "exposed"' if not rc else ""
    assert play_attack(play, "strip-auth", expect=expect, rc=rc).status == "error"


@pytest.mark.parametrize("item", ["get", "put", "mirror"])
def test_relay_that_alters_a_byte_is_noticed(play: Play, item: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It alters the byte after recording it: the two ends differ, although something was exposed as expected."""
    received = DataRelay.received

    def altering(self: DataRelay, end: Any, data: bytes) -> None:
        other = self._other(end)
        assert other is not None
        send = other.send
        monkeypatch.setattr(other, "send", lambda data: send(bytes([data[0] ^ 1]) + data[1:]))
        received(self, end, data)
        monkeypatch.setattr(other, "send", send)

    monkeypatch.setattr(DataRelay, "received", altering)
    step = play.step('verdict = "exposed"', rc="set ssl:verify-certificate no\n", keys=f'run = ["{item}"]')
    result = play(step, server='attack = "intercept"', controls=False)
    assert (result.status, verdict(result.steps[0])) == ("error", "exposed")


def test_relay_that_alters_nothing_passes(play: Play) -> None:
    step = play.step('verdict = "exposed"', rc="set ssl:verify-certificate no\n", keys='run = ["get", "put", "mirror"]')
    assert play(step, server='attack = "intercept"', controls=False).status == "pass"


# The lab's records of the attack.


def without(*fields: str) -> Callable[[Testimony], Testimony]:
    gone: dict[str, Any] = dict.fromkeys(fields, ())
    return lambda testimony: replace(testimony, **gone)


def behind(change: Callable[[Testimony], Testimony]) -> Callable[[Testimony], Testimony]:
    """Alter the testimony of the genuine server behind the attacker."""

    def changed(testimony: Testimony) -> Testimony:
        assert testimony.behind is not None
        return replace(testimony, behind=change(testimony.behind))

    return changed


def without_a_connection(kind: str) -> Callable[[Wire], Wire]:
    return lambda wire: replace(wire, records=tuple(record for record in wire.records if record.kind != kind))


def alter_connections(**change: Any) -> Callable[[Testimony], Testimony]:
    return lambda testimony: replace(
        testimony, connections=tuple(replace(each, **change) for each in testimony.connections)
    )


FALSE_ANSWERS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "no password is recorded": ("testimony", without("credentials")),
    "neither password nor command": ("testimony", without("credentials", "commands")),
    "no connection is recorded": ("testimony", without("connections")),
    "no handshake is recorded": ("testimony", without("handshakes")),
    "no transfer is recorded": ("testimony", without("transfers")),
    "no testimony from behind the attacker": ("testimony", lambda testimony: replace(testimony, behind=None)),
    "the genuine server got no password": ("testimony", behind(without("credentials"))),
    "the genuine server transferred nothing": ("testimony", behind(without("transfers"))),
    "the attacker's role is genuine": ("testimony", lambda testimony: replace(testimony, role="genuine")),
    "no attack is recorded": ("testimony", alter_connections(attack="none", attack_effect="")),
    "another attack is recorded": ("testimony", alter_connections(attack="strip-auth")),
    "another effect is recorded": ("testimony", alter_connections(attack_effect="502")),
    "the tap is off": ("wire", lambda wire: replace(wire, records=())),
    "the tap misses control connections": ("wire", without_a_connection("control")),
    "the tap misses data connections": ("wire", without_a_connection("data")),
    "the record is not complete": ("settle", lambda _: False),
}
IRRELEVANT_TO_A_REFUSAL = {
    "no password is recorded",
    "neither password nor command",
    "no transfer is recorded",
    "the genuine server got no password",
    "the genuine server transferred nothing",
    "the tap misses data connections",
}


@pytest.mark.parametrize("falsehood", FALSE_ANSWERS)
def test_exposure_to_an_interceptor_needs_every_piece_of_evidence(play: Play, falsehood: str) -> None:
    """An exposure is the password and the payload, and each must be proved."""
    expect = 'verdict = "exposed"\nexposed = ["password", "payload"]\nto = ["impostor"]'
    step = play_attack(play, "intercept", expect=expect, place=falsified(*FALSE_ANSWERS[falsehood]))
    assert step.status in {"fail", "error"}


@pytest.mark.parametrize("falsehood", sorted(FALSE_ANSWERS.keys() - IRRELEVANT_TO_A_REFUSAL))
def test_refusal_of_an_interceptor_needs_every_piece_of_evidence(play: Play, falsehood: str) -> None:
    expect = 'verdict = "rejected"\nreason = "untrusted"'
    step = play_attack(play, "intercept", expect=expect, rc="", place=falsified(*FALSE_ANSWERS[falsehood]))
    assert (step.status, verdict(step)) == ("error", "inconclusive")
