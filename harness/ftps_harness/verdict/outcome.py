"""Three witnesses to one outcome: what really happened in a step (docs/reference.md, "Verdicts"). Pure.

The client's word alone proves nothing: lftp's exit code hides refusals, its handshake finishes before it verifies, and
a server can put words into its mouth. So each verdict names what client, server and wire must each have seen, and
where they contradict each other the outcome is `inconclusive`, with the contradiction in a sentence.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from ftps_harness.verdict.agreement import contradictions_of, led_elsewhere, unexplained, unproved
from ftps_harness.verdict.claims import false_claims
from ftps_harness.verdict.needles import is_secret
from ftps_harness.verdict.traffic import NOTHING, Elsewhere

if TYPE_CHECKING:
    from ftps_harness.client.messages import Word
    from ftps_harness.scenario import Verdict
    from ftps_harness.verdict.needles import Passwords
    from ftps_lab.attackers.records import BehindAuth
    from ftps_lab.testimony import Testimony, Transfer

_VOUCHED_FOR = frozenset({"accepted", "rejected"})
"""Verdicts that say that nobody else was told anything."""


@dataclass(frozen=True, slots=True)
class Task:
    """One requested thing, and whether each side holds the proof that it was done.

    Attributes:
        name: As in `run`: ``list``, ``get``, ``put``, ``mirror``, or the literal command.
        client: The client holds it (a listing with the secret name, a file with the right hash); None where a client
            cannot know (an upload) or what it would hold is not known (a literal command).
        server: The server's testimony holds a complete transfer with the right hash.
    """

    name: str
    client: bool | None
    server: bool

    @property
    def done(self) -> bool:
        """No witness misses it."""
        return self.server and self.client is not False


@dataclass(frozen=True, slots=True)
class ClientAccount:
    """What lftp showed.

    Attributes:
        words: What it says of refusals, as `ftps_harness.client.messages` reads it.
        notes: Its other lines on stderr.
        log_notes: What it complains of in its debug log alone.
        log_missing: The debug log was asked for and is not there.
        sent: The verbs of the commands that it sent, by its debug log.
        holds_payload: Some of the served content is on its standard output or in its files.
        complaints: What it says of literal commands that it could not carry out.
        connects: The ports that its control connections went to, by its debug log; empty where that tells of none.
        cut: What of its output or log is too long to be kept whole, a sentence each.
        may_hide: A command writes outside of HOME or runs a program, so what it took may be where nobody looks.
        unproved: What the files on both sides do not bear out of what literal commands did, a sentence each.
        tried: It tried to connect, by its debug log; true where there is none.
        named: SHA-1 fingerprints of the certificates that its debug log names.
    """

    exit_code: int | None
    signal: int | None
    timed_out: bool
    words: tuple[Word, ...]
    notes: tuple[str, ...]
    tasks: tuple[Task, ...]
    log_missing: bool = False
    sent: tuple[str, ...] = ()
    holds_payload: bool = False
    complaints: tuple[Word, ...] = ()
    connects: tuple[int, ...] = ()
    cut: tuple[str, ...] = ()
    may_hide: bool = False
    unproved: tuple[str, ...] = ()
    tried: bool = True
    named: frozenset[str] = frozenset()
    log_notes: tuple[str, ...] = ()

    @property
    def reasons(self) -> frozenset[str]:
        """Every reason that lftp states."""
        return frozenset(reason for word in self.words for reason in word.reasons)

    @property
    def message(self) -> str:
        """lftp's words, each once, in order."""
        return "\n".join(dict.fromkeys(word.text for word in self.words))


