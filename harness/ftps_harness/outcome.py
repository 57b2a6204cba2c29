"""Three witnesses to one outcome: what really happened in a step (DESIGN.md 5). Pure.

The client's word alone proves nothing: lftp's exit code hides refusals, its handshake finishes before it verifies, and
a server can put words into its mouth. So each verdict names what client, server and wire must each have seen, and
where they contradict each other the outcome is `inconclusive`, with the contradiction in a sentence.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ftps_harness.messages import Word
    from ftps_harness.scenario import Verdict
    from ftps_lab.testimony import Testimony, Transfer

_NOT_CERTIFICATE = frozenset({"tls-required", "tls-handshake"})
"""Reasons of `rejected` that lftp gives without having looked at a certificate."""


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
        words: What it says of refusals, as `ftps_harness.messages` reads it.
        notes: Its other lines on stderr.
        log_missing: The debug log was asked for and is not there.
        holds_payload: Some of the served content is on its standard output or in its files.
    """

    exit_code: int | None
    signal: int | None
    timed_out: bool
    words: tuple[Word, ...]
    notes: tuple[str, ...]
    tasks: tuple[Task, ...]
    log_missing: bool = False
    holds_payload: bool = False

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
        password: The run's secret password is readable in the raw bytes.
        payload: A listing or a file's content is readable in the raw bytes.
        volumes: How many bytes the tap holds of each of these connections: to the server, to the client.
    """

    connections: tuple[tuple[str, int], ...]
    password: bool
    payload: bool
    volumes: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened, agreed upon by three witnesses, or `inconclusive` with what they contradict each other in."""

    verdict: Verdict
    reasons: frozenset[str] = frozenset()
    exposed: frozenset[str] = frozenset()
    to: frozenset[str] = frozenset()
    message: str = ""
    contradictions: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Situation:
    """What the witnesses are asked about.

    Attributes:
        password: The run's secret password; empty for an anonymous login, which has none.
        certificate: SHA-256 fingerprint of the declared genuine certificate; empty for a plain server.
        settled: The server's record is complete.
        role: Whose server was declared.
        data_certificate: SHA-256 fingerprint of the leaf declared for data connections; empty for the same one.
        sent: SHA-1 fingerprints of all that a handshake with this server shows, for an lftp that names one of these
            when it refuses; empty for one that may name others (OpenSSL builds: the failing one of the chain that was
            built, which may come from the pin's file).
    """

    password: str
    certificate: str
    settled: bool
    role: Literal["genuine", "impostor"] = "genuine"
    data_certificate: str = ""
    sent: frozenset[str] = frozenset()

    @property
    def shown(self) -> frozenset[str]:
        """The leaves that a handshake can show."""
        return frozenset({self.certificate, self.data_certificate} - {""})


def conclude(situation: Situation, client: ClientAccount, server: Testimony, wire: WireAccount) -> Outcome:
    """The outcome of one step.

    Where several verdicts apply: exposed, crashed, hung, inconclusive, then the rest (DESIGN.md 5).
    """
    exposed, to = _exposure(situation, client, server, wire)
    contradictions = tuple(_contradictions(situation, client, server, wire))
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
        if verdict == "inconclusive":
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
    if server.role == "impostor" and situation.password and situation.password in server.passwords:
        found.add(("password", "impostor"))
    if any(_to_impostor(situation, client, server, transfer) for transfer in server.transfers):
        found.add(("payload", "impostor"))
    return frozenset(what for what, _ in found), frozenset(whom for _, whom in found)


def _to_impostor(situation: Situation, client: ClientAccount, server: Testimony, transfer: Transfer) -> bool:
    """Whether content passed between the client and somebody other than the genuine server.

    An upload counts with its first byte. What an impostor offers counts when the client took it: a refused download
    leaves bytes on the way that reached nobody. A certificate that was never declared is the lab's fault, and nobody's.
    """
    stranger = transfer.certificate in situation.shown - {situation.certificate}
    if server.role != "impostor" and not stranger:
        return False
    return transfer.size > 0 and (transfer.direction == "upload" or client.holds_payload)


