"""A control connection from both sources: the relay's bytes and the log's commands. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ftps_lab.daemons.log import Exchange
from ftps_lab.testimony import TRANSFERS
from ftps_lab.wire import tls as wiretls

if TYPE_CHECKING:
    from ftps_lab.daemons.log import Session
    from ftps_lab.daemons.recording import Link
    from ftps_lab.testimony import Channel
    from ftps_lab.wire.tls import Seen

MATTER = frozenset({"USER", "PASS", "AUTH", "PROT", "PORT", "EPRT", "PASV", "EPSV", *TRANSFERS})
"""Commands that a log must not omit."""

_LINE_END, _REPLY = re.compile(rb"\n"), re.compile(rb"^\d{3} ", re.MULTILINE)


@dataclass(slots=True)
class Control:
    """A control connection as the relay recorded it, split where TLS starts.

    Attributes:
        in_clear: How many of the log's commands arrived in clear.
        commands_in_clear: How many commands the relay recorded in clear.
        turns_in_clear: Lower bound on how many of these were answered.
        unlike: A command of `MATTER` in clear that is missing from the log.
        seen: What its TLS shows; None without TLS.
        proved: The TLS part contains nothing but TLS.
        last_words: What the daemon sent in clear when TLS broke.
    """

    link: Link
    number: int
    session: Session
    in_clear: int = 0
    unlike: str = ""
    commands_in_clear: int = 0
    turns_in_clear: int = 0
    seen: Seen | None = None
    proved: bool = False
    last_words: str = ""

    def channel(self, index: int) -> Channel:
        """The channel of the session's command with this index."""
        return "tls" if index >= self.in_clear and self.proved else "clear"

    def align(self, clear: list[str]) -> None:
        """Match the log's commands to those that the relay has in clear.

        Daemons omit some (ProFTPD: LANG), and never see commands that arrive after they have closed. None of these may
        be in `MATTER`.
        """
        exchanges = self.session.exchanges
        self.commands_in_clear = len(clear)
        for verb in clear:
            if self.in_clear < len(exchanges) and exchanges[self.in_clear].verb == verb:
                self.in_clear += 1
            elif verb in MATTER:
                self.unlike = self.unlike or verb

    def has_lost(self, leaves_out: int) -> bool:
        """Whether the relay has more turns than the log has answered commands (`Daemon.leaves_out`).

        Only the last command may still lack its reply. A transfer counts even without a reply: ProFTPD logs it when it
        is over.
        """
        exchanges = self.session.exchanges
        answered = sum(exchange.answers for exchange in exchanges[self.in_clear :])
        waits = bool(exchanges) and not exchanges[-1].replies and exchanges[-1].verb in MATTER - TRANSFERS
        if len(exchanges) == self.in_clear:
            return self.turns_in_clear > self.commands_in_clear - waits or self.turns_in_tls > leaves_out
        return self.turns_in_tls > answered - waits + leaves_out and not (leaves_out and self.let_in)

    @property
    def let_in(self) -> bool:
        """The log contains a login."""
        return any(e.verb in {"USER", "PASS"} and e.reply == 230 for e in self.session.exchanges)

    @property
    def turns_in_tls(self) -> int:
        """`Seen.turns`, or 0 without TLS."""
        return self.seen.turns if self.seen is not None else 0


def know_auth(session: Session, clear: list[str], text: bytes) -> None:
    """Add an AUTH whose handshake failed, which some daemons do not log: the relay has it in clear, with its 234."""
    exchanges = session.exchanges
    if clear[-1:] == ["AUTH"] and session.secured is None and not any(e.verb == "AUTH" for e in exchanges):
        argument = text.rstrip(b"\r\n").rpartition(b"\n")[2].partition(b" ")[2].strip().decode("ascii", "replace")
        at = exchanges[-1].at if exchanges else 0
        exchanges.append(Exchange("AUTH", argument, [(234, "")], at=at))


def turns_in_clear(text: bytes, heard: bytes, link: Link) -> int:
    """Lower bound on how many of the commands in `text` were answered in `heard`."""
    asked = [end.end() for end in _LINE_END.finditer(text)]
    return wiretls.turns(asked, [reply.start() for reply in _REPLY.finditer(heard)], link.heard_before)


def tls_start(up: bytes, down: bytes) -> tuple[int, int] | None:
    """Where TLS starts in both directions of an explicit control connection; None if it never starts."""
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