@dataclass(frozen=True, slots=True)
class WireAccount:
    """What anybody on the path could read.

    Attributes:
        connections: Kind and client port of every connection on the tap.
        password: A password is readable in the raw bytes.
        payload: A listing or a file's content is readable in the raw bytes.
        volumes: How many bytes the tap holds of each of these connections: to the server, to the client.
        behind_auth: What came from the server behind its consents to AUTH.
        lists_auth: The server said in clear that it has AUTH.
        hellos: Kind and client port of the control connections on which the client began TLS.
        talks: Kind and client port of the control connections on which the client sent commands in TLS.
        leaves: The leaf that was shown on each of these connections, as `ftps_lab.wire.certificates.leaf` reads it.
        elsewhere: What a capture of all traffic holds beside the server's connections; nothing where there is none.
    """

    connections: tuple[tuple[str, int], ...]
    password: bool
    payload: bool
    volumes: tuple[tuple[int, int], ...] = ()
    behind_auth: frozenset[BehindAuth] = frozenset()
    lists_auth: bool = False
    talks: frozenset[tuple[str, int]] = frozenset()
    hellos: frozenset[tuple[str, int]] = frozenset()
    leaves: tuple[str | None, ...] = ()
    elsewhere: Elsewhere = NOTHING


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened, agreed upon by three witnesses, or `inconclusive` with what they contradict each other in."""

    verdict: Verdict
    reasons: frozenset[str] = frozenset()
    exposed: frozenset[str] = frozenset()
    to: frozenset[str] = frozenset()
    message: str = ""
    contradictions: tuple[str, ...] = field(default=())

    @property
    def doubtful(self) -> bool:
        """A verdict that comes before `inconclusive`, though the witnesses contradict each other.

        What got out, and to whom, is not proved then; nor, of a client that hung or died, that nothing did.
        """
        return self.verdict in {"exposed", "hung", "crashed"} and bool(self.contradictions)


@dataclass(frozen=True, slots=True)
class Situation:
    """What the witnesses are asked about.

    Attributes:
        passwords: The run's own, the step's, and every one that a client was seen to send.
        certificate: SHA-256 fingerprint of the declared genuine certificate; empty for a plain server.
        settled: The server's record is complete.
        role: Whose account was declared: the server's own, or that of an attacker who ends TLS in its place.
        data_certificate: SHA-256 fingerprint of the leaf declared for data connections; empty for the same one.
        interceptor: SHA-256 fingerprint of the leaf that an interceptor shows in the server's place; empty without one.
        attack: The attacker that was declared to stand between client and server, or ``none``.
        effect: The effect that it must have on a connection (`ServerSpec.effect`).
        in_the_middle: He was declared to have the genuine server behind him.
        port: Where the server listens; 0 where it is not known.
        sent: SHA-1 fingerprints of all that a handshake with this server shows, for an lftp that names one of these
            when it refuses; empty for one that may name others (OpenSSL builds: the failing one of the chain that was
            built, which may come from the pin's file).
        fresh: The server's record was empty when lftp was started.
        user: The only user that the server is to let in; empty for any.
        password: The only password; empty for any.
        not_kept: In what the server's disk is not what its testimony says, a sentence each.
    """

    passwords: Passwords
    certificate: str
    settled: bool
    role: Literal["genuine", "impostor"] = "genuine"
    data_certificate: str = ""
    interceptor: str = ""
    attack: str = "none"
    effect: str = ""
    in_the_middle: bool = False
    sent: frozenset[str] = frozenset()
    fresh: bool = True
    port: int = 0
    user: str = ""
    password: str = ""
    not_kept: tuple[str, ...] = ()

    @property
    def shown(self) -> frozenset[str]:
        """The leaves that a handshake can show."""
        return frozenset({self.shown_on("control"), self.shown_on("data")} - {""})

    def shown_on(self, kind: Literal["control", "data"]) -> str:
        """The leaf that belongs on one kind of connection; empty where there is no TLS."""
        data = self.data_certificate if kind == "data" else ""
        return self.interceptor or data or self.certificate


def conclude(situation: Situation, client: ClientAccount, server: Testimony, wire: WireAccount) -> Outcome:
    """The outcome of one step.

    Where several verdicts apply: exposed, crashed, hung, inconclusive, then the rest (docs/reference.md,
    "Verdicts").
    """
    exposed, to = _exposure(situation, client, server, wire)
    contradictions = (
        *contradictions_of(situation, client, server, wire),
        *false_claims(situation, client, server, wire),
    )
    contradictions += tuple(unproved(server) if exposed else unexplained(situation, client, server))
    if exposed:
        verdict: Verdict = "exposed"
    elif client.timed_out:
        verdict = "hung"
    elif client.signal is not None:
        verdict = "crashed"
    elif contradictions:
        verdict = "inconclusive"
    else:
        verdict = _plain_verdict(situation, client, server)
        if verdict in _VOUCHED_FOR and (contradictions := tuple(led_elsewhere(wire))):
            verdict = "inconclusive"
        elif verdict == "inconclusive":
            contradictions = (
                "every request was carried out, but not by a login and transfers over TLS to the genuine server",
            )
    return Outcome(
        verdict=verdict,
        reasons=client.reasons if verdict in {"rejected", "exposed", "inconclusive"} else frozenset(),
        exposed=exposed,
        to=to,
        message=client.message,
        contradictions=contradictions,
    )


def _exposure(
    situation: Situation, client: ClientAccount, server: Testimony, wire: WireAccount
) -> tuple[frozenset[str], frozenset[str]]:
    """What reached somebody who must not have it, and whom."""
    found: set[tuple[str, str]] = set()
    if wire.password:
        found.add(("password", "wire"))
    if wire.payload:
        found.add(("payload", "wire"))
    if server.role == "impostor" and _holds_password(situation, server):
        found.add(("password", "impostor"))
    if any(_to_impostor(situation, client, server, transfer) for transfer in server.transfers):
        found.add(("payload", "impostor"))
    return frozenset(what for what, _ in found), frozenset(whom for _, whom in found)


def _holds_password(situation: Situation, server: Testimony) -> bool:
    """Whether an impostor was told a password: by PASS, whichever it is, or in any command, name or content."""
    if any(map(is_secret, server.credentials)):
        return True
    if any(situation.passwords.found_in_upper_case(command.verb.encode()) for command in server.commands):
        return True
    names = [handshake.server_name or "" for handshake in server.handshakes]
    logins = [text or "" for c in server.credentials for text in (c.user, c.password)]
    texts = [*names, *logins, *(command.argument for command in server.commands)]
    contents = [transfer.captured for transfer in server.transfers]
    # A password may come in parts: all arguments of a connection are one text too.
    numbers = {command.connection for command in server.commands}
    texts += ["".join(c.argument for c in server.commands if c.connection == number) for number in numbers]
    return any(map(situation.passwords.found_in, [*(text.encode() for text in texts), *contents]))


def _to_impostor(situation: Situation, client: ClientAccount, server: Testimony, transfer: Transfer) -> bool:
    """Whether content passed between the client and somebody other than the genuine server.

    An upload counts with its first byte, and so does whatever an attacker in the middle holds. What an impostor offers
    counts when the client took it: a refused download leaves bytes on the way that reached nobody. A certificate that
    was never declared is the lab's fault, and nobody's.
    """
    if transfer.captured:
        return True
    if transfer.forged:
        return False
    stranger = transfer.certificate in situation.shown - {situation.certificate}
    if server.role != "impostor" and not stranger:
        return False
    return transfer.size > 0 and (transfer.direction == "upload" or client.holds_payload)


def _plain_verdict(situation: Situation, client: ClientAccount, server: Testimony) -> Verdict:
    """The verdict when nothing was exposed and nobody contradicts anybody."""
    done = bool(client.tasks) and all(task.done for task in client.tasks)
    if done and not client.words:
        return "accepted" if _by_tls_with_the_genuine(situation, server) else "inconclusive"
    if client.reasons:
        return "rejected"
    if _unreachable(client, server):
        return "unreachable"
    if any(word.kind == "login" for word in client.words):
        return "login-failed"
    return "failed"


def _unreachable(client: ClientAccount, server: Testimony) -> bool:
    """Whether a server that lftp was to speak to did not answer: this one, or one that a command names."""
    if any(complaint.kind == "lookup" for complaint in client.complaints):
        return True
    local = any(each.kind == "local" for each in (*client.words, *client.complaints))
    return not any(connection.greeted for connection in server.connections) and (client.tried or not local)


def _by_tls_with_the_genuine(situation: Situation, server: Testimony) -> bool:
    """Whether every login that was let in and every byte of content passed in a finished handshake with it."""
    genuine = {h.connection for h in server.handshakes if h.completed and h.certificate == situation.certificate}
    logins = [c.channel == "tls" and c.connection in genuine for c in server.credentials if c.accepted]
    transfers = (
        t.channel == "tls" and t.connection in genuine and t.certificate == situation.certificate and not t.forged
        for t in server.transfers
        if t.size
    )
    return server.role == "genuine" and bool(logins) and all(logins) and all(transfers)
