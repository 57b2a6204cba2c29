"""Check a server's claims against the wire, lftp's log and the server's disk: a sentence for each false claim. Pure.

A testimony is the server's own claim. The wire shows which certificate it presented; in TLS 1.3 that takes the secrets
that the tap of the lab's own servers has. lftp's log names the certificates in which lftp found a problem; the right
password and the files on disk are known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftps_harness.verdict.needles import is_secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ftps_harness.verdict.observations import ClientAccount, Situation, WireAccount
    from ftps_lab.testimony import Connection, Testimony

_SELF_RECORDED = ("server",)
"""Sources of a testimony whose wire tap belongs to the server itself and has the secrets of its TLS."""


def false_claims(situation: Situation, client: ClientAccount, server: Testimony, wire: WireAccount) -> Iterator[str]:
    """Every claim of a server about itself that is false."""
    yield from dict.fromkeys(_certificates(server, wire))
    yield from _named(situation, client)
    yield from _logins(situation, server)
    yield from situation.not_kept


def _certificates(server: Testimony, wire: WireAccount) -> Iterator[str]:
    """The leaf of each connection must be the one on the wire."""
    on_wire: dict[tuple[str, int], set[str | None]] = {}
    for place, leaf in zip(wire.connections, wire.leaves, strict=False):
        on_wire.setdefault(place, set()).add(leaf)
    connections = {connection.number: connection for connection in server.connections}
    for handshake in server.handshakes:
        connection = connections.get(handshake.connection)
        leaves = on_wire.get(_place(connection)) if connection else None
        if connection is None or leaves is None:
            continue  # another rule reports these
        where = f"{connection.kind} from port {connection.peer[1]}"
        if leaves - {"", None} and handshake.certificate not in leaves:
            yield f"{where}: the server's testimony names one certificate, but the wire has another one"
        elif handshake.completed and leaves == {None} and server.sources == _SELF_RECORDED:
            yield f"{where}: the wire does not reveal which certificate the server showed"
        elif handshake.completed and leaves == {""} and connection.kind == "control":
            # A data connection may resume the session of its control connection, without a certificate.
            yield f"{where}: the server's testimony has a completed handshake, but the wire has no certificate"
    yield from _unwitnessed(server, on_wire)


def _unwitnessed(server: Testimony, on_wire: dict[tuple[str, int], set[str | None]]) -> Iterator[str]:
    """Certificates on connections for which the testimony has no handshake at all."""
    shaken = {handshake.connection for handshake in server.handshakes}
    for connection in server.connections:
        if connection.number not in shaken and on_wire.get(_place(connection), set()) - {"", None}:
            where = f"{connection.kind} from port {connection.peer[1]}"
            yield f"{where}: the wire has a certificate, but the server's testimony has no handshake"


def _named(situation: Situation, client: ClientAccount) -> Iterator[str]:
    """Certificates that lftp accepted despite a problem; refused ones are compared elsewhere."""
    refused = {word.fingerprint for word in client.words}
    if situation.sent and client.named - situation.sent - refused:
        yield "lftp's debug log names a certificate that this server does not show"


def _logins(situation: Situation, server: Testimony) -> Iterator[str]:
    """Only the right user name and password may log in; an anonymous login has no password (RFC 1635)."""
    accounts: Iterable[Testimony] = filter(None, (server, server.behind))
    let_in = [c for account in accounts for c in account.credentials if c.accepted and is_secret(c)]
    if situation.password and any(c.password != situation.password for c in let_in):
        yield "the server accepted a login with a wrong password"
    if situation.user and any(c.user != situation.user for c in let_in):
        yield "the server accepted a login of a user that it does not have"


def _place(connection: Connection) -> tuple[str, int]:
    return connection.kind, connection.peer[1]
