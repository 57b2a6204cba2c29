"""Servers: what a step changes laid over what was there, and whether the result can mean something."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ftps_harness.scenario.model import Server
from ftps_harness.scenario.problems import Problem, dangling

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ftps_harness.scenario.tables import ServerTable


def overlaid(table: ServerTable, change: ServerTable | None) -> ServerTable:
    """The table with the keys that the change names put in the place of its own."""
    return table if change is None else msgspec.structs.replace(table, **_given(change))


def completed(table: ServerTable) -> Server:
    """The server that a table describes: defaults for what is left out, the data certificate among it."""
    server = Server(**_given(table))
    if server.data_certificate is None:
        server = msgspec.structs.replace(server, data_certificate=server.certificate)
    return server


def check(tables: Iterable[tuple[str, ServerTable]], certificates: Iterable[str]) -> Iterator[Problem]:
    """What is wrong with the servers, each fault where it first appears.

    Args:
        tables: In the order of the file: where each stands, and the table with all changes up to there.
        certificates: The names that the file has.
    """
    names = list(certificates)
    known: set[tuple[str, str]] = set()
    for key, table in tables:
        faults = list(_faults(completed(table), names))
        yield from (Problem(f"{key}.{leaf}", sentence) for leaf, sentence in faults if (leaf, sentence) not in known)
        known = set(faults)


def _given(table: ServerTable) -> dict[str, Any]:
    return {name: value for name in table.__struct_fields__ if (value := getattr(table, name)) is not None}


def _faults(server: Server, certificates: list[str]) -> Iterator[tuple[str, str]]:
    if server.certificate is None and server.protocol != "plain":
        yield "certificate", f"missing: a server that is {server.protocol} shows a certificate; name one"
    for name in dict.fromkeys((server.certificate, *server.chain, server.data_certificate)):
        if name is not None and name not in certificates:
            yield _leaf_of(server, name), dangling(name, certificates)
    if server.protocol == "plain" and server.require_tls:
        yield "require_tls", "a plain server has no TLS that it could require; remove it, or use another protocol"
    if not server.tls:
        yield "tls", 'offers no version; write at least one, such as ["1.3"], or protocol = "plain"'
    if len(set(server.tls)) < len(server.tls):
        yield "tls", "names the same version twice"


def _leaf_of(server: Server, name: str) -> str:
    if name == server.certificate:
        return "certificate"
    return "chain" if name in server.chain else "data_certificate"
