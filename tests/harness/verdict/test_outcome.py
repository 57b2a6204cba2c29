"""One outcome from three witnesses: each verdict needs all of them, and each lie by one of them is noticed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ftps_harness.client.messages import Word
from ftps_harness.verdict.needles import Passwords
from ftps_harness.verdict.observations import ClientAccount, Outcome, Situation, Task, WireAccount
from ftps_harness.verdict.outcome import conclude
from ftps_lab.testimony import TLS_IN_CLEAR, Command, Connection, Credential, Handshake, Testimony, Transfer

PASSWORD = "pass-secret"
PASSWORDS = Passwords.of([PASSWORD])
GENUINE = "AA:AA"
STRANGER = "BB:BB"
PEER = ("127.0.0.1", 40001)
DATA_PEER = ("127.0.0.1", 40002)

BUT_NOT_BY_TLS = "but not by a login and transfers over TLS to the genuine server"

REFUSAL = Word("ls: Fatal error: Certificate verification: Not trusted", frozenset({"untrusted"}), "reason", "DD:DD")
UNKNOWN = Word("ls: Fatal error: the moon is full", frozenset(), "unknown")
LOGIN = Word("ls: Login failed: 530 Login incorrect.", frozenset(), "login")
NO_TLS = Word("ls: Login failed: ftp:ssl-force is set …", frozenset({"tls-required"}), "reason")
NO_HANDSHAKE = Word("ls: Fatal error: gnutls_handshake: …", frozenset({"tls-handshake"}), "reason")
RETRIES = Word("ls: Fatal error: max-retries exceeded", frozenset(), "retries")
ACCESS = Word("get: Access failed: 550 no", frozenset(), "access")

CONTROL = Connection(1, "control", PEER, 0.0, greeted=True)
DATA = Connection(2, "data", DATA_PEER, 0.1)
SHAKEN = Handshake(1, True, "TLSv1.3", "TLS_AES_256_GCM_SHA384", "localhost", GENUINE)
SHAKEN_DATA = replace(SHAKEN, connection=2)
BROKEN = Handshake(1, False, "", "", None, GENUINE, "alert")
LISTED = Transfer(2, 1, "LIST", "", "download", 100, "0" * 64, "tls", GENUINE, True)
UPLOADED = Transfer(2, 1, "STOR", "x", "upload", 100, "1" * 64, "tls", GENUINE, True)
LET_IN = Credential(1, "user", PASSWORD, "tls", True)
PASS = Command(1, "PASS", "", "tls", 230)

SITUATION = Situation(PASSWORDS, GENUINE, settled=True, sent=frozenset({"DD:DD"}))
DONE = ClientAccount(0, None, False, (), (), (Task("list", True, True),), holds_payload=True)
REFUSED = ClientAccount(1, None, False, (REFUSAL,), (), (Task("list", False, False),))
ACCEPTING = Testimony("genuine", (CONTROL, DATA), (SHAKEN, SHAKEN_DATA), (), (PASS,), (LET_IN,), (LISTED,))
REFUSED_BY_CLIENT = Testimony("genuine", (CONTROL,), (SHAKEN,))
MUCH = (5000, 5000)
SILENT = WireAccount((("control", PEER[1]), ("data", DATA_PEER[1])), False, False, (MUCH, MUCH))
SILENT_CONTROL = WireAccount((("control", PEER[1]),), False, False, (MUCH,))


def conclude_with(
    client: ClientAccount = DONE,
    server: Testimony = ACCEPTING,
    wire: WireAccount = SILENT,
    **situation: Any,
) -> Outcome:
    return conclude(replace(SITUATION, **situation), client, server, wire)


def test_accepted_if_all_three_witnesses_agree() -> None:
    assert conclude_with().verdict == "accepted"


def test_rejected_if_lftp_gives_a_reason_and_the_server_a_certificate() -> None:
    outcome = conclude_with(REFUSED, REFUSED_BY_CLIENT, SILENT_CONTROL)
    assert outcome.verdict == "rejected"
    assert outcome.reasons == {"untrusted"}


INCONCLUSIVE: dict[str, tuple[ClientAccount, Testimony, WireAccount, str]] = {
    "an unknown message": (
        replace(REFUSED, words=(UNKNOWN,)),
        REFUSED_BY_CLIENT,
        SILENT_CONTROL,
        "that no dialect's table has: 'ls: Fatal error: the moon is full'",
    ),
    "a known and an unknown message": (
        replace(REFUSED, words=(REFUSAL, UNKNOWN)),
        REFUSED_BY_CLIENT,
        SILENT_CONTROL,
        "that no dialect's table has: 'ls: Fatal error: the moon is full'",
    ),
    "a refused certificate without a handshake": (
        REFUSED,
        Testimony("genuine", (CONTROL,)),
        SILENT_CONTROL,
        "completed no TLS handshake",
    ),
    "a refused certificate after a broken handshake": (
        REFUSED,
        Testimony("genuine", (CONTROL,), (BROKEN,)),
        SILENT_CONTROL,
        "completed no TLS handshake",
    ),
    "a refused certificate that this server does not show": (
        replace(REFUSED, words=(replace(REFUSAL, fingerprint="CC:CC"),)),
        REFUSED_BY_CLIENT,
        SILENT_CONTROL,
        "lftp refused a certificate that this server does not show",
    ),
    "a certificate that was not declared": (
        REFUSED,
        replace(REFUSED_BY_CLIENT, handshakes=(replace(SHAKEN, certificate=STRANGER),)),
        SILENT_CONTROL,
        "showed a certificate that was not declared",
    ),
    "an impostor where the genuine server was declared": (
        REFUSED,
        replace(REFUSED_BY_CLIENT, role="impostor"),
        SILENT_CONTROL,
        "declared genuine, but its testimony says impostor",
    ),
    "no debug log": (replace(REFUSED, log_missing=True), REFUSED_BY_CLIENT, SILENT_CONTROL, "no debug log"),
    "a connection missing on the tap": (
        DONE,
        ACCEPTING,
        SILENT_CONTROL,
        "the wire tap missed connections of the server's testimony: data from port 40002",
    ),
    "a connection missing in the testimony": (
        REFUSED,
        REFUSED_BY_CLIENT,
        SILENT,
        "the wire tap has connections that the server's testimony lacks: data from port 40002",
    ),
    "a tap that recorded no bytes": (
        REFUSED,
        REFUSED_BY_CLIENT,
        replace(SILENT_CONTROL, volumes=((0, 0),)),
        "fewer bytes than the server witnessed: control from port 40001",
    ),
    "a tap that recorded one direction": (
        DONE,
        ACCEPTING,
        replace(SILENT, volumes=(MUCH, (5000, 0))),
        "fewer bytes than the server witnessed: data from port 40002",
    ),
    "a tap that lost a part of a download": (
        DONE,
        ACCEPTING,
        replace(SILENT, volumes=(MUCH, (5000, LISTED.size - 1))),
        "fewer bytes than the server witnessed: data from port 40002",
    ),
    "a tap that lost a part of an upload": (
        replace(DONE, holds_payload=False, tasks=(Task("put", None, True),)),
        replace(ACCEPTING, transfers=(UPLOADED,)),
        replace(SILENT, volumes=(MUCH, (UPLOADED.size - 1, 5000))),
        "fewer bytes than the server witnessed: data from port 40002",
    ),
    "a tap that lost the password's bytes": (
        DONE,
        ACCEPTING,
        replace(SILENT, volumes=((len("PASS" + PASSWORD) - 1, 5000), MUCH)),
        "fewer bytes than the server witnessed: control from port 40001",
    ),
    "a refusal although every task was done": (
        replace(DONE, words=(REFUSAL,)),
        ACCEPTING,
        SILENT,
        "lftp reported a refusal, but every request was carried out",
    ),
    "every task done, but exit code 1": (replace(DONE, exit_code=1), ACCEPTING, SILENT, "ended with exit code 1"),
    "content that the server never sent": (
        replace(DONE, tasks=(Task("list", True, False),)),
        replace(ACCEPTING, transfers=()),
        SILENT,
        "the server witnessed no such transfer",
    ),
    "lftp reports no TLS, but AUTH was accepted": (
        replace(REFUSED, words=(NO_TLS,)),
        replace(REFUSED_BY_CLIENT, commands=(Command(1, "AUTH", "TLS", "clear", 234),)),
        SILENT_CONTROL,
        "answered AUTH with 234",
    ),
    "lftp reports no TLS, but no server greeted it": (
        replace(REFUSED, words=(NO_TLS,)),
        Testimony("genuine", (replace(CONTROL, greeted=False),)),
        SILENT_CONTROL,
        "never greeted",
    ),
    "lftp reports no TLS, but never connected": (
        replace(REFUSED, words=(NO_TLS,)),
        Testimony("genuine"),
        WireAccount((), password=False, payload=False),
        "never greeted",
    ),
    "lftp reports a failed handshake, but none failed": (
        replace(REFUSED, words=(NO_HANDSHAKE,)),
        REFUSED_BY_CLIENT,
        SILENT_CONTROL,
        "the server saw no failed handshake",
    ),
    "lftp reports a refused login, but the server refused none": (
        replace(REFUSED, words=(LOGIN,)),
        REFUSED_BY_CLIENT,
        SILENT_CONTROL,
        "the server refused no login",
    ),
    "a password command without its password": (
        REFUSED,
        replace(REFUSED_BY_CLIENT, commands=(PASS,)),
        SILENT_CONTROL,
        "unequal numbers of passwords",
    ),
    "a password without its command": (
        REFUSED,
        replace(REFUSED_BY_CLIENT, credentials=(LET_IN,)),
        SILENT_CONTROL,
        "unequal numbers of passwords",
    ),
    "the password in clear, but not on the tap": (
        replace(REFUSED, words=()),
        replace(REFUSED_BY_CLIENT, commands=(PASS,), credentials=(replace(LET_IN, channel="clear"),)),
        SILENT_CONTROL,
        "a password in clear, but the wire tap does not have it",
    ),
    "content in clear, but not on the tap": (
        DONE,
        replace(ACCEPTING, transfers=(replace(LISTED, channel="clear", certificate=""),)),
        SILENT,
        "content in clear, but the wire tap does not have it",
    ),
    "every task done over a clear anonymous login": (
        DONE,
        replace(ACCEPTING, credentials=(replace(LET_IN, channel="clear", user="anonymous", password="me@home"),)),
        SILENT,
        BUT_NOT_BY_TLS,
    ),
    "every task done without a login": (
        DONE,
        replace(ACCEPTING, commands=(), credentials=()),
        SILENT,
        "obeyed a client whose login is not in its testimony",
    ),
    "a login over TLS without a handshake": (
        DONE,
        replace(ACCEPTING, handshakes=(SHAKEN_DATA,)),
        SILENT,
        BUT_NOT_BY_TLS,
    ),
    "a login over TLS in a handshake that failed": (
        DONE,
        replace(ACCEPTING, handshakes=(replace(BROKEN, error="x"), SHAKEN_DATA)),
        SILENT,
        BUT_NOT_BY_TLS,
    ),
    "a transfer whose certificate differs from that of its handshake": (
        replace(DONE, holds_payload=False),
        replace(ACCEPTING, transfers=(replace(LISTED, certificate=""),)),
        SILENT,
        "showed a certificate that was not declared",
    ),
    "a transfer over TLS without a handshake": (DONE, replace(ACCEPTING, handshakes=(SHAKEN,)), SILENT, BUT_NOT_BY_TLS),
    "a transfer that the client does not hold and does not explain": (
        replace(DONE, tasks=(Task("list", False, True),)),
        ACCEPTING,
        SILENT,
        "the client has nothing and does not say why",
    ),
}


@pytest.mark.parametrize(("client", "server", "wire", "sentence"), INCONCLUSIVE.values(), ids=INCONCLUSIVE)
def test_contradiction_is_inconclusive_and_named(
    client: ClientAccount, server: Testimony, wire: WireAccount, sentence: str
) -> None:
    """In each case, only the fact named in the sentence makes the difference to a verdict."""
    outcome = conclude_with(client, server, wire)
    assert outcome.verdict == "inconclusive"
    assert len(outcome.contradictions) == 1
    assert sentence in outcome.contradictions[0]


def test_download_from_a_stranger_is_not_accepted_even_if_not_stored() -> None:
    """Whatever lftp did with it, content from a stranger is not what `accepted` means."""
    client = replace(DONE, holds_payload=False, tasks=(Task("find > x", True, True),))
    shaken = (SHAKEN, replace(SHAKEN_DATA, certificate=STRANGER))
    server = replace(ACCEPTING, handshakes=shaken, transfers=(replace(LISTED, certificate=STRANGER),))
    assert conclude_with(client, server, SILENT, data_certificate=STRANGER).verdict == "inconclusive"


@pytest.mark.parametrize(
    ("control", "data"),
    [(STRANGER, GENUINE), (STRANGER, STRANGER), (GENUINE, GENUINE)],
    ids=["swapped", "stranger on both", "genuine on both"],
)
def test_certificate_on_another_kind_of_connection_is_inconclusive(control: str, data: str) -> None:
    """A stranger refused on the control connection says nothing about the data connection."""
    sentence = "showed a certificate on a kind of connection for which it was not declared"
    shaken = (replace(SHAKEN, certificate=control), replace(SHAKEN_DATA, certificate=data))
    for client in (REFUSED, DONE):
        for server in (replace(ACCEPTING, handshakes=shaken, transfers=()), replace(ACCEPTING, handshakes=shaken[:1])):
            outcome = conclude_with(client, server, SILENT, data_certificate=STRANGER)
            assert outcome.verdict == "inconclusive"
            assert [sentence in said for said in outcome.contradictions].count(True) == 1
    declared = (SHAKEN, replace(SHAKEN_DATA, certificate=STRANGER))
    server = replace(ACCEPTING, handshakes=declared, transfers=())
    assert conclude_with(REFUSED, server, SILENT, data_certificate=STRANGER).verdict == "rejected"


def only_contradiction(client: ClientAccount, server: Testimony, wire: WireAccount, **situation: Any) -> str:
    """The only contradiction of an outcome that would have another verdict without it."""
    outcome = conclude_with(client, server, wire, **situation)
    assert outcome.verdict == "inconclusive"
    (sentence,) = outcome.contradictions
    return sentence


def test_commands_in_tls_on_the_tap_must_be_in_the_testimony() -> None:
    """A record that loses everything inside TLS looks like a client that left, as a refusing client does."""
    wire = replace(SILENT_CONTROL, talks=frozenset({("control", PEER[1])}))
    assert "has commands in TLS on a connection" in only_contradiction(REFUSED, REFUSED_BY_CLIENT, wire)
    heard = replace(REFUSED_BY_CLIENT, commands=(Command(1, "USER", "user", "tls", 331),))
    assert conclude_with(REFUSED, heard, wire).verdict == "rejected"
    in_clear = replace(REFUSED_BY_CLIENT, commands=(Command(1, "AUTH", "TLS", "clear", 234),))
    assert "has commands in TLS on a connection" in only_contradiction(REFUSED, in_clear, wire)


def test_password_sent_to_an_impostor_in_parts_is_exposed() -> None:
    """The parts are in several commands of one connection, in order; two connections do not make one text."""
    parts = tuple(Command(1, "SITE", part, "tls", 502) for part in ("pass-", "sec", "ret"))
    server = replace(REFUSED_BY_CLIENT, role="impostor", commands=parts)
    assert conclude_with(REFUSED, server, SILENT_CONTROL, role="impostor").exposed == {"password"}
    apart = (parts[0], replace(parts[1], connection=2), parts[2])
    server = replace(server, commands=apart)
    assert conclude_with(REFUSED, server, SILENT_CONTROL, role="impostor").exposed == frozenset()


def test_empty_password_sent_to_an_impostor_is_not_exposed() -> None:
    asked = (Command(1, "USER", "user", "tls", 331),)
    told = (replace(LET_IN, password="", accepted=False),)
    server = replace(REFUSED_BY_CLIENT, role="impostor", commands=(*asked, replace(PASS, reply=530)), credentials=told)
    assert conclude_with(REFUSED, server, SILENT_CONTROL, role="impostor").verdict == "rejected"


@pytest.mark.parametrize("verb", ["LIST", "NLST", "MLSD", "RETR", "STOR", "APPE", "STOU"])
@pytest.mark.parametrize("reply", [None, 125, 150])
def test_transfer_that_began_but_is_not_in_the_testimony_is_doubted(verb: str, reply: int | None) -> None:
    """A missing transfer may have gone in clear or with another certificate, although every request was carried out."""
    begun = (PASS, Command(1, "LIST", "", "tls", 125), Command(1, verb, "x", "tls", reply))
    assert "began transfers that are not in its testimony" in only_contradiction(
        DONE, replace(ACCEPTING, commands=begun), SILENT
    )
    refused = (*begun[:2], replace(begun[2], reply=550))
    assert conclude_with(DONE, replace(ACCEPTING, commands=refused), SILENT).verdict == "accepted"


@pytest.mark.parametrize(
    "verb", ["LIST", "NLST", "MLSD", "RETR", "STOR", "APPE", "STOU", "PASV", "EPSV", "PORT", "EPRT"]
)
def test_command_obeyed_without_a_login_is_inconclusive(verb: str) -> None:
    """The missing login may have been in clear, or with the secret password."""
    server = replace(REFUSED_BY_CLIENT, commands=(Command(1, verb, "", "tls", 227),))
    assert "whose login is not in its testimony" in only_contradiction(REFUSED, server, SILENT_CONTROL)
    turned_away = replace(server, commands=(Command(1, verb, "", "tls", 530),))
    assert conclude_with(REFUSED, turned_away, SILENT_CONTROL).verdict == "rejected"


@pytest.mark.parametrize(
    ("verb", "reply", "refuses"),
    [
        ("PASS", 530, True),
        ("USER", 530, True),
        ("PASS", 421, True),
        ("PASS", None, False),
        ("PASS", 230, False),
        ("USER", 331, False),
        ("FEAT", 500, False),
        ("RETR", 550, False),
    ],
)
def test_login_failed_requires_a_refusing_reply_to_the_login(verb: str, reply: int | None, refuses: bool) -> None:
    """Only such a reply is the server's refusal, whatever lftp prints."""
    client = replace(DONE, exit_code=1, words=(LOGIN,), tasks=(Task("list", False, False),))
    told = (replace(LET_IN, accepted=reply == 230),) if verb == "PASS" else ()
    server = replace(REFUSED_BY_CLIENT, commands=(Command(1, verb, "", "tls", reply),), credentials=told)
    if refuses:
        assert conclude_with(client, server, SILENT_CONTROL).verdict == "login-failed"
    else:
        assert "but the server refused no login" in only_contradiction(client, server, SILENT_CONTROL)


