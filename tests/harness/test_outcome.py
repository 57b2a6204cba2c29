"""Three witnesses to one outcome: each verdict needs all of them, and each lie of one of them is noticed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ftps_harness.messages import Word
from ftps_harness.outcome import ClientAccount, Outcome, Situation, Task, WireAccount, conclude
from ftps_lab.testimony import Command, Connection, Credential, Handshake, Testimony, Transfer

PASSWORD = "pass-secret"
GENUINE = "AA:AA"
STRANGER = "BB:BB"
PEER = ("127.0.0.1", 40001)
DATA_PEER = ("127.0.0.1", 40002)

REFUSAL = Word("ls: Fatal error: Certificate verification: Not trusted", frozenset({"untrusted"}), "reason")
UNKNOWN = Word("ls: Fatal error: the moon is full", frozenset(), "unknown")
LOGIN = Word("ls: Login failed: 530 Login incorrect.", frozenset(), "login")
NO_TLS = Word("ls: Login failed: ftp:ssl-force is set …", frozenset({"tls-required"}), "reason")
NO_HANDSHAKE = Word("ls: Fatal error: gnutls_handshake: …", frozenset({"tls-handshake"}), "reason")
RETRIES = Word("ls: Fatal error: max-retries exceeded", frozenset(), "retries")
ACCESS = Word("get: Access failed: 550 no", frozenset(), "access")

CONTROL = Connection(1, "control", PEER, 0.0, greeted=True)
DATA = Connection(2, "data", DATA_PEER, 0.1)
SHAKEN = Handshake(1, True, "TLSv1.3", "TLS_AES_256_GCM_SHA384", "localhost", GENUINE)
BROKEN = Handshake(1, False, "", "", None, GENUINE, "alert")
LISTED = Transfer(2, 1, "LIST", "", "download", 100, "0" * 64, "tls", GENUINE, True)
UPLOADED = Transfer(2, 1, "STOR", "x", "upload", 100, "1" * 64, "tls", GENUINE, True)
LET_IN = Credential(1, "user", PASSWORD, "tls", True)

SITUATION = Situation(PASSWORD, GENUINE, settled=True)
DONE = ClientAccount(0, None, False, (), (), (Task("list", True, True),), holds_payload=True)
REFUSED = ClientAccount(1, None, False, (REFUSAL,), (), (Task("list", False, False),))
ACCEPTING = Testimony("genuine", (CONTROL, DATA), (SHAKEN,), (), (), (LET_IN,), (LISTED,))
REFUSED_BY_CLIENT = Testimony("genuine", (CONTROL,), (SHAKEN,))
SILENT = WireAccount((("control", PEER[1]), ("data", DATA_PEER[1])), password=False, payload=False)
SILENT_CONTROL = WireAccount((("control", PEER[1]),), password=False, payload=False)


def conclude_with(
    client: ClientAccount = DONE,
    server: Testimony = ACCEPTING,
    wire: WireAccount = SILENT,
    **situation: Any,
) -> Outcome:
    return conclude(replace(SITUATION, **situation), client, server, wire)


def test_accepted_when_all_three_agree() -> None:
    assert conclude_with().verdict == "accepted"


def test_rejected_when_lftp_says_why_and_the_server_showed_a_certificate() -> None:
    outcome = conclude_with(REFUSED, REFUSED_BY_CLIENT, SILENT_CONTROL)
    assert outcome.verdict == "rejected"
    assert outcome.reasons == {"untrusted"}


INCONCLUSIVE = {
    "text in no table": (replace(REFUSED, words=(UNKNOWN,)), REFUSED_BY_CLIENT, SILENT_CONTROL),
    "a known and an unknown word": (replace(REFUSED, words=(REFUSAL, UNKNOWN)), REFUSED_BY_CLIENT, SILENT_CONTROL),
    "a refused certificate that nobody showed": (REFUSED, Testimony("genuine", (CONTROL,)), SILENT_CONTROL),
    "a refused certificate after a broken handshake": (
        REFUSED,
        Testimony("genuine", (CONTROL,), (BROKEN,)),
        SILENT_CONTROL,
    ),
    "no debug log": (replace(REFUSED, log_missing=True), REFUSED_BY_CLIENT, SILENT_CONTROL),
    "a connection missing on the tap": (DONE, ACCEPTING, SILENT_CONTROL),
    "a connection missing in the testimony": (REFUSED, REFUSED_BY_CLIENT, SILENT),
    "a refusal although everything was done": (replace(DONE, words=(REFUSAL,)), ACCEPTING, SILENT),
    "everything done, yet exit code 1": (replace(DONE, exit_code=1), ACCEPTING, SILENT),
    "the client holds what the server never sent": (
        replace(DONE, tasks=(Task("list", True, False),)),
        replace(ACCEPTING, transfers=()),
        SILENT,
    ),
    "no TLS, says lftp, but AUTH was accepted": (
        replace(REFUSED, words=(NO_TLS,)),
        replace(REFUSED_BY_CLIENT, commands=(Command(1, "AUTH", "TLS", "clear", 234),)),
        SILENT_CONTROL,
    ),
    "handshake failed, says lftp, but none did": (
        replace(REFUSED, words=(NO_HANDSHAKE,)),
        REFUSED_BY_CLIENT,
        SILENT_CONTROL,
    ),
    "login refused, says lftp, but nobody refused one": (
        replace(REFUSED, words=(LOGIN,)),
        REFUSED_BY_CLIENT,
        SILENT_CONTROL,
    ),
    "the password in clear, but not on the tap": (
        replace(REFUSED, words=()),
        replace(REFUSED_BY_CLIENT, credentials=(replace(LET_IN, channel="clear"),)),
        SILENT_CONTROL,
    ),
    "done over clear text that nobody could read": (
        DONE,
        replace(ACCEPTING, credentials=(replace(LET_IN, channel="clear", password="other"),)),
        SILENT,
    ),
    "done without a login": (DONE, replace(ACCEPTING, credentials=()), SILENT),
    "a transfer that the client does not hold and does not explain": (
        replace(DONE, tasks=(Task("list", False, True),)),
        ACCEPTING,
        SILENT,
    ),
}


@pytest.mark.parametrize(("client", "server", "wire"), INCONCLUSIVE.values(), ids=INCONCLUSIVE)
def test_a_contradiction_is_inconclusive_and_says_so(
    client: ClientAccount, server: Testimony, wire: WireAccount
) -> None:
    outcome = conclude_with(client, server, wire)
    assert outcome.verdict == "inconclusive"
    assert outcome.contradictions
    assert all(outcome.contradictions)


def test_a_record_that_is_not_complete_is_inconclusive() -> None:
    assert conclude_with(settled=False).verdict == "inconclusive"


@pytest.mark.parametrize("words", [(), (RETRIES,)])
def test_a_dead_port_is_unreachable_and_never_a_refusal(words: tuple[Word, ...]) -> None:
    client = replace(REFUSED, words=words)
    assert conclude_with(client, Testimony("genuine"), WireAccount((), False, False)).verdict == "unreachable"


def test_a_server_that_never_greets_is_unreachable() -> None:
    mute = replace(CONTROL, greeted=False)
    client = replace(REFUSED, words=(RETRIES,))
    assert conclude_with(client, Testimony("genuine", (mute,)), SILENT_CONTROL).verdict == "unreachable"


def test_a_time_limit_is_hung_even_with_a_refusal_on_the_way() -> None:
    client = replace(REFUSED, timed_out=True, exit_code=None)
    assert conclude_with(client, REFUSED_BY_CLIENT, SILENT_CONTROL).verdict == "hung"


def test_a_signal_is_crashed_even_with_a_refusal_on_the_way() -> None:
    client = replace(REFUSED, signal=11, exit_code=None)
    assert conclude_with(client, REFUSED_BY_CLIENT, SILENT_CONTROL).verdict == "crashed"


def test_a_refused_login_is_login_failed() -> None:
    server = replace(REFUSED_BY_CLIENT, credentials=(replace(LET_IN, accepted=False, password="wrong"),))
    assert conclude_with(replace(REFUSED, words=(LOGIN,)), server, SILENT_CONTROL).verdict == "login-failed"


@pytest.mark.parametrize("words", [(), (ACCESS,), (RETRIES,)])
def test_something_undone_without_a_reason_is_failed(words: tuple[Word, ...]) -> None:
    server = replace(REFUSED_BY_CLIENT, credentials=(LET_IN,))
    assert conclude_with(replace(REFUSED, words=words), server, SILENT_CONTROL).verdict == "failed"


def test_an_exit_code_alone_refuses_nothing() -> None:
    """Exit code 1 without lftp's word is no refusal."""
    assert conclude_with(replace(REFUSED, words=()), REFUSED_BY_CLIENT, SILENT_CONTROL).verdict == "failed"


