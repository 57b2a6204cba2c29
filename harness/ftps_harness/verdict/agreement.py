"""Contradictions between client, server and wire, a sentence each; any of them makes the outcome inconclusive. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ftps_harness.verdict.needles import is_secret
from ftps_lab.attackers import ATTACKS
from ftps_lab.testimony import TRANSFERS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ftps_harness.verdict.observations import ClientAccount, Situation, WireAccount
    from ftps_lab.testimony import Testimony

_FOR_WHO_IS_IN = TRANSFERS | {"PASV", "EPSV", "PORT", "EPRT"}
"""Commands that a server obeys only after a login."""

_NOT_CERTIFICATE = frozenset({"tls-required", "tls-handshake"})
"""Reasons of `rejected` that lftp gives without having examined a certificate."""


def contradictions_of(
    situation: Situation, client: ClientAccount, server: Testimony, wire: WireAccount
) -> Iterable[str]:
    """Every contradiction between the witnesses, a sentence each."""
    yield from _incomplete(situation, client, server, wire)
    yield from _undeclared(situation, client, server)
    yield from _other_attack(situation, server, wire)
    yield from _client_against_server(client, server)
    yield from _relayed(situation, server)
    yield from wire.elsewhere.missing
    for phrase in wire.elsewhere.reached:
        yield f"something connected to {phrase}; that is not this step's server, so what was sent has no witness"
    if any(c.channel == "clear" and is_secret(c) for c in server.credentials) and not wire.password:
        yield "the server received a password in clear, but the wire tap does not have it"
    if any(t.channel == "clear" and t.size and not t.forged for t in server.transfers) and not wire.payload:
        yield "the server transferred content in clear, but the wire tap does not have it"


def led_elsewhere(wire: WireAccount) -> Iterable[str]:
    """Evidence against "nothing was sent elsewhere": lftp tried to reach another server."""
    for phrase in wire.elsewhere.tried:
        yield f"something tried to reach {phrase}; that is not this step's server, but on a real network it could exist"


def _incomplete(situation: Situation, client: ClientAccount, server: Testimony, wire: WireAccount) -> Iterable[str]:
    """Witnesses that have not seen everything."""
    yield from server.discrepancies
    yield from _with_gaps(server)
    if not situation.fresh:
        yield "the server's record had connections before lftp started, so it does not belong to this run alone"
    if not situation.settled:
        yield "a connection was still open after lftp had ended, so the server's record is incomplete"
    seen: Counter[tuple[str, int]] = Counter((c.kind, c.peer[1]) for c in server.connections)
    tapped: Counter[tuple[str, int]] = Counter(wire.connections)
    if missing := seen - tapped:
        yield f"the wire tap missed connections of the server's testimony: {_ports(missing)}"
    if unknown := tapped - seen:
        yield f"the wire tap has connections that the server's testimony lacks: {_ports(unknown)}"
    if short := _shorter_than_witnessed(server, wire, broken_off=client.any_program or bool(client.words)) - missing:
        yield f"the wire tap has fewer bytes than the server witnessed: {_ports(short)}"
    spoken = {c.connection for c in server.commands if c.channel == "tls"}
    silent = {(c.kind, c.peer[1]) for c in server.connections if c.kind == "control" and c.number not in spoken}
    if silent & wire.talks:
        yield "the wire tap has commands in TLS on a connection for which the server's testimony has none"
    yield from _handshakes_on_the_wire(server, wire)
    yield from _lost_password(client, server)
    yield from _of_somebody_else(situation, client, server)
    if client.log_missing:
        yield "lftp wrote no debug log, so a refusal that it hides elsewhere would be missed"
    for word in client.words:
        if word.kind == "unknown":
            yield f"lftp printed a message that no dialect's table has: {word.text!r}"


def _handshakes_on_the_wire(server: Testimony, wire: WireAccount) -> Iterable[str]:
    """Match each TLS handshake that a client started with one in the server's testimony.

    If the server awaits TLS and the client never starts it, the testimony has a failed handshake with a certificate.
    """
    ports = {c.number: (c.kind, c.peer[1]) for c in server.connections if c.kind == "control"}
    witnessed = {ports[h.connection] for h in server.handshakes if h.connection in ports}
    without_certificate = {
        ports[h.connection] for h in server.handshakes if h.connection in ports and not h.certificate
    }
    if lost := (wire.hellos & set(ports.values())) - witnessed:
        yield f"the wire tap has TLS for which the server's testimony has no handshake: {_ports(Counter(lost))}"
    if invented := without_certificate - wire.hellos:
        yield f"the server's testimony has a handshake that the wire tap lacks: {_ports(Counter(invented))}"


def _with_gaps(server: Testimony) -> Iterable[str]:
    """Evidence that may be incomplete, such as a log that lost some lines."""
    known = {connection.number for connection in server.connections}
    mentioned = {handshake.connection for handshake in server.handshakes} | {c.connection for c in server.credentials}
    mentioned |= {command.connection for command in server.commands}
    mentioned |= {number for transfer in server.transfers for number in (transfer.connection, transfer.control)}
    if mentioned - known:
        yield "the server's testimony mentions connections that it does not list"
    if sum(c.verb == "PASS" for c in server.commands) != len(server.credentials):
        yield "the server's testimony has unequal numbers of passwords and PASS commands"
    let_in = {credential.connection for credential in server.credentials if credential.accepted}
    obeyed = {c.connection for c in server.commands if c.verb in _FOR_WHO_IS_IN and c.reply and c.reply < 400}
    if (obeyed | {transfer.control for transfer in server.transfers if transfer.size}) - let_in:
        yield "the server obeyed a client whose login is not in its testimony"


def _lost_password(client: ClientAccount, server: Testimony) -> Iterable[str]:
    """An impostor that may have received a password that its record does not contain.

    lftp's log shows whether it sent one, if it mentions each USER that the impostor received (an rc can silence it).
    That the impostor asked for one says little: with `ftp:sync-mode off` USER is sent before the refusal. If several
    were sent, one may have come too late for the connection: the impostor has it all the same.
    """
    if server.role != "impostor" or any(c.verb == "PASS" for c in server.commands):
        return
    heard = sum(c.verb == "USER" for c in server.commands)
    if "PASS" in client.sent:
        yield "lftp sent a password that is not in an impostor's testimony"
    elif client.sent.count("USER") < heard and any(c.verb == "USER" and c.reply == 331 for c in server.commands):
        yield "an impostor asked for a password, and it is unknown whether it got one"


def _shorter_than_witnessed(server: Testimony, wire: WireAccount, *, broken_off: bool) -> Counter[tuple[str, int]]:
    """Connections of which the tap cannot have everything: TLS adds bytes, and never removes any."""
    where = {connection.number: (connection.kind, connection.peer[1]) for connection in server.connections}
    least: Counter[tuple[str, int, str]] = Counter()
    for number, direction, size in _passed(server, broken_off=broken_off):
        if number in where:  # the tap's list reports connections that the testimony lacks
            least[(*where[number], direction)] += size
    held: Counter[tuple[str, int, str]] = Counter()  # summed: a port may occur twice
    for connection, (to_server, to_client) in zip(wire.connections, wire.volumes, strict=False):
        held += Counter({(*connection, "up"): to_server, (*connection, "down"): to_client})
    return Counter({(kind, port) for kind, port, _ in least - held})


def _passed(server: Testimony, *, broken_off: bool) -> Iterable[tuple[int, str, int]]:
    """What the server witnessed: on which connection, in which direction, at least how many bytes.

    Bytes that it passed to its TLS for a client that aborted the download may never have been sent.
    """
    yield from ((c.number, "down", int(c.greeted)) for c in server.connections)
    yield from ((h.connection, way, int(h.completed)) for h in server.handshakes for way in ("up", "down"))
    yield from ((c.connection, "up", len(c.verb) + len(c.argument)) for c in server.commands)
    yield from ((c.connection, "up", len(c.password or "")) for c in server.credentials)
    for transfer in server.transfers:
        if transfer.direction == "upload":
            yield transfer.connection, "up", transfer.size
        elif transfer.completed and not broken_off:
            yield transfer.connection, "down", transfer.size


def _undeclared(situation: Situation, client: ClientAccount, server: Testimony) -> Iterable[str]:
    """The server that answered is not the declared one, or lftp refused another server."""
    if server.role != situation.role:
        yield f"the server was declared {situation.role}, but its testimony says {server.role}"
    kinds = {connection.number: connection.kind for connection in server.connections}
    shown = {(kinds.get(h.connection), h.certificate) for h in server.handshakes if h.completed or h.certificate}
    shown |= {(kinds.get(t.connection), t.certificate) for t in server.transfers if t.channel == "tls"}
    if {certificate for _, certificate in shown} - situation.shown:
        yield "the server showed a certificate that was not declared"
    elif any(kind and certificate != situation.shown_on(kind) for kind, certificate in shown):
        yield "the server showed a certificate on a kind of connection for which it was not declared"
    if server.role == "impostor" and any(c.password is None for c in server.credentials):
        yield "an impostor got a password, but its testimony does not say whether it was the secret one"
    named = {word.fingerprint for word in client.words if word.reasons} - {None}
    if situation.sent and named - situation.sent:
        yield "lftp refused a certificate that this server does not show"


def _other_attack(situation: Situation, server: Testimony, wire: WireAccount) -> Iterable[str]:
    """The attacker, or what it did, is not the declared one."""
    attack = ATTACKS.get(situation.attack)
    met = {connection.attack for connection in server.connections if connection.kind == "control"}
    if met - {situation.attack}:
        yield f"the declared attack is {situation.attack}, but the client met {', '.join(sorted(met))}"
    done = {
        connection.number: connection.attack_effect for connection in server.connections if connection.attack_effect
    }
    if strange := set(done.values()) - {situation.effect}:
        effects = ", ".join(sorted(strange))
        yield f"the attack should have had the effect {situation.effect or 'nothing'}, but its effect was {effects}"
    logins = {c.connection for c in server.credentials if c.accepted and c.channel == "tls"}
    if attack is not None and not attack.after_login and logins - done.keys():
        yield f"a login in TLS bypassed the attack {situation.attack}, which should have come first"
    only = attack.behind_auth.get(situation.effect) if attack is not None else None
    if wrong := wire.behind_auth - ({only} if only else {"tls", "alert", "nothing"}):
        yield f"after the reply that accepts AUTH, the wire tap has {', '.join(sorted(wrong))}, not {only or 'TLS'}"
    if attack is not None and attack.hides_auth and wire.lists_auth:
        yield "the attacker denies TLS, but the wire tap has a FEAT reply that lists AUTH"


def unexplained(situation: Situation, client: ClientAccount, server: Testimony) -> Iterable[str]:
    """Contradictions only if nothing was exposed: an upload may be complete before lftp refuses."""
    if client.reasons and _all_done(client):
        yield "lftp reported a refusal, but every request was carried out"
    yield from client.unproved
    yield from client.cut
    if client.may_hide and not client.holds_payload and _offered_by_a_stranger(situation, server):
        yield (
            "an impostor sent content, and lftp may have put it where the lab does not look: a command writes outside "
            "HOME or runs a program"
        )
    for complaint in client.complaints:
        if complaint.kind == "unknown":
            yield f"lftp printed a message that the table of complaints lacks: {complaint.text!r}"
    yield from _nobody_attacked(situation, client, server)
    if not client.any_program and _with_and_without_tls(server):
        yield "one login used AUTH, and another one was in clear without it: a single lftp does only one of these"


def _with_and_without_tls(server: Testimony) -> bool:
    """Whether a server that accepts AUTH received it on one connection, and not at all on another.

    lftp can log in without AUTH (``ftp:ssl-allow no``), but then does so each time: one of the two connections belongs
    to another program, or to a command that sets it differently.
    """
    agreed = {c.connection for c in server.commands if c.verb == "AUTH" and c.reply == 234}
    asked = {c.connection for c in server.commands if c.verb == "AUTH"}
    in_clear = {c.connection for c in server.commands if c.verb == "USER" and c.channel == "clear"}
    return bool(agreed and in_clear - asked)


def _offered_by_a_stranger(situation: Situation, server: Testimony) -> bool:
    """Whether a listing or file came from a server other than the genuine one."""
    return any(
        transfer.direction == "download"
        and transfer.size
        and not transfer.forged
        and (server.role == "impostor" or transfer.certificate in situation.shown - {situation.certificate})
        for transfer in server.transfers
    )


def _of_somebody_else(situation: Situation, client: ClientAccount, server: Testimony) -> Iterable[str]:
    """Connections that are not lftp's: another program's, or one that an earlier step left running."""
    logged = client.connects.count(situation.port)
    if client.connects and situation.port:
        met = sum(connection.kind == "control" for connection in server.connections)
        if met > logged:
            yield f"the server had {met} control connections, but lftp's debug log has only {logged} to it"


def unproved(server: Testimony) -> Iterable[str]:
    """Missing proof for an exposure to an impostor: a handshake for all data in TLS, which `accepted` needs too."""
    finished = {handshake.connection for handshake in server.handshakes if handshake.completed}
    logins = {credential.connection for credential in server.credentials if credential.channel == "tls"}
    transfers = {transfer.connection for transfer in server.transfers if transfer.channel == "tls"}
    if (logins | transfers) - finished:
        yield "data passed in TLS on a connection for which the server's testimony has no completed handshake"


def _nobody_attacked(situation: Situation, client: ClientAccount, server: Testimony) -> Iterable[str]:
    """The attacker had no effect, although lftp reached the point where it should have had one."""
    attack = ATTACKS.get(situation.attack)
    if attack is None or any(connection.attack_effect for connection in server.connections):
        return
    login_refused = any(word.kind == "login" for word in client.words)
    before = attack.after_login and (login_refused or client.reasons - _NOT_CERTIFICATE)
    if any(connection.greeted for connection in server.connections) and not before:
        yield f"the attack {situation.attack} was declared but never carried out, so this run proves nothing"


def _relayed(situation: Situation, server: Testimony) -> Iterable[str]:
    """An attacker in the middle must pass on the genuine server's transfers byte for byte, in both directions."""
    if (server.behind is not None) is not situation.in_the_middle:
        yield "an attacker in the middle requires testimony from the genuine server behind it, and vice versa"
    if server.behind is None:
        return
    behind = Counter(_passed_on(server.behind))
    if Counter(_passed_on(server)) - behind:
        yield "the attacker and the genuine server behind it report different transfers"
    if Counter(_with_content(server.behind)) - Counter(_with_content(server)):
        yield "the genuine server behind the attacker reports transfers that the attacker does not"
    received = [credential.password for credential in server.behind.credentials]
    if any(c.accepted and c.password not in received for c in server.credentials):
        yield "the attacker let a client log in whose password the genuine server behind it never received"


