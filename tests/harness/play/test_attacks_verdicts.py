"""Verdicts about attackers, from made-up testimony: what counts as captured, and each false statement is noticed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.harness.verdict.outcomes import leaked

from ftps_harness.client.messages import Word
from ftps_harness.scenario import Expect
from ftps_harness.verdict.judgement import judge
from ftps_harness.verdict.needles import Passwords
from ftps_harness.verdict.observations import ClientAccount, Outcome, Situation, Task, WireAccount
from ftps_harness.verdict.outcome import conclude
from ftps_lab.testimony import Command, Connection, Credential, Handshake, Testimony, Transfer
from ftps_lab.wire.tls import is_client_hello

if TYPE_CHECKING:
    from ftps_lab.attackers.records import BehindAuth

PASSWORD = "pass-secret"
PASSWORDS = Passwords.of([PASSWORD])
GENUINE, ATTACKERS, UNKNOWN = "AA:AA", "BB:BB", "CC:CC"
ATTACKER_SHA1, GENUINE_SHA1 = "DD:DD", "EE:EE"

REFUSAL = Word(
    "ls: Fatal error: Certificate verification: Not trusted", frozenset({"untrusted"}), "reason", ATTACKER_SHA1
)
NO_TLS = Word("ls: Login failed: ftp:ssl-force is set …", frozenset({"tls-required"}), "reason")
NO_HANDSHAKE = Word("ls: Fatal error: gnutls_handshake: …", frozenset({"tls-handshake"}), "reason")
LOGIN = Word("ls: Login failed: 530 Login incorrect.", frozenset(), "login")

DONE = ClientAccount(0, None, False, (), (), (Task("list", True, True),), holds_payload=True)
REFUSED = ClientAccount(1, None, False, (REFUSAL,), (), (Task("list", False, False),))
SILENT = ClientAccount(1, None, False, (), (), (Task("list", False, False),))

CONTROL = Connection(1, "control", ("127.0.0.1", 40001), 0.0, greeted=True)
DATA = Connection(2, "data", ("127.0.0.1", 40002), 0.1)
HANDSHAKE = Handshake(1, True, "TLSv1.3", "TLS_AES_256_GCM_SHA384", "localhost", GENUINE)
LOGGED_IN = Credential(1, "user", PASSWORD, "tls", True)
PASS = Command(1, "PASS", "", "tls", 230)
LISTED = Transfer(2, 1, "LIST", "", "download", 100, "0" * 64, "tls", GENUINE, True)
MUCH = (5000, 5000)
TAPPED = WireAccount((("control", 40001), ("data", 40002)), False, False, (MUCH, MUCH))


def account(attack: str, attack_effect: str, certificate: str = GENUINE, **more: Any) -> Testimony:
    """A session with a login and a listing, as recorded by an attacker that took effect on it."""
    return Testimony(
        **{
            "role": "genuine",
            "connections": (replace(CONTROL, attack=attack, attack_effect=attack_effect), DATA),
            "handshakes": tuple(replace(HANDSHAKE, connection=number, certificate=certificate) for number in (1, 2)),
            "commands": (PASS,),
            "credentials": (LOGGED_IN,),
            "transfers": (replace(LISTED, certificate=certificate),),
            **more,
        }
    )


BEHIND = account("none", "")
TAKEN = replace(LISTED, certificate=ATTACKERS, captured=b"file-secret")
RELAYED = account("intercept", "intercept", ATTACKERS, role="impostor", transfers=(TAKEN,), behind=BEHIND)
REFUSING = replace(RELAYED, commands=(), credentials=(), transfers=(), behind=Testimony("genuine", (CONTROL,)))
UNSEEN = replace(RELAYED, transfers=(replace(TAKEN, captured=b""),))
"""Relayed, but without a secret: no password, and no captured byte."""

INTERCEPTED = Situation(
    PASSWORDS,
    GENUINE,
    settled=True,
    role="impostor",
    interceptor=ATTACKERS,
    attack="intercept",
    effect="intercept",
    in_the_middle=True,
    sent=frozenset({ATTACKER_SHA1}),
)
NOT_DONE = replace(DONE, holds_payload=False)


def anonymous(account: Testimony) -> Testimony:
    """The same session from a client without a password of its own."""
    behind = None if account.behind is None else anonymous(account.behind)
    known = {PASSWORD: "lftp@"}
    logins = tuple(
        replace(login, user="anonymous", password=known.get(login.password or "", login.password))
        for login in account.credentials
    )
    return replace(account, credentials=logins, behind=behind)


def attacked(attack: str, attack_effect: str = "", **more: Any) -> Situation:
    """A genuine server with an attacker in front that is not in the middle."""
    return Situation(PASSWORDS, GENUINE, settled=True, attack=attack, effect=attack_effect or attack, **more)


def only_contradiction(outcome: Outcome) -> str:
    """The only contradiction of an outcome that is inconclusive because of it."""
    assert outcome.verdict == "inconclusive"
    (sentence,) = outcome.contradictions
    return sentence


# An attacker in the middle: what it captured, and whether the genuine server behind it agrees.


def test_unverifying_client_is_exposed_to_the_interceptor() -> None:
    outcome = conclude(INTERCEPTED, DONE, RELAYED, TAPPED)
    assert leaked(outcome) == ("exposed", {"password", "payload"}, {"impostor"})
    assert outcome.contradictions == ()


def test_client_that_refuses_the_attackers_certificate_is_rejected() -> None:
    outcome = conclude(INTERCEPTED, REFUSED, REFUSING, TAPPED)
    assert (outcome.verdict, set(outcome.reasons), outcome.contradictions) == ("rejected", {"untrusted"}, ())


@pytest.mark.parametrize("direction", ["download", "upload"])
def test_one_captured_byte_is_an_exposure(direction: Any) -> None:
    """A partial capture counts too, whatever the client did with it."""
    first = replace(TAKEN, direction=direction, size=1, completed=False, captured=b"f")
    outcome = conclude(INTERCEPTED, SILENT, anonymous(replace(RELAYED, transfers=(first,))), TAPPED)
    assert leaked(outcome) == ("exposed", {"payload"}, {"impostor"})


def test_transfer_without_a_captured_byte_is_not_an_exposure() -> None:
    cut = replace(TAKEN, size=1, completed=False, captured=b"")
    assert conclude(INTERCEPTED, SILENT, anonymous(replace(RELAYED, transfers=(cut,))), TAPPED).verdict == "failed"


BEHIND_CONTRADICTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "a transfer is missing": ({"transfers": ()}, "report different transfers"),
    "of another size": ({"transfers": (replace(LISTED, size=99),)}, "report different transfers"),
    "with another content": ({"transfers": (replace(LISTED, sha256="1" * 64),)}, "report different transfers"),
    "by another command": ({"transfers": (replace(LISTED, verb="NLST"),)}, "report different transfers"),
    "cut short": ({"transfers": (replace(LISTED, completed=False),)}, "report different transfers"),
    "a transfer too many": ({"transfers": (LISTED, LISTED)}, "reports transfers that the attacker does not"),
    "another password": ({"credentials": (replace(LOGGED_IN, password="x"),)}, "never received"),
    "no password": ({"credentials": (), "commands": ()}, "never received"),
}


@pytest.mark.parametrize(("change", "sentence"), BEHIND_CONTRADICTIONS.values(), ids=BEHIND_CONTRADICTIONS)
def test_testimony_behind_must_agree_with_the_attackers(change: dict[str, Any], sentence: str) -> None:
    """Without an exposure the outcome is inconclusive; an exposure names the contradiction and does not pass."""
    behind = replace(BEHIND, **change)
    outcome = conclude(INTERCEPTED, NOT_DONE, anonymous(replace(UNSEEN, behind=behind)), TAPPED)
    assert outcome.verdict == "inconclusive"
    assert sentence in outcome.contradictions[0]
    exposed = conclude(INTERCEPTED, DONE, replace(RELAYED, behind=behind), TAPPED)
    assert exposed.verdict == "exposed"
    assert judge(exposed, Expect(verdict="exposed"), "").status == "error"


@pytest.mark.parametrize("in_the_middle", [True, False])
def test_only_an_attacker_in_the_middle_has_testimony_behind_it(in_the_middle: bool) -> None:
    """Without it nothing confirms the attacker's own testimony."""
    situation = replace(INTERCEPTED, in_the_middle=in_the_middle)
    server = replace(REFUSING, behind=None if in_the_middle else REFUSING.behind)
    assert "requires testimony from the genuine server behind it" in only_contradiction(
        conclude(situation, REFUSED, server, TAPPED)
    )


