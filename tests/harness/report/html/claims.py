"""Check a picture against the testimony, starting from the testimony, without the code that draws."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftps_harness.report.html.sequence import READABLE
from ftps_harness.verdict.needles import is_secret

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftps_harness.play.attempt import Attempt
    from ftps_harness.play.recording import Recording
    from ftps_harness.report.html.sequence import Arrow, Interaction
    from ftps_lab.testimony import Testimony

ONLY_WITNESS = {"nobody", "ending", "elsewhere", "readable"}
"""Arrows for facts that no server recorded: the client's end, and the record on the wire."""


def untrue(drawn: Interaction, attempt: Attempt | Recording) -> list[str]:
    """One sentence for each claim without evidence, and for each piece of evidence without an arrow."""
    told = attempt.testimony
    accounts = [told, *([told.behind] if told.behind else [])]
    return [
        *_without_evidence(drawn.arrows, accounts),
        *_without_arrow(drawn.arrows, accounts),
        *_passwords(drawn.arrows, told, attempt.exposure.password),
        *_attacks(drawn.arrows, accounts),
        *_tls(drawn.arrows, accounts),
        *_order(drawn),
    ]


def _items(account: Testimony) -> list[object]:
    alerts = [alert for alert in account.alerts if alert.description != "close_notify"]
    everything = (account.commands, account.credentials, account.handshakes, account.transfers, alerts)
    items: list[object] = [item for items in everything for item in items]
    used = {item.connection for items in (account.handshakes, account.transfers) for item in items}
    connections = [c for c in account.connections if c.kind == "control" or c.number not in used]
    return [*items, *connections]


def _of(arrow: Arrow, accounts: list[Testimony]) -> Testimony:
    """The testimony behind an arrow: between attacker and server, only the one of the server behind the attacker."""
    behind = len(accounts) > 1 and "server" in {arrow.source, arrow.target}
    return accounts[1] if behind else accounts[0]


def _without_evidence(arrows: tuple[Arrow, ...], accounts: list[Testimony]) -> Iterator[str]:
    for arrow in arrows:
        if not arrow.witness or not arrow.text:
            yield f"{arrow.label}: nobody witnessed it"
        if not arrow.evidence and arrow.kind not in ONLY_WITNESS:
            yield f"{arrow.label}: no evidence"
        for item in arrow.evidence:
            known = [*_items(_of(arrow, accounts)), *_of(arrow, accounts).connections]
            if not any(item is each or item == each for each in known):
                yield f"{arrow.label}: its evidence is in no testimony"


def _without_arrow(arrows: tuple[Arrow, ...], accounts: list[Testimony]) -> Iterator[str]:
    for account in accounts:
        drawn = [item for arrow in arrows if _of(arrow, accounts) is account for item in arrow.evidence]
        yield from (f"not drawn: {item}" for item in _items(account) if item not in drawn)


def _passwords(arrows: tuple[Arrow, ...], told: Testimony, on_the_wire: bool) -> Iterator[str]:
    readable = [c for c in told.credentials if is_secret(c) and (c.channel == "clear" or told.role == "impostor")]
    drawn = [arrow for arrow in arrows if arrow.kind == "password" and READABLE in arrow.label]
    for credential in readable:
        if not any(credential in arrow.evidence and arrow.alarm for arrow in drawn):
            yield "a password that was readable is not drawn as that"
    for arrow in drawn:
        if not any(credential in arrow.evidence for credential in readable):
            yield "a password is drawn as readable, and was not"
    held = [arrow for arrow in arrows if arrow.kind == "captured"]
    if bool(held) is not (told.role == "impostor" and bool(readable)):
        yield "whether the attacker holds a password is not as drawn"
    if any(arrow.kind == "readable" for arrow in arrows) is not on_the_wire:
        yield "whether a password stands on the wire is not as drawn"
    for arrow in arrows:
        for password in told.passwords:
            if len(password) > 5 and password in f"{arrow.label} {arrow.note} {arrow.text}":
                yield f"{arrow.label}: the password is there"


def _attacks(arrows: tuple[Arrow, ...], accounts: list[Testimony]) -> Iterator[str]:
    effects = sum(1 for account in accounts for connection in account.connections if connection.attack_effect)
    drawn = [arrow for arrow in arrows if arrow.kind == "attack"]
    if len(drawn) != effects or any(arrow.source != "attacker" for arrow in drawn):
        yield f"{effects} connections were attacked, and {len(drawn)} are drawn so"


def _tls(arrows: tuple[Arrow, ...], accounts: list[Testimony]) -> Iterator[str]:
    for arrow in arrows:
        if arrow.channel == "tls" and arrow.kind != "handshake":
            number = int(arrow.connection.rpartition(" ")[2])
            finished = [h for h in _of(arrow, accounts).handshakes if h.completed and h.connection == number]
            if not any(h.at is None or arrow.at is None or h.at <= arrow.at for h in finished):
                yield f"{arrow.label}: drawn in TLS before any handshake"


def _order(drawn: Interaction) -> Iterator[str]:
    times = [row.first.at for row in drawn.rows if row.first.at is not None]
    if times != sorted(times):
        yield "the rows are not in the order of time"
    for row in drawn.rows:
        inside = [arrow.at for arrow in row.arrows if arrow.at is not None]
        if inside != sorted(inside):
            yield f"{row.label}: not in the order of time"