@pytest.mark.parametrize(
    "more",
    [
        {"handshakes": (SHAKEN, replace(SHAKEN, connection=9))},
        {"commands": (Command(9, "NOOP", "", "tls", 200),)},
        {"commands": (PASS,), "credentials": (replace(LET_IN, connection=9, accepted=False),)},
        {"transfers": (replace(LISTED, connection=9, size=0),)},
        {"transfers": (replace(LISTED, control=9, size=0),)},
    ],
    ids=["handshake", "command", "password", "data connection", "control connection"],
)
def test_event_on_an_unlisted_connection_is_inconclusive(more: dict[str, Any]) -> None:
    """The unlisted connection may be in clear."""
    server = replace(REFUSED_BY_CLIENT, connections=(CONTROL, DATA), **more)
    assert "connections that it does not list" in only_contradiction(REFUSED, server, SILENT)


@pytest.mark.parametrize("first", [True, False])
def test_one_login_or_transfer_outside_tls_prevents_acceptance(first: bool) -> None:
    """The order does not matter; the wire shows no sign of an anonymous login."""
    third = replace(CONTROL, number=3, peer=("127.0.0.1", PEER[1] + 7))
    wire = replace(
        SILENT, connections=(*SILENT.connections, ("control", third.peer[1])), volumes=(*SILENT.volumes, MUCH)
    )
    in_clear = replace(LET_IN, connection=3, channel="clear", password="lftp@")
    logins = (LET_IN, in_clear) if first else (in_clear, LET_IN)
    both = (PASS, Command(3, "PASS", "", "clear", 230))
    server = replace(ACCEPTING, connections=(CONTROL, DATA, third), credentials=logins, commands=both)
    assert "not by a login and transfers over TLS" in only_contradiction(DONE, server, wire)
    stranger = replace(DATA, number=3, peer=third.peer)
    shaken = (SHAKEN, SHAKEN_DATA, replace(SHAKEN_DATA, connection=3, completed=False))
    half = replace(LISTED, connection=3)
    transfers = (LISTED, half) if first else (half, LISTED)
    server = replace(ACCEPTING, connections=(CONTROL, DATA, stranger), handshakes=shaken, transfers=transfers)
    wire = replace(wire, connections=(*SILENT.connections, ("data", third.peer[1])))
    assert "not by a login and transfers over TLS" in only_contradiction(DONE, server, wire)