EXPOSED: dict[str, tuple[ClientAccount, Testimony, WireAccount, set[str], set[str]]] = {
    "password on the wire": (
        REFUSED,
        REFUSED_BY_CLIENT,
        replace(SILENT_CONTROL, password=True),
        {"password"},
        {"wire"},
    ),
    "payload on the wire": (DONE, ACCEPTING, replace(SILENT, payload=True), {"payload"}, {"wire"}),
    "an impostor is told the password": (
        replace(REFUSED, words=()),
        replace(REFUSED_BY_CLIENT, role="impostor", credentials=(LET_IN,)),
        SILENT_CONTROL,
        {"password"},
        {"impostor"},
    ),
    "an impostor's listing is taken": (
        DONE,
        replace(ACCEPTING, role="impostor"),
        SILENT,
        {"password", "payload"},
        {"impostor"},
    ),
    "an upload to an impostor": (
        replace(DONE, holds_payload=False, tasks=(Task("put", None, True),)),
        replace(ACCEPTING, role="impostor", credentials=(), transfers=(UPLOADED,)),
        SILENT,
        {"payload"},
        {"impostor"},
    ),
    "an upload to a stranger on the data channel": (
        replace(DONE, holds_payload=False, tasks=(Task("put", None, True),)),
        replace(ACCEPTING, transfers=(replace(UPLOADED, certificate=STRANGER),)),
        SILENT,
        {"payload"},
        {"impostor"},
    ),
    "an upload to a stranger that was cut short": (
        replace(REFUSED, tasks=(Task("put", None, False),)),
        replace(ACCEPTING, transfers=(replace(UPLOADED, certificate=STRANGER, completed=False, size=1),)),
        SILENT,
        {"payload"},
        {"impostor"},
    ),
    "a hung lftp that had told the password": (
        replace(REFUSED, timed_out=True),
        REFUSED_BY_CLIENT,
        replace(SILENT_CONTROL, password=True),
        {"password"},
        {"wire"},
    ),
    "a crashed lftp that had told the password": (
        replace(REFUSED, signal=6),
        REFUSED_BY_CLIENT,
        replace(SILENT_CONTROL, password=True),
        {"password"},
        {"wire"},
    ),
    "exposed although a witness is doubtful": (
        replace(REFUSED, words=(UNKNOWN,)),
        REFUSED_BY_CLIENT,
        replace(SILENT_CONTROL, password=True),
        {"password"},
        {"wire"},
    ),
}


