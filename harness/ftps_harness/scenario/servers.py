"""Servers: a step's changes merged into the previous server, and whether the result makes sense."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import msgspec

from ftps_harness.scenario import patterns
from ftps_harness.scenario.explain import explain
from ftps_harness.scenario.model import Server
from ftps_harness.scenario.problems import Problem, dangling, shown
from ftps_harness.scenario.tables import ServerTable
from ftps_lab.attackers import AttackKey, attack_keys
from ftps_lab.conversion import convert

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

NOTHING = ServerTable()
"""A step's server table if it changes nothing."""


def overlaid(table: ServerTable, change: ServerTable | None) -> ServerTable:
    """The table with the keys of the change in place of its own."""
    return table if change is None else msgspec.structs.replace(table, **_given(change))


def completed(table: ServerTable) -> Server:
    """The server that a table describes, completed with defaults, including the data certificate."""
    server = Server(**_given(table))
    if server.data_certificate is None:
        server = msgspec.structs.replace(server, data_certificate=server.certificate)
    return server


class Placed(NamedTuple):
    """A server table of the file.

    Attributes:
        key: Its key in the file.
        written: As written.
        table: With all changes up to it.
    """

    key: str
    written: ServerTable
    table: ServerTable


def check(tables: Iterable[Placed], certificates: Iterable[str]) -> Iterator[Problem]:
    """Problems of the servers, each reported where it first appears.

    Args:
        tables: In the order of the file.
        certificates: The names of the file's certificates.
    """
    names = list(certificates)
    known: set[tuple[str, str]] = set()
    for key, written, table in tables:
        yield from (Problem(f"{key}.{leaf}", sentence) for leaf, sentence in _idle(written, completed(table)))
        faults = list(_faults(completed(table), names))
        yield from (Problem(f"{key}.{leaf}", sentence) for leaf, sentence in faults if (leaf, sentence) not in known)
        known = set(faults)


def check_login(server: Server | ServerTable, key: str = "") -> Iterator[Problem]:
    """Problems of the user name and password that a server accepts; `key` is the table's key."""
    for leaf in ("user", "password"):
        if (text := getattr(server, leaf)) is not None and (sentence := patterns.login_fault(text)):
            yield Problem(f"{key}.{leaf}".lstrip("."), sentence)
    if server.user == "anonymous":
        yield Problem(
            f"{key}.user".lstrip("."), "the server accepts anonymous anyway; name another user, or omit this key"
        )


def check_keys(given: Mapping[str, Any], server: Server, certificates: Iterable[str]) -> Iterator[Problem]:
    """Problems of a server that a program describes, key by key.

    Args:
        given: The keys given.
        server: The complete server, including earlier keys.
        certificates: The names that refer to certificates in them.
    """
    values = {key: list(value) if isinstance(value, tuple) else value for key, value in given.items()}
    if misfits := list(explain(values, ServerTable)):
        yield from misfits
        return
    faults = (*_idle(convert(values, ServerTable), server), *_faults(server, list(certificates)))
    yield from (Problem(leaf, sentence) for leaf, sentence in faults)


def _given(table: ServerTable) -> dict[str, Any]:
    return {name: value for name in table.__struct_fields__ if (value := getattr(table, name)) is not None}


def _faults(server: Server, certificates: list[str]) -> Iterator[tuple[str, str]]:
    if server.certificate is None and server.protocol != "plain":
        yield (
            "certificate",
            f"missing: with protocol = {shown(server.protocol)} the server shows a certificate; name one",
        )
    for leaf, shown_names in _named(server).items():
        for name in shown_names:
            if name not in certificates:
                yield leaf, dangling(name, certificates)
    yield from _attack_faults(server)
    if server.protocol == "plain" and server.require_tls:
        yield "require_tls", "a plain server has no TLS to require; remove this key, or use another protocol"
    yield from ((leaf.key, leaf.sentence) for leaf in check_login(server))
    if not server.tls:
        yield "tls", 'offers no version; write at least one, such as ["1.3"], or protocol = "plain"'
    if len(set(server.tls)) < len(server.tls):
        yield "tls", "names the same version twice"


def _attack_faults(server: Server) -> Iterator[tuple[str, str]]:
    """Keys that do not work with the attack."""
    record = server.attacker
    attack = shown(server.attack)
    if record is None:
        return
    if server.protocol == "plain":
        yield "attack", f"{attack} attacks TLS, and a plain server has none; use another protocol"
    elif server.protocol not in record.protocols:
        yield "attack", f'{attack} attacks AUTH TLS, which implicit FTPS does not use; use protocol = "explicit"'
    if record.why_not_require_tls and server.require_tls:
        yield "require_tls", record.why_not_require_tls
    if server.role == "impostor":
        yield "attack", f'{attack} needs the genuine server behind it; use role = "genuine", or remove the attack'
    if record.data_tls != "server" and server.data_certificate not in {None, server.certificate}:
        yield "data_certificate", f"the attack {attack} hides it from lftp, so it would prove nothing; remove it"
    if "attack_reply" in record.keys and not 400 <= server.attack_reply <= 599:
        yield "attack_reply", f"{server.attack_reply} is not a refusal; use a code from 400 to 599, such as 502"


def _idle(written: ServerTable, server: Server) -> Iterator[tuple[str, str]]:
    """Keys that configure an attack other than the one in force."""
    for leaf in get_args(AttackKey):
        attacks = attack_keys(leaf)
        if getattr(written, leaf) is not None and server.attack not in attacks:
            names = " or ".join(map(shown, sorted(attacks)))
            yield (
                leaf,
                f"is only valid with the attack {names}, but the attack here is {shown(server.attack)}; remove it",
            )


def _named(server: Server) -> dict[str, tuple[str, ...]]:
    """The certificates that a server names, by key, each name where it first appears."""
    found: dict[str, tuple[str, ...]] = {}
    seen: set[str] = set()
    for leaf, names in {
        "certificate": (server.certificate,),
        "chain": server.chain,
        "data_certificate": (server.data_certificate,),
        "attack_certificate": (server.attack_certificate,),
    }.items():
        found[leaf] = tuple(dict.fromkeys(name for name in names if name is not None and name not in seen))
        seen.update(found[leaf])
    return found