def test_tap_without_the_bytes_of_greeting_or_handshake_is_doubted() -> None:
    """A tap that recorded nothing does not prove silence."""
    deaf = replace(SILENT_CONTROL, volumes=((100, 0),))
    greeted = replace(REFUSED_BY_CLIENT, handshakes=())
    silent = replace(REFUSED, words=(), tasks=(Task("list", False, False),))
    assert "fewer bytes" in only_contradiction(silent, greeted, deaf)
    assert conclude_with(silent, greeted, replace(deaf, volumes=((0, 30),))).verdict == "failed"
    assert "fewer bytes" in only_contradiction(REFUSED, REFUSED_BY_CLIENT, replace(deaf, volumes=((0, 5000),)))
    shaken = replace(REFUSED_BY_CLIENT, connections=(replace(CONTROL, greeted=False),))
    assert "fewer bytes" in only_contradiction(REFUSED, shaken, deaf)


def test_transfer_with_another_certificate_than_its_handshake_is_doubted() -> None:
    """The server's testimony about one connection contradicts itself."""
    client = replace(DONE, holds_payload=False)
    server = replace(ACCEPTING, transfers=(replace(LISTED, certificate=STRANGER),))
    assert conclude_with(client, server, SILENT, data_certificate=STRANGER).verdict == "inconclusive"