def test_genuine_certificate_from_an_interceptor_is_a_contradiction() -> None:
    """lftp refused the genuine certificate although an interceptor was declared: the interceptor never came."""
    server = replace(REFUSING, handshakes=(HANDSHAKE,))
    assert "a certificate that was not declared" in only_contradiction(conclude(INTERCEPTED, REFUSED, server, TAPPED))


@pytest.mark.parametrize("named", [GENUINE_SHA1, UNKNOWN])
def test_refusal_must_name_the_attackers_certificate(named: str) -> None:
    client = replace(REFUSED, words=(replace(REFUSAL, fingerprint=named),))
    assert "does not show" in only_contradiction(conclude(INTERCEPTED, client, REFUSING, TAPPED))


def test_interceptors_testimony_must_be_an_impostors() -> None:
    server = replace(REFUSING, role="genuine")
    assert "declared impostor" in only_contradiction(conclude(INTERCEPTED, REFUSED, server, TAPPED))


def test_login_to_an_interceptor_is_never_accepted() -> None:
    """Even if the interceptor captured nothing."""
    outcome = conclude(INTERCEPTED, NOT_DONE, anonymous(UNSEEN), TAPPED)
    assert "every request was carried out, but not by" in only_contradiction(outcome)


@pytest.mark.parametrize("number", [1, 2])
def test_tls_content_needs_a_finished_handshake(number: int) -> None:
    """On the login's and on the listing's connection; otherwise the receiver is unknown."""
    remaining = tuple(each for each in RELAYED.handshakes if each.connection != number)
    outcome = conclude(INTERCEPTED, DONE, replace(RELAYED, handshakes=remaining), TAPPED)
    assert outcome.verdict == "exposed"
    (sentence,) = outcome.contradictions
    assert "no completed handshake" in sentence
    broken = tuple(replace(each, completed=each.connection != number) for each in RELAYED.handshakes)
    assert conclude(INTERCEPTED, DONE, replace(RELAYED, handshakes=broken), TAPPED).contradictions == (sentence,)


