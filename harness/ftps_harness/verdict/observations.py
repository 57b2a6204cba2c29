"""The observations of a step's witnesses, as data, and the outcome that `outcome` concludes from them. Pure."""

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
    """One requested action, and whether each side has proof that it was done.

    Attributes:
        name: As in `run`: ``list``, ``get``, ``put``, ``mirror``, or the literal command.
        client: The client has proof (a listing with the secret name, a file with the right hash); None if a client
            cannot have it (an upload) or the proof is not known (a literal command).
        server: The server's testimony has a complete transfer with the right hash.
    """

    name: str
    client: bool | None
    server: bool

    @property
    def done(self) -> bool:
        """No witness lacks the proof."""
        return self.server and self.client is not False


@dataclass(frozen=True, slots=True)
class ClientAccount:
    """lftp's observed behaviour.

    Attributes:
        words: Its messages about refusals, as `ftps_harness.client.messages` reads them.
        notes: Its other lines on stderr.
        log_notes: Its complaints that only the debug log has.
        log_missing: The debug log was requested but does not exist.
        sent: The verbs of the commands that it sent, from its debug log.
        holds_payload: Its standard output or files contain some of the served content.
        complaints: Its messages about literal commands that it could not run.
        connects: The ports of its control connections, from its debug log; empty if the log has none.
        cut: Output or log that is too long to be kept whole, a sentence each.
        may_hide: A command writes outside HOME or runs a program, so content may be where the lab does not look.
        unproved: Effects of literal commands that the files on both sides do not confirm, a sentence each.
        tried: It tried to connect, according to its debug log; true if there is no log.
        named: SHA-1 fingerprints of the certificates that its debug log names.
        any_program: It may be any program, so its messages are not interpreted.
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
        """Every reason that lftp gives."""
        return frozenset(reason for word in self.words for reason in word.reasons)

    @property
    def message(self) -> str:
        """lftp's words, each once, in order."""
        return "\n".join(dict.fromkeys(word.text for word in self.words))


@dataclass(frozen=True, slots=True)
class WireAccount:
    """What an on-path attacker could read.

    Attributes:
        connections: Kind and client port of every connection on the tap.
        password: A password is readable in the raw bytes.
        payload: A listing or a file's content is readable in the raw bytes.
        volumes: Number of bytes on the tap for each of these connections: to the server, to the client.
        behind_auth: The server's bytes after its replies that accept AUTH.
        lists_auth: The server announced AUTH in clear text.
        hellos: Kind and client port of the control connections on which the client started TLS.
        talks: Kind and client port of the control connections on which the client sent commands in TLS.
        leaves: The leaf shown on each of these connections, as `ftps_lab.wire.certificates.leaf` reads it.
        elsewhere: The rest of a capture of all traffic, without the server's connections; nothing without a capture.
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
    """What happened, on which the three witnesses agree, or `inconclusive` with their contradictions."""

    verdict: Verdict
    reasons: frozenset[str] = frozenset()
    exposed: frozenset[str] = frozenset()
    to: frozenset[str] = frozenset()
    message: str = ""
    contradictions: tuple[str, ...] = field(default=())

    @property
    def doubtful(self) -> bool:
        """A verdict that takes precedence over `inconclusive`, although the witnesses contradict each other.

        It does not prove what got out, and to whom; nor, for a client that hung or crashed, that nothing did.
        """
        return self.verdict in {"exposed", "hung", "crashed"} and bool(self.contradictions)


@dataclass(frozen=True, slots=True)
class Situation:
    """The facts of a step that the witnesses are judged against.

    Attributes:
        passwords: The run's own, the step's, and every password that a client was seen to send.
        certificate: SHA-256 fingerprint of the declared genuine certificate; empty for a plain server.
        settled: The server's record is complete.
        role: The declared role: the server's own, or that of an attacker that terminates TLS in its place.
        data_certificate: SHA-256 fingerprint of the leaf declared for data connections; empty if it is the same.
        interceptor: SHA-256 fingerprint of the leaf that an interceptor shows in the server's place; empty without one.
        attack: The attacker declared between client and server, or ``none``.
        effect: The effect that it must have on a connection (`ServerSpec.effect`).
        in_the_middle: The declared attacker has the genuine server behind it.
        port: The server's port; 0 if unknown.
        sent: SHA-1 fingerprints of everything that a handshake with this server shows, for an lftp that names one of
            these when it refuses; empty for one that may name others (OpenSSL builds: the failing certificate of the
            chain that was built, which may come from the pin's file).
        fresh: The server's record was empty when lftp started.
        user: The only user that the server must let in; empty for any.
        password: The only valid password; empty for any.
        not_kept: Differences between the server's disk and its testimony, a sentence each.
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
        """The leaves that a handshake may show."""
        return frozenset({self.shown_on("control"), self.shown_on("data")} - {""})

    def shown_on(self, kind: Literal["control", "data"]) -> str:
        """The leaf that belongs on one kind of connection; empty if it does not use TLS."""
        data = self.data_certificate if kind == "data" else ""
        return self.interceptor or data or self.certificate