def test_refused_download_may_be_longer_than_its_bytes_on_the_wire() -> None:
    """The server's TLS accepted the data, but the client had already left."""
    wire = replace(SILENT, volumes=(MUCH, (500, LISTED.size - 1)))
    assert conclude_with(REFUSED, replace(ACCEPTING, transfers=(LISTED,)), wire).verdict == "rejected"


def test_fingerprint_is_ignored_if_no_certificate_was_sent() -> None:
    """OpenSSL builds may name a certificate from the pin's file."""
    client = replace(REFUSED, words=(replace(REFUSAL, fingerprint="CC:CC"),))
    assert conclude_with(client, REFUSED_BY_CLIENT, SILENT_CONTROL, sent=frozenset()).verdict == "rejected"


@pytest.mark.parametrize("word", [ACCESS, RETRIES, replace(RETRIES, kind="failure")])
def test_complaint_despite_completed_tasks_is_failed(word: Word) -> None:
    """All known requests were carried out, but something else failed, such as a command of the rc."""
    assert conclude_with(replace(DONE, words=(word,))).verdict == "failed"


def test_unsettled_record_is_inconclusive() -> None:
    assert conclude_with(settled=False).verdict == "inconclusive"


@pytest.mark.parametrize("words", [(), (RETRIES,)])
def test_missing_connection_is_unreachable(words: tuple[Word, ...]) -> None:
    client = replace(REFUSED, words=words)
    assert conclude_with(client, Testimony("genuine"), WireAccount((), False, False)).verdict == "unreachable"