def test_refusal_of_one_of_several_requests_is_rejected() -> None:
    """Requests that were carried out before it do not contradict it."""
    client = replace(REFUSED, tasks=(Task("put", None, True), Task("list", False, False)))
    server = replace(UNSEEN, transfers=(), behind=replace(BEHIND, transfers=()))
    assert conclude(INTERCEPTED, client, anonymous(server), TAPPED).verdict == "rejected"
    everything = replace(client, tasks=client.tasks[:1])
    assert "every request was carried out" in only_contradiction(
        conclude(INTERCEPTED, everything, anonymous(server), TAPPED)
    )


# Data that is not content: an attacker's invention, a ClientHello.

CLEAR_DATA = attacked("clear-data")
FORGED = replace(LISTED, channel="clear", certificate="", forged=True)
HELD = replace(DONE, tasks=(Task("list", False, False),))
SENT_IN_CLEAR = account("clear-data", "", transfers=(FORGED,), handshakes=(HANDSHAKE,))
IN_CLEAR = replace(
    SENT_IN_CLEAR, connections=(*SENT_IN_CLEAR.connections[:1], replace(DATA, attack_effect="clear-data"))
)


@pytest.mark.parametrize("role", ["genuine", "impostor"])
def test_forged_content_is_not_a_secret(role: Any) -> None:
    """Neither on the wire nor at an impostor that sent it itself."""
    situation = replace(CLEAR_DATA, role=role)
    outcome = conclude(situation, HELD, anonymous(replace(IN_CLEAR, role=role)), TAPPED)
    assert (outcome.verdict, outcome.contradictions) == ("failed", ())