def _contradictions(situation: Situation, client: ClientAccount, server: Testimony, wire: WireAccount) -> Iterable[str]:
    """Everything in which the witnesses do not agree, a sentence each."""
    yield from _incomplete(situation, client, server, wire)
    yield from _undeclared(situation, client, server)
    yield from _client_against_server(client, server)
    in_clear = any(c.channel == "clear" and c.password == situation.password for c in server.credentials)
    if situation.password and in_clear and not wire.password:
        yield "the server was told the password in clear, but the wire tap does not hold it"
    if any(t.channel == "clear" and t.size for t in server.transfers) and not wire.payload:
        yield "the server transferred content in clear, but the wire tap does not hold it"


def _incomplete(situation: Situation, client: ClientAccount, server: Testimony, wire: WireAccount) -> Iterable[str]:
    """Witnesses that have not seen everything."""
    if not situation.settled:
        yield "a connection was still open when lftp had ended: the server's record is not complete"
    seen: Counter[tuple[str, int]] = Counter((c.kind, c.peer[1]) for c in server.connections)
    tapped: Counter[tuple[str, int]] = Counter(wire.connections)
    if missing := seen - tapped:
        yield f"the wire tap missed connections of the server's testimony: {_ports(missing)}"
    if unknown := tapped - seen:
        yield f"the wire tap holds connections that the server's testimony lacks: {_ports(unknown)}"
    if short := _shorter_than_witnessed(server, wire, broken_off=bool(client.words)) - missing:
        yield f"the wire tap holds fewer bytes than the server witnessed: {_ports(short)}"
    if sum(c.verb == "PASS" for c in server.commands) != len(server.credentials):
        yield "the server's testimony does not hold as many passwords as it holds PASS commands"
    if client.log_missing:
        yield "lftp wrote no debug log, so a refusal that it hides elsewhere would be missed"
    for word in client.words:
        if word.kind == "unknown":
            yield f"lftp says something that is in no dialect's table: {word.text!r}"


def _shorter_than_witnessed(server: Testimony, wire: WireAccount, *, broken_off: bool) -> Counter[tuple[str, int]]:
    """Connections of which the tap cannot hold everything: TLS adds bytes, and takes none away."""
    where = {connection.number: (connection.kind, connection.peer[1]) for connection in server.connections}
    least: Counter[tuple[str, int, str]] = Counter()
    for number, direction, size in _passed(server, broken_off=broken_off):
        if number in where:  # of a connection that the testimony lacks, the tap's list tells
            least[(*where[number], direction)] += size
    held: Counter[tuple[str, int, str]] = Counter()  # summed up: a port may come twice
    for connection, (to_server, to_client) in zip(wire.connections, wire.volumes, strict=False):
        held += Counter({(*connection, "up"): to_server, (*connection, "down"): to_client})
    return Counter({(kind, port) for kind, port, _ in least - held})


def _passed(server: Testimony, *, broken_off: bool) -> Iterable[tuple[int, str, int]]:
    """What the server witnessed: on which connection, in which direction, at least how many bytes.

    What it gave to its TLS for a client that broke the download off may have stayed there.
    """
    yield from ((c.number, "down", int(c.greeted)) for c in server.connections)
    yield from ((h.connection, way, int(h.completed)) for h in server.handshakes for way in ("up", "down"))
    yield from ((c.connection, "up", len(c.verb) + len(c.argument)) for c in server.commands)
    yield from ((c.connection, "up", len(c.password)) for c in server.credentials)
    for transfer in server.transfers:
        if transfer.direction == "upload":
            yield transfer.connection, "up", transfer.size
        elif transfer.completed and not broken_off:
            yield transfer.connection, "down", transfer.size