def test_server_that_never_greets_is_unreachable() -> None:
    mute = replace(CONTROL, greeted=False)
    client = replace(REFUSED, words=(RETRIES,))
    assert conclude_with(client, Testimony("genuine", (mute,)), SILENT_CONTROL).verdict == "unreachable"


def test_timeout_is_hung_even_after_a_refusal() -> None:
    client = replace(REFUSED, timed_out=True, exit_code=None)
    assert conclude_with(client, REFUSED_BY_CLIENT, SILENT_CONTROL).verdict == "hung"


def test_signal_is_crashed_even_after_a_refusal() -> None:
    client = replace(REFUSED, signal=11, exit_code=None)
    assert conclude_with(client, REFUSED_BY_CLIENT, SILENT_CONTROL).verdict == "crashed"


def test_refused_login_is_login_failed() -> None:
    wrong = replace(LET_IN, accepted=False, password="wrong")
    server = replace(REFUSED_BY_CLIENT, commands=(replace(PASS, reply=530),), credentials=(wrong,))
    assert conclude_with(replace(REFUSED, words=(LOGIN,)), server, SILENT_CONTROL).verdict == "login-failed"


@pytest.mark.parametrize("words", [(), (ACCESS,), (RETRIES,)])
def test_undone_task_without_a_reason_is_failed(words: tuple[Word, ...]) -> None:
    server = replace(REFUSED_BY_CLIENT, commands=(PASS,), credentials=(LET_IN,))
    assert conclude_with(replace(REFUSED, words=words), server, SILENT_CONTROL).verdict == "failed"