@pytest.mark.parametrize("forged", [FORGED, replace(LISTED, forged=True)], ids=["clear", "tls"])
def test_forged_content_is_never_accepted(forged: Transfer) -> None:
    """Even if lftp and the server both take it for content."""
    server = replace(IN_CLEAR, transfers=(forged,), handshakes=(HANDSHAKE, replace(HANDSHAKE, connection=2)))
    assert "every request was carried out, but not by" in only_contradiction(
        conclude(CLEAR_DATA, NOT_DONE, server, TAPPED)
    )


HELLO = b"\x16\x03\x01\x00\x05\x01aaaa"


@pytest.mark.parametrize(
    ("content", "is_one"),
    [
        (HELLO, True),
        (HELLO.replace(b"\x03\x01", b"\x03\x03"), True),
        (HELLO + b"a", False),
        (HELLO[:-1], False),
        (HELLO.replace(b"\x05\x01", b"\x05\x02"), False),
        (b"\x17" + HELLO[1:], False),
        (HELLO.replace(b"\x16\x03", b"\x16\x04"), False),
        (b"", False),
        (b"\x16\x03\x01", False),
    ],
)
def test_only_one_whole_client_hello_is_not_content(content: bytes, is_one: bool) -> None:
    """A user's file that only begins like one is longer or shorter than its header says."""
    assert is_client_hello(content[:6], len(content)) is is_one


def test_lftps_handshake_on_a_clear_data_connection_is_rejected() -> None:
    """PROT was refused on implicit FTPS, so the server knows of no handshake on the data connection."""
    client = replace(SILENT, words=(NO_HANDSHAKE,))
    empty = replace(LISTED, channel="clear", certificate="", size=0)
    server = account("refuse-prot", "502", transfers=(empty,), handshakes=(HANDSHAKE,))
    assert conclude(attacked("refuse-prot", "502"), client, server, TAPPED).verdict == "rejected"
    shaken = replace(server, transfers=(), handshakes=(HANDSHAKE, replace(HANDSHAKE, connection=2, completed=False)))
    assert conclude(attacked("refuse-prot", "502"), client, shaken, TAPPED).verdict == "rejected"
    without = conclude(attacked("refuse-prot", "502"), client, replace(server, transfers=()), TAPPED)
    assert "the server saw no failed handshake" in only_contradiction(without)


# The attack itself: declared, met, carried out.

INJECTED = replace(TAPPED, behind_auth=frozenset({"text"}))


def test_acceptance_under_an_attack_that_took_effect() -> None:
    """The client met the attacker, the attack took effect on the login's connection, and the wire shows it."""
    server = account("inject-before-tls", "inject-before-tls")
    outcome = conclude(attacked("inject-before-tls"), DONE, server, INJECTED)
    assert (outcome.verdict, outcome.contradictions) == ("accepted", ())


@pytest.mark.parametrize(
    ("attack", "attack_effect", "behind_auth", "sentences"),
    [
        ("none", "", "tls", ["but the client met none", "bypassed the attack", "not text", "never carried out"]),
        ("none", "", "text", ["but the client met none", "bypassed the attack", "never carried out"]),
        ("inject-before-tls", "", "text", ["bypassed the attack", "never carried out"]),
        ("inject-before-tls", "inject-before-tls", "tls", ["has tls, not text"]),
        ("inject-before-tls", "inject-before-tls", "nothing", ["has nothing, not text"]),
        ("refuse-auth", "inject-before-tls", "text", ["but the client met refuse-auth"]),
        ("inject-before-tls", "502", "text", ["should have had the effect inject-before-tls, but its effect was 502"]),
    ],
)
def test_acceptance_needs_evidence_of_the_attack(
    attack: str, attack_effect: str, behind_auth: Any, sentences: list[str]
) -> None:
    """Only this distinguishes an immune lftp from an absent attacker."""
    wire = replace(TAPPED, behind_auth=frozenset({behind_auth}))
    outcome = conclude(attacked("inject-before-tls"), DONE, account(attack, attack_effect), wire)
    assert outcome.verdict == "inconclusive"
    assert len(outcome.contradictions) == len(sentences)
    assert all(part in contradiction for part, contradiction in zip(sentences, outcome.contradictions, strict=True))