def _passed_on(account: Testimony) -> Iterable[tuple[str, int, str]]:
    return ((t.verb, t.size, t.sha256) for t in account.transfers if t.completed)


def _with_content(account: Testimony) -> Iterable[str]:
    return (t.verb for t in account.transfers if t.size)


def _client_against_server(client: ClientAccount, server: Testimony) -> Iterable[str]:
    """lftp and the server's testimony contradict each other."""
    yield from _tasks(client)
    begun = sum(c.verb in TRANSFERS and (c.reply is None or c.reply < 200) for c in server.commands)
    if _all_done(client) and not client.words and begun > len(server.transfers):
        yield "every request was carried out, but the server began transfers that are not in its testimony"
    finished = any(handshake.completed for handshake in server.handshakes)
    if client.reasons - _NOT_CERTIFICATE and not finished:
        yield "lftp refused a certificate, but the server completed no TLS handshake in which it could have shown one"
    if "tls-required" in client.reasons and any(c.verb == "AUTH" and c.reply == 234 for c in server.commands):
        yield "lftp says that the server offers no TLS, but the server answered AUTH with 234"
    if "tls-required" in client.reasons and not any(c.greeted for c in server.connections):
        yield "lftp says that the server offers no TLS, but the server never greeted it"
    failed = any(not handshake.completed for handshake in server.handshakes)
    in_clear = any(transfer.channel == "clear" for transfer in server.transfers)  # if lftp requires TLS, it fails too
    if "tls-handshake" in client.reasons and not failed and not in_clear:
        yield "lftp says that the TLS handshake failed, but the server saw no failed handshake"
    if any(word.kind == "login" for word in client.words) and not _login_refused(server):
        yield "lftp says that the login was refused, but the server refused no login"


def _tasks(client: ClientAccount) -> Iterable[str]:
    """Tasks that one side reports as done and the other does not."""
    for task in client.tasks:
        if task.client is True and not task.server:
            yield f"{task.name}: the client has the result, but the server witnessed no such transfer"
        elif task.client is False and task.server and not client.words:
            yield f"{task.name}: the server completed the transfer, but the client has nothing and does not say why"
    if _all_done(client) and not client.reasons and client.exit_code != 0:
        yield f"every request was carried out, but lftp ended with exit code {client.exit_code}"


def _all_done(client: ClientAccount) -> bool:
    return bool(client.tasks) and all(task.done for task in client.tasks)


def _login_refused(server: Testimony) -> bool:
    """Only a 4xx or 5xx reply is a refusal; a lost reply proves nothing."""
    return any(c.verb in {"USER", "PASS"} and c.reply is not None and c.reply >= 400 for c in server.commands)


def _ports(connections: Counter[tuple[str, int]]) -> str:
    return ", ".join(f"{kind} from port {port}" for kind, port in sorted(connections))