def test_exit_code_alone_is_not_a_rejection() -> None:
    """Without a message of lftp, exit code 1 is not a refusal."""
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
    "an impostor gets the password": (
        replace(REFUSED, words=()),
        replace(REFUSED_BY_CLIENT, role="impostor", credentials=(LET_IN,)),
        SILENT_CONTROL,
        {"password"},
        {"impostor"},
    ),
    "a listing from an impostor": (
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
    "a hung lftp after the password was sent": (
        replace(REFUSED, timed_out=True),
        REFUSED_BY_CLIENT,
        replace(SILENT_CONTROL, password=True),
        {"password"},
        {"wire"},
    ),
    "a crashed lftp after the password was sent": (
        replace(REFUSED, signal=6),
        REFUSED_BY_CLIENT,
        replace(SILENT_CONTROL, password=True),
        {"password"},
        {"wire"},
    ),
    "an exposure despite an unknown message": (
        replace(REFUSED, words=(UNKNOWN,)),
        REFUSED_BY_CLIENT,
        replace(SILENT_CONTROL, password=True),
        {"password"},
        {"wire"},
    ),
}


@pytest.mark.parametrize(("client", "server", "wire", "what", "whom"), EXPOSED.values(), ids=EXPOSED)
def test_exposure_outweighs_what_lftp_printed(
    client: ClientAccount, server: Testimony, wire: WireAccount, what: set[str], whom: set[str]
) -> None:
    outcome = conclude_with(client, server, wire, data_certificate=STRANGER)
    assert outcome.verdict == "exposed"
    assert outcome.exposed == what
    assert outcome.to == whom