def test_every_login_must_pass_through_the_attack() -> None:
    """An attacked connection proves nothing about one that was not attacked."""
    server = account("inject-before-tls", "")
    first = replace(
        CONTROL, number=3, peer=("127.0.0.1", 40003), attack="inject-before-tls", attack_effect="inject-before-tls"
    )
    wire = replace(INJECTED, connections=(*TAPPED.connections, ("control", 40003)), volumes=(MUCH, MUCH, MUCH))
    server = replace(server, connections=(*server.connections, first))
    assert "bypassed the attack" in only_contradiction(conclude(attacked("inject-before-tls"), DONE, server, wire))


def test_undeclared_attack_is_a_contradiction() -> None:
    """Even if its effect would not show."""
    assert "the declared attack is none, but the client met intercept" in only_contradiction(
        conclude(replace(attacked("none"), effect=""), DONE, account("intercept", ""), TAPPED)
    )
    attack_effect = conclude(replace(attacked("none"), effect=""), DONE, account("none", "502"), TAPPED)
    assert "should have had the effect nothing, but its effect was 502" in only_contradiction(attack_effect)


def test_fallback_to_clear_text_is_an_exposure() -> None:
    """The second connection has no AUTH, so the attack has nothing to break; this is not a contradiction."""
    again = replace(CONTROL, number=3, peer=("127.0.0.1", 40003), attack="break-handshake")
    server = account("break-handshake", "alert", handshakes=(replace(HANDSHAKE, completed=False, error="x"),))
    server = replace(
        server,
        connections=(server.connections[0], again),
        commands=(replace(PASS, connection=3, channel="clear"),),
        credentials=(replace(LOGGED_IN, connection=3, channel="clear"),),
        transfers=(),
    )
    wire = WireAccount((("control", 40001), ("control", 40003)), True, False, (MUCH, MUCH), frozenset({"alert"}))
    outcome = conclude(attacked("break-handshake", "alert"), SILENT, server, wire)
    assert leaked(outcome) == ("exposed", {"password"}, {"wire"})
    assert outcome.contradictions == ()


NOT_IN: dict[str, Any] = {"credentials": (), "commands": (), "transfers": ()}


@pytest.mark.parametrize("attack", ["refuse-prot", "clear-data"])
@pytest.mark.parametrize("words", [(REFUSAL,), (LOGIN,)])
def test_lftp_may_leave_before_an_attack_that_follows_the_login(attack: str, words: tuple[Word, ...]) -> None:
    """It refused the certificate or was refused: the attacker was present, but had nothing to do."""
    turned_away = (replace(LOGGED_IN, accepted=False, password="wrong"),)
    more = (
        NOT_IN
        if words == (REFUSAL,)
        else {**NOT_IN, "credentials": turned_away, "commands": (replace(PASS, reply=530),)}
    )
    server = account(attack, "", **more)
    outcome = conclude(attacked(attack), replace(REFUSED, words=words), server, TAPPED)
    assert outcome.verdict in {"rejected", "login-failed"}
    server = replace(server, connections=(CONTROL, DATA))
    assert "met none" in only_contradiction(conclude(attacked(attack), replace(REFUSED, words=words), server, TAPPED))