def _undeclared(situation: Situation, client: ClientAccount, server: Testimony) -> Iterable[str]:
    """Who answered is not who was declared, or lftp refused somebody else."""
    if server.role != situation.role:
        yield f"the server was declared {situation.role}, but its testimony is that of a server of role {server.role}"
    shown = {h.certificate for h in server.handshakes} | {t.certificate for t in server.transfers if t.channel == "tls"}
    if shown - situation.shown:
        yield "the server showed a certificate that was not declared"
    named = {word.fingerprint for word in client.words if word.reasons} - {None}
    if situation.sent and named - situation.sent:
        yield "lftp refused a certificate that this server does not show"


def _client_against_server(client: ClientAccount, server: Testimony) -> Iterable[str]:
    """lftp says one thing, the server's testimony another."""
    yield from _tasks(client)
    finished = any(handshake.completed for handshake in server.handshakes)
    if client.reasons - _NOT_CERTIFICATE and not finished:
        yield "lftp refused a certificate, but the server finished no TLS handshake in which it could have shown one"
    if "tls-required" in client.reasons and any(c.verb == "AUTH" and c.reply == 234 for c in server.commands):
        yield "lftp says that the server offers no TLS, but the server answered AUTH with 234"
    if "tls-required" in client.reasons and not any(c.greeted for c in server.connections):
        yield "lftp says that the server offers no TLS, but the server never greeted it"
    if "tls-handshake" in client.reasons and not any(not h.completed for h in server.handshakes):
        yield "lftp says that the TLS handshake failed, but the server saw none fail"
    if any(word.kind == "login" for word in client.words) and not _login_refused(server):
        yield "lftp says that the login was refused, but the server refused none"


def _tasks(client: ClientAccount) -> Iterable[str]:
    """What was carried out according to one, and not according to the other."""
    for task in client.tasks:
        if task.client is True and not task.server:
            yield f"{task.name}: the client holds the result, but the server witnessed no such transfer"
        elif task.client is False and task.server and not client.words:
            yield f"{task.name}: the server completed the transfer, but the client holds nothing and does not say why"
    if client.tasks and all(task.done for task in client.tasks):
        if client.reasons:
            yield "lftp states a refusal, but everything requested was carried out"
        elif client.exit_code != 0:
            yield f"everything requested was carried out, but lftp ended with exit code {client.exit_code}"


def _login_refused(server: Testimony) -> bool:
    refused_user = any(c.verb in {"USER", "PASS"} and c.reply is not None and c.reply >= 400 for c in server.commands)
    return refused_user or any(not credential.accepted for credential in server.credentials)


def _plain_verdict(situation: Situation, client: ClientAccount, server: Testimony) -> Verdict:
    """The verdict when nothing was exposed and nobody contradicts anybody."""
    done = bool(client.tasks) and all(task.done for task in client.tasks)
    if done and not client.words:
        return "accepted" if _by_tls_with_the_genuine(situation, server) else "inconclusive"
    if client.reasons:
        return "rejected"
    if not any(connection.greeted for connection in server.connections):
        return "unreachable"
    if any(word.kind == "login" for word in client.words):
        return "login-failed"
    return "failed"


def _by_tls_with_the_genuine(situation: Situation, server: Testimony) -> bool:
    """Whether every login that was let in and every byte of content passed in a finished handshake with it."""
    genuine = {h.connection for h in server.handshakes if h.completed and h.certificate == situation.certificate}
    logins = [c.channel == "tls" and c.connection in genuine for c in server.credentials if c.accepted]
    transfers = (
        t.channel == "tls" and t.connection in genuine and t.certificate == situation.certificate
        for t in server.transfers
        if t.size
    )
    return server.role == "genuine" and bool(logins) and all(logins) and all(transfers)


def _ports(connections: Counter[tuple[str, int]]) -> str:
    return ", ".join(f"{kind} from port {port}" for kind, port in sorted(connections))