def test_undeclared_certificate_is_inconclusive() -> None:
    """If the lab shows the wrong certificate, nothing is known, not even that something was exposed."""
    server = replace(ACCEPTING, transfers=(replace(UPLOADED, certificate=STRANGER),))
    assert conclude_with(DONE, server, SILENT).verdict == "inconclusive"


def test_refused_download_from_a_stranger_is_not_an_exposure() -> None:
    """The stranger on the data channel sent it and lftp discarded it: a refusal, not an exposure."""
    client = replace(REFUSED, words=(REFUSAL,))
    shaken = (SHAKEN, replace(SHAKEN_DATA, certificate=STRANGER))
    cut = replace(LISTED, certificate=STRANGER, completed=False)
    server = replace(ACCEPTING, handshakes=shaken, transfers=(cut,))
    assert conclude_with(client, server, SILENT, data_certificate=STRANGER).verdict == "rejected"


def test_anonymous_password_sent_to_an_impostor_is_not_exposed() -> None:
    """The impostor received `lftp@`, which has no value."""
    told = (replace(LET_IN, password="lftp@"),)
    server = replace(REFUSED_BY_CLIENT, role="impostor", commands=(PASS,), credentials=told)
    outcome = conclude_with(replace(REFUSED, words=()), server, SILENT_CONTROL, role="impostor")
    assert outcome.verdict == "failed"


def test_login_to_an_impostor_is_never_accepted() -> None:
    """A login to an impostor is not what `accepted` means, even if nothing secret passed."""
    client = replace(DONE, holds_payload=False, tasks=(Task("cls", True, True),))
    anonymous = (replace(LET_IN, user="anonymous", password="me@home"),)
    server = replace(ACCEPTING, role="impostor", transfers=(), credentials=anonymous)
    outcome = conclude_with(client, server, SILENT, role="impostor")
    assert outcome.verdict == "inconclusive"
    assert BUT_NOT_BY_TLS in outcome.contradictions[0]


