"""A control connection as both have it: what the relay saw of it, and the commands that the log holds. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftps_lab.daemons.log import Exchange
from ftps_lab.testimony import TRANSFERS
from ftps_lab.wire import tls as wiretls

if TYPE_CHECKING:
    from ftps_lab.daemons.log import Session
    from ftps_lab.daemons.tape import Link
    from ftps_lab.testimony import Channel
    from ftps_lab.wire.tls import Seen

MATTER = frozenset({"USER", "PASS", "AUTH", "PROT", "PORT", "EPRT", "PASV", "EPSV", *TRANSFERS})
"""Commands that a log may not leave out."""

_LINE_END, _REPLY = re.compile(rb"\n"), re.compile(rb"^\d{3} ", re.MULTILINE)


@dataclass(slots=True)
class Control:
    """A control connection as the relay has it, split where TLS begins.

    Attributes:
        in_clear: How many of the log's commands came in clear.
        told_in_clear: How many commands the relay has in clear.
        turns_in_clear: How many of these were answered at least.
        unlike: A command in clear that matters, and that the log does not hold.
        seen: What the TLS on it tells; None without any.
        proved: It is TLS and nothing else.
        last_words: What the daemon said in clear when TLS broke.
    """

    link: Link
    number: int
    session: Session
    in_clear: int = 0
    unlike: str = ""
    told_in_clear: int = 0
    turns_in_clear: int = 0
    seen: Seen | None = None
    proved: bool = False
    last_words: str = ""

    def channel(self, index: int) -> Channel:
        """The channel of the session's command of this index."""
        return "tls" if index >= self.in_clear and self.proved else "clear"

    def align(self, clear: list[str]) -> None:
        """Find the log's commands among those that the relay has in clear.

        Daemons leave some out (ProFTPD: LANG), and do not hear what comes when they have closed. None of these may
        be one that matters.
        """
        exchanges = self.session.exchanges
        self.told_in_clear = len(clear)
        for verb in clear:
            if self.in_clear < len(exchanges) and exchanges[self.in_clear].verb == verb:
                self.in_clear += 1
            elif verb in MATTER:
                self.unlike = self.unlike or verb

    def has_lost(self, leaves_out: int) -> bool:
        """Whether the relay has more turns than the log has commands that were answered (`Daemon.leaves_out`).

        Of the last one alone a daemon may not have come to a reply. A transfer counts without one too: ProFTPD logs it
        when it is over.
        """
        exchanges = self.session.exchanges
        answered = sum(exchange.answers for exchange in exchanges[self.in_clear :])
        waits = bool(exchanges) and not exchanges[-1].replies and exchanges[-1].verb in MATTER - TRANSFERS
        if len(exchanges) == self.in_clear:
            return self.turns_in_clear > self.told_in_clear - waits or self.turns_in_tls > leaves_out
        return self.turns_in_tls > answered - waits + leaves_out and not (leaves_out and self.let_in)

    @property
    def let_in(self) -> bool:
        """The log holds a login."""
        return any(e.verb in {"USER", "PASS"} and e.reply == 230 for e in self.session.exchanges)

    @property
    def turns_in_tls(self) -> int:
        """As `Seen` has it."""
        return self.seen.turns if self.seen is not None else 0


def know_auth(session: Session, clear: list[str], text: bytes) -> None:
    """An AUTH whose handshake fails is not in every daemon's log: the relay has it in clear, with its consent."""
    exchanges = session.exchanges
    if clear[-1:] == ["AUTH"] and session.secured is None and not any(e.verb == "AUTH" for e in exchanges):
        argument = text.rstrip(b"\r\n").rpartition(b"\n")[2].partition(b" ")[2].strip().decode("ascii", "replace")
        at = exchanges[-1].at if exchanges else 0
        exchanges.append(Exchange("AUTH", argument, [(234, "")], at=at))


def turns_in_clear(text: bytes, heard: bytes, link: Link) -> int:
    """How many of the commands in `text` were answered in `heard` at least."""
    asked = [end.end() for end in _LINE_END.finditer(text)]
    return wiretls.turns(asked, [reply.start() for reply in _REPLY.finditer(heard)], link.heard_before)


def tls_start(up: bytes, down: bytes) -> tuple[int, int] | None:
    """Where TLS begins in both directions of an explicit control connection; None if it does not."""
    at = 0
    for line in down.splitlines(keepends=True):
        at += len(line)
        if line.startswith(b"234 ") and line.endswith(b"\n"):
            break
    else:
        return None
    below, end = at, 0
    while (end := up.find(b"\n", end) + 1) > 0:
        line = up[:end].rpartition(b"\n")[0].rpartition(b"\n")[2]
        if line.upper().startswith(b"AUTH") and up[end : end + 1] in {b"", wiretls.FIRST}:
            return end, below
        if up[end : end + 1] == wiretls.FIRST:
            return None
    return None
