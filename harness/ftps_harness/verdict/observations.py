"""What the witnesses of a step hold, as data, and the outcome that `outcome` concludes from it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from ftps_harness.verdict.traffic import NOTHING, Elsewhere

if TYPE_CHECKING:
    from ftps_harness.client.messages import Word
    from ftps_harness.scenario import Verdict
    from ftps_harness.verdict.needles import Passwords
    from ftps_lab.attackers.records import BehindAuth


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
        any_program: It may be any program: nobody reads what it says.
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
    any_program: bool = False

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