@pytest.mark.parametrize(("client", "server", "wire", "what", "whom"), EXPOSED.values(), ids=EXPOSED)
def test_exposed_whatever_lftp_printed(
    client: ClientAccount, server: Testimony, wire: WireAccount, what: set[str], whom: set[str]
) -> None:
    outcome = conclude_with(client, server, wire)
    assert outcome.verdict == "exposed"
    assert outcome.exposed == what
    assert outcome.to == whom


def test_a_refused_download_from_a_stranger_reached_nobody() -> None:
    """What a stranger on the data channel sent, and lftp threw away, is a refusal and no exposure."""
    client = replace(REFUSED, words=(REFUSAL,))
    server = replace(ACCEPTING, transfers=(replace(LISTED, certificate=STRANGER, completed=False),))
    assert conclude_with(client, server, SILENT).verdict == "rejected"


def test_an_anonymous_login_has_no_secret_password() -> None:
    """The impostor was told `lftp@`: nothing of value."""
    server = replace(REFUSED_BY_CLIENT, role="impostor", credentials=(replace(LET_IN, password="lftp@"),))
    outcome = conclude_with(replace(REFUSED, words=()), server, SILENT_CONTROL, password="")
    assert outcome.verdict == "failed"


def test_an_impostor_is_never_accepted() -> None:
    """Even when nothing secret passed, a login to an impostor is not what `accepted` means."""
    client = replace(DONE, holds_payload=False, tasks=(Task("cls", True, True),))
    server = replace(ACCEPTING, role="impostor", transfers=())
    assert conclude_with(client, server, SILENT, password="").verdict == "inconclusive"