def test_reused_port_is_counted_as_two_connections() -> None:
    """In active mode, lftp may listen on the same port again."""
    again = replace(DATA, number=3)
    server = replace(
        ACCEPTING,
        connections=(CONTROL, DATA, again),
        handshakes=(*ACCEPTING.handshakes, replace(SHAKEN, connection=3)),
        transfers=(replace(LISTED, size=4000), replace(LISTED, connection=3, size=10)),
    )
    data = ("data", DATA_PEER[1])
    wire = replace(SILENT, connections=(*SILENT.connections, data), volumes=(MUCH, (500, 4500), (500, 500)))
    assert conclude_with(DONE, server, wire).verdict == "accepted"
    short = replace(wire, volumes=(MUCH, (500, 3000), (500, 500)))
    assert conclude_with(DONE, server, short).verdict == "inconclusive"


@pytest.mark.parametrize(
    ("sent", "verdict"),
    [
        (("FEAT", "AUTH", "USER"), "rejected"),
        (("FEAT", "AUTH", "USER", "PASS"), "inconclusive"),
        (("FEAT", "AUTH", "PASS"), "inconclusive"),
        (("FEAT", "AUTH"), "inconclusive"),  # silenced after it
        ((), "inconclusive"),
    ],
)
def test_refusal_of_an_impostor_needs_a_log_without_the_password(sent: tuple[str, ...], verdict: str) -> None:
    """The server's 331 proves little: with `ftp:sync-mode off`, USER is sent before lftp refuses."""
    asked = Command(1, "USER", "user", "tls", 331)
    server = replace(REFUSED_BY_CLIENT, role="impostor", commands=(asked,))
    outcome = conclude_with(replace(REFUSED, sent=sent), server, SILENT_CONTROL, role="impostor")
    assert outcome.verdict == verdict
    assert any("password" in each for each in outcome.contradictions) is (verdict == "inconclusive")


@pytest.mark.parametrize(("logged", "verdict"), [(1, "inconclusive"), (2, "rejected")])
def test_log_with_fewer_logins_than_the_server_saw_is_inconclusive(logged: int, verdict: str) -> None:
    asked = (Command(1, "USER", "user", "tls", 331), Command(3, "USER", "user", "tls", 331))
    again = replace(CONTROL, number=3, peer=(PEER[0], PEER[1] + 5))
    server = Testimony("impostor", (CONTROL, again), (SHAKEN, replace(SHAKEN, connection=3)), (), asked)
    wire = WireAccount((("control", PEER[1]), ("control", PEER[1] + 5)), False, False, (MUCH, MUCH))
    client = replace(REFUSED, sent=("USER",) * logged)
    assert conclude_with(client, server, wire, role="impostor").verdict == verdict


def test_late_password_does_not_contradict_an_exposed_one() -> None:
    told = replace(LET_IN, accepted=True)
    server = replace(REFUSED_BY_CLIENT, role="impostor", commands=(PASS,), credentials=(told,))
    outcome = conclude_with(
        replace(REFUSED, sent=("USER", "PASS", "USER", "PASS")), server, SILENT_CONTROL, role="impostor"
    )
    assert (outcome.verdict, outcome.contradictions) == ("exposed", ())


def test_unread_password_for_the_genuine_server_is_still_a_rejection() -> None:
    """The password was meant for the genuine server."""
    assert (
        conclude_with(replace(REFUSED, sent=("USER", "PASS")), REFUSED_BY_CLIENT, SILENT_CONTROL).verdict == "rejected"
    )


def test_unanswered_client_hello_is_rejected_if_server_and_wire_agree() -> None:
    """This is ftps:// against explicit FTPS."""
    begun = Handshake(1, False, "", "", None, "", TLS_IN_CLEAR)
    client = replace(REFUSED, words=(NO_HANDSHAKE,))
    server = Testimony("genuine", (CONTROL,), (begun,))
    wire = replace(SILENT_CONTROL, hellos=frozenset({("control", PEER[1])}))
    assert conclude_with(client, server, wire).verdict == "rejected"
    for doubt, lying, tapped in (
        ("testimony has no handshake", replace(server, handshakes=()), wire),
        ("that the wire tap lacks", server, replace(wire, hellos=frozenset())),
        ("was not declared", replace(server, handshakes=(replace(begun, completed=True),)), wire),
    ):
        outcome = conclude_with(client, lying, tapped)
        assert outcome.verdict == "inconclusive"
        assert doubt in " ".join(outcome.contradictions)