@pytest.mark.parametrize("attack", ["intercept", "strip-auth", "drop-at-auth", "break-handshake", "inject-before-tls"])
def test_other_attacks_must_act_before_a_refused_certificate(attack: str) -> None:
    outcome = conclude(attacked(attack), REFUSED, account(attack, "", **NOT_IN), TAPPED)
    assert "never carried out" in only_contradiction(outcome)


@pytest.mark.parametrize("attack", ["drop-at-auth", "clear-data", "refuse-prot"])
def test_failure_needs_evidence_that_the_attacker_acted(attack: str) -> None:
    """A broken lab fails too."""
    assert "never carried out" in only_contradiction(
        conclude(attacked(attack), SILENT, account(attack, "", **NOT_IN), TAPPED)
    )
    assert conclude(attacked(attack), SILENT, account(attack, attack, **NOT_IN), TAPPED).verdict == "failed"


@pytest.mark.parametrize("attack", ["clear-data", "refuse-prot"])
@pytest.mark.parametrize("word", [NO_TLS, NO_HANDSHAKE])
def test_missing_tls_does_not_excuse_an_attack_after_the_login(attack: str, word: Word) -> None:
    """lftp refused no certificate; TLS works here, so the lab must have been broken."""
    failed = replace(HANDSHAKE, completed=False, error="x")
    server = account(attack, "", **NOT_IN, handshakes=(failed,))
    assert "never carried out" in only_contradiction(
        conclude(attacked(attack), replace(SILENT, words=(word,)), server, TAPPED)
    )


def test_port_that_does_not_answer_is_unreachable() -> None:
    outcome = conclude(attacked("drop-at-auth"), SILENT, Testimony("genuine"), WireAccount((), False, False))
    assert outcome.verdict == "unreachable"


def test_effect_must_be_the_declared_reply() -> None:
    """A 502 in place of the declared 431 does not show what lftp does about 431."""
    client = replace(SILENT, words=(NO_TLS,))
    server = account("refuse-auth", "502", **NOT_IN, handshakes=())
    assert "the effect 431, but its effect was 502" in only_contradiction(
        conclude(attacked("refuse-auth", "431"), client, server, TAPPED)
    )
    assert conclude(attacked("refuse-auth", "502"), client, server, TAPPED).verdict == "rejected"


BROKEN = replace(HANDSHAKE, completed=False, error="x")


@pytest.mark.parametrize(("how", "left"), [("text", "text"), ("alert", "alert"), ("close", "nothing")])
@pytest.mark.parametrize("found", ["tls", "alert", "text", "nothing"])
def test_wire_must_show_how_the_handshake_was_broken(how: str, left: str, found: BehindAuth) -> None:
    client = replace(SILENT, words=(NO_HANDSHAKE,))
    server = account("break-handshake", how, **NOT_IN, handshakes=(BROKEN,))
    wire = replace(TAPPED, behind_auth=frozenset({found}))
    outcome = conclude(attacked("break-handshake", how), client, server, wire)
    assert outcome.verdict == ("rejected" if found == left else "inconclusive")


@pytest.mark.parametrize("attack", ["none", "refuse-prot", "clear-data"])
def test_cleartext_after_234_needs_an_attack(attack: str) -> None:
    """No other server says anything in clear after that reply."""
    situation = replace(attacked(attack), effect="" if attack == "none" else attack)
    outcome = conclude(situation, DONE, account(attack, situation.effect), INJECTED)
    assert "has text, not TLS" in only_contradiction(outcome)


def test_strip_auth_with_auth_in_feat_is_a_contradiction() -> None:
    client = replace(SILENT, words=(NO_TLS,))
    situation = replace(attacked("strip-auth", "502"), role="impostor", in_the_middle=True)
    server = account("strip-auth", "502", **NOT_IN, role="impostor", handshakes=(), behind=Testimony("genuine"))
    assert conclude(situation, client, server, TAPPED).verdict == "rejected"
    assert "FEAT reply that lists AUTH" in only_contradiction(
        conclude(situation, client, server, replace(TAPPED, lists_auth=True))
    )
