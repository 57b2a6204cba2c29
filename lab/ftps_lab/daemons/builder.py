"""Builds one testimony from three sources: the daemon's log, the files below its root, and the relay.

Pure, except that it reads files. It omits what no source shows, and reports contradictions as discrepancies.
"""

from __future__ import annotations

import hashlib
import posixpath
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ftps_lab.daemons.control import MATTER, Control, know_auth, tls_start, turns_in_clear
from ftps_lab.daemons.log import Exchange, Secured, Session
from ftps_lab.testimony import (
    LISTINGS,
    TLS_IN_CLEAR,
    TRANSFERS,
    UPLOADS,
    Alert,
    Command,
    Connection,
    Credential,
    Handshake,
    Testimony,
    Transfer,
)
from ftps_lab.wire import tls as wiretls

if TYPE_CHECKING:
    import re
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from ftps_lab.daemons.recording import Link
    from ftps_lab.wire.tls import Seen

_ANONYMOUS = frozenset({"anonymous", "ftp"})
_CHANGES = frozenset({"STOR", "APPE", "STOU", "DELE", "RNFR", "RNTO"})


@dataclass(frozen=True, slots=True)
class Habits:
    """The behaviour of a daemon that affects how its log and its bytes are read.

    Attributes:
        last_words: What it sends in clear after a TLS session breaks.
        tickets: Its session tickets, see `ftps_lab.wire.tls.read`.
        leaves_out: Commands before a login that its log omits; a log that omits some may omit others after the login.
    """

    last_words: re.Pattern[bytes] | None = None
    tickets: tuple[int, int] = (2, 1)
    leaves_out: int = 0


_USUAL = Habits()


class TestimonyBuilder:
    """Builds a testimony from the relay's links, the log's sessions and the served files.

    Args:
        role: Whose testimony it is.
        links: The relay's links, in order of acceptance.
        sessions: The log's sessions, by the address that the relay gave to the connection.
        root: The served folder.
        passwords: User → the password that admits this user.
        habits: The daemon's habits.
        others: Addresses of connections that do not belong to this record.
        discrepancies: Discrepancies already found.
    """

    __test__ = False  # pytest collects classes called Test…

    def __init__(
        self,
        *,
        role: Literal["genuine", "impostor"],
        links: Sequence[Link],
        sessions: Mapping[str, Session],
        root: Path,
        passwords: Mapping[str, str],
        habits: Habits = _USUAL,
        others: Collection[str] = (),
        discrepancies: Iterable[str] = (),
    ) -> None:
        self._role: Literal["genuine", "impostor"] = role
        self._links = links
        self._root = root
        self._passwords = passwords
        self._habits = habits
        self._handshakes: list[Handshake] = []
        self._alerts: list[Alert] = []
        self._connections: list[Connection] = []
        self._transfers: list[Transfer] = []
        self._discrepancies = list(discrepancies)
        self._discrepancies += [
            f"the daemon's log has a session from {address} that the relay did not record"
            for address in sessions.keys() - {link.source for link in links if link.kind == "control"} - set(others)
        ]
        self._controls = [
            self._control(link, number, sessions.get(link.source))
            for number, link in enumerate(links, 1)
            if link.kind == "control"
        ]
        self._owner: dict[int, tuple[Control, Exchange, Exchange | None]] = {}

    def testimony(self) -> Testimony:
        """Everything that the sources show."""
        controls = {control.number: control for control in self._controls}
        self._match()
        for number, link in enumerate(self._links, 1):
            if number in controls:
                self._of_control(controls[number])
            else:
                self._of_data(link, number)
        for control in self._controls:
            self._check_transfers(control)
        asked = sorted(
            (
                (exchange.at, control, index, exchange)
                for control in self._controls
                for index, exchange in enumerate(control.session.exchanges)
            ),
            key=lambda item: item[0],
        )
        return Testimony(
            role=self._role,
            connections=tuple(self._connections),
            handshakes=tuple(self._handshakes),
            alerts=tuple(self._alerts),
            commands=tuple(Command(c.number, e.verb, e.argument, c.channel(i), e.reply) for _, c, i, e in asked),
            credentials=tuple(credential for c in self._controls for credential in self._credentials(c)),
            transfers=tuple(self._transfers),
            sources=("log", "files", "relay"),
            discrepancies=tuple(dict.fromkeys(self._discrepancies)),
        )

    def _control(self, link: Link, number: int, session: Session | None) -> Control:
        if session is None:
            if link.to_server or not link.implicit:  # ProFTPD logs no client that waits for a greeting before TLS
                self._doubt(link, "is not in the daemon's log")
            session = Session(link.source)
        control = Control(link, number, session)
        up, down = bytes(link.to_server), bytes(link.to_client)
        if wiretls.begins(up) == 0 and not link.implicit:
            return self._begun_with_tls(Control(link, number, session))
        start = (0, 0) if link.implicit else tls_start(up, down)
        text, heard = (up, down) if start is None else (up[: start[0]], down[: start[1]])
        clear = [line.partition(b" ")[0].strip().decode("ascii", "replace").upper() for line in text.split(b"\n")[:-1]]
        if start is not None:
            know_auth(session, clear, text)
        control.align(clear)
        control.turns_in_clear = turns_in_clear(text, heard, link)
        if start is not None:
            broken = self._habits.last_words.search(down, start[1]) if self._habits.last_words is not None else None
            control.last_words = broken[0].decode("ascii", "replace").strip() if broken else ""
            control.seen = self._read(link, *start, end=broken.start() if broken else None)
            control.proved = control.seen.pure and control.seen.began
            if not control.seen.pure:
                self._doubt(link, "carried something after AUTH that is not TLS")
        return control

    def _begun_with_tls(self, control: Control) -> Control:
        """Drop the log's commands: the client started with TLS, and the daemon took its bytes for commands."""
        hello = wiretls.read(bytes(control.link.to_server), b"", lambda _: 0)
        if any(exchange.verb in MATTER for exchange in control.session.exchanges):
            self._doubt(control.link, "has commands in the daemon's log where the relay recorded TLS")
        control.session.exchanges.clear()
        name = hello.server_name
        self._handshakes.append(Handshake(control.number, False, "", "", name, "", TLS_IN_CLEAR))
        return control

    def _of_control(self, control: Control) -> None:
        link, session, number = control.link, control.session, control.number
        spoke = session.greeting == 220 or any(exchange.replies for exchange in session.exchanges)
        greeted = spoke if link.implicit else link.to_client.startswith(b"220")
        self._connections.append(
            Connection(number, "control", link.peer, link.opened, greeted=greeted, error=control.last_words)
        )
        if control.seen is not None:
            self._handshake(number, link, control.seen, session.secured)
        elif session.secured is not None:
            self._doubt(link, "has a TLS handshake in the daemon's log, but not in the relay's recording")
        for problem in session.problems:
            self._doubt(link, f"is unclear: {problem}")
        if control.unlike:
            self._doubt(link, f"carried a command in clear that the daemon's log lacks ({control.unlike})")
        if len(session.exchanges) > control.in_clear and not (
            control.proved and control.seen and control.seen.finished
        ):
            self._doubt(link, "has commands in the daemon's log that the relay recorded neither in clear nor in TLS")
        if not control.let_in and any(e.transferred or e.announced is not None for e in session.exchanges):
            self._doubt(link, "has a transfer, but no login, in the daemon's log")
        if control.has_lost(self._habits.leaves_out):
            self._doubt(link, "carried more answers to commands than the daemon's log has")
        for exchange, later in pairwise(session.exchanges):
            if exchange.final is None and exchange.verb in MATTER and later.verb != "ABOR":
                self._doubt(link, f"has a command without a reply in the daemon's log ({exchange.verb})")

    def _handshake(self, number: int, link: Link, seen: Seen, secured: Secured | None, *, worked: bool = False) -> None:
        """Add one handshake: the relay saw the client's Finished, and it or the log shows the outcome.

        `worked`: The log has a completed transfer on this connection.
        """
        self._alerts += [wiretls.alert_of(number, alert) for alert in seen.alerts]
        if not seen.began and secured is None:
            return
        completed = seen.finished and (seen.answered or secured is not None or worked)
        if secured is not None and not seen.finished:
            self._doubt(link, "has a completed TLS handshake in the daemon's log that the relay did not see completed")
        if secured is not None and seen.version != secured.version:
            self._doubt(
                link,
                f"has {secured.version} in the daemon's log, but {seen.version or 'no TLS'} in the relay's recording",
            )
        if seen.certificate and seen.certificate != link.certificate:
            self._doubt(link, "shows a certificate other than the daemon's")
        self._handshakes.append(
            Handshake(
                connection=number,
                completed=completed,
                version=seen.version if completed else "",
                cipher=secured.cipher if completed and secured is not None else "",
                server_name=seen.server_name,
                certificate=link.certificate,
                error="" if completed else "the handshake did not complete",
            )
        )

    def _credentials(self, control: Control) -> Iterator[Credential]:
        user = ""
        for index, exchange in enumerate(control.session.exchanges):
            if exchange.verb == "USER":
                user = exchange.argument
            elif exchange.verb == "PASS":
                if not user:
                    self._doubt(control.link, "has a password without a user in the daemon's log")
                accepted = exchange.reply == 230
                known = accepted and user not in _ANONYMOUS
                password = self._passwords.get(user) if known else None
                yield Credential(control.number, user, password, control.channel(index), accepted)

    # Matching data connections to transfers.

    def _match(self) -> None:
        announced: dict[int, list[tuple[Control, Exchange, Exchange | None]]] = {}
        for control in self._controls:
            for exchange, transfer in _announcements(control.session):
                assert exchange.announced is not None
                announced.setdefault(exchange.announced, []).append((control, exchange, transfer))
        came: dict[int, list[tuple[int, Link]]] = {}
        for number, link in enumerate(self._links, 1):
            if link.kind == "data":
                came.setdefault(link.port, []).append((number, link))
        for port, links in came.items():
            owners = sorted(announced.get(port, []), key=lambda owner: owner[1].at)
            used = [owner for owner in owners if owner[2] is not None and owner[2].transferred]
            if len(links) != len(owners):
                owners = used
            if len(links) != len(owners):
                for _, link in links:
                    self._doubt(link, "does not match exactly one transfer in the daemon's log")
                continue
            for (number, link), owner in zip(links, owners, strict=True):
                link.certificate = owner[0].link.certificate
                self._owner[number] = owner

    def _check_transfers(self, control: Control) -> None:
        matched = {id(owner[2]) for owner in self._owner.values()}
        for exchange in control.session.exchanges:
            if exchange.transferred and id(exchange) not in matched:
                self._doubt(
                    control.link,
                    f"has a transfer in the daemon's log ({exchange.verb}), but no data connection for it in the "
                    f"relay's recording",
                )

    def _of_data(self, link: Link, number: int) -> None:
        self._connections.append(Connection(number, "data", link.peer, link.opened))
        control, _, exchange = self._owner.get(number, (None, None, None))
        up, down = bytes(link.to_server), bytes(link.to_client)
        in_tls = up[:1] == wiretls.FIRST
        seen = self._read(link, 0, 0) if in_tls else None
        secured = exchange.secured if exchange is not None else None
        if seen is not None:
            if not seen.pure:
                self._doubt(link, "begins with TLS and continues with something else")
            self._handshake(number, link, seen, secured, worked=exchange is not None and exchange.completed)
        elif secured is not None:
            self._doubt(link, "has a TLS handshake in the daemon's log, but not in the relay's recording")
        if control is None or exchange is None or not exchange.transferred:
            if not in_tls and (up or down):
                self._doubt(link, "carried data in clear that belongs to no transfer in the daemon's log")
            refused = exchange is not None and exchange.final is not None and exchange.final >= 400
            if seen is not None and (seen.stored or seen.listed) and not refused:
                self._doubt(link, "carried content in TLS that belongs to no transfer in the daemon's log")
            return
        transfer = self._transfer(control, exchange, link, number, seen)
        self._check(transfer, link, seen)
        self._transfers.append(transfer)

    def _transfer(self, control: Control, exchange: Exchange, link: Link, number: int, seen: Seen | None) -> Transfer:
        is_upload = exchange.verb in UPLOADS
        is_listing = exchange.verb in LISTINGS
        moved = exchange.moved
        if moved is not None:
            size = moved.size
        elif seen is None:
            size = len(link.to_server if is_upload else link.to_client)
        else:
            size = seen.stored if is_upload else seen.listed
        path = moved.path if moved is not None and not is_listing else exchange.argument
        name = exchange.argument if is_listing else posixpath.normpath(path).lstrip("/")
        if moved is None and not is_listing and exchange.completed:
            self._doubt(link, f"is a completed transfer ({exchange.verb}) without a size in the daemon's log")
        return Transfer(
            connection=number,
            control=control.number,
            verb=exchange.verb,
            name=name,
            direction="upload" if is_upload else "download",
            size=size,
            sha256="" if is_listing or moved is None else self._hash(control, exchange, name, size),
            channel="clear" if seen is None else "tls",
            certificate="" if seen is None else link.certificate,
            completed=exchange.completed,
        )

    def _check(self, transfer: Transfer, link: Link, seen: Seen | None) -> None:
        passed = len(link.to_server if transfer.direction == "upload" else link.to_client)
        in_clear = seen is None
        if transfer.completed and (passed < transfer.size or (in_clear and passed != transfer.size)):
            self._doubt(link, f"carried {passed} bytes, but the daemon's log says {transfer.size}")
        if transfer.size and seen is not None and not seen.finished:
            self._doubt(link, "carried content, but the relay did not see its TLS handshake completed")

    def _hash(self, control: Control, exchange: Exchange, name: str, size: int) -> str:
        """The hash of the file on disk, if it is what passed: of that size, from the start, unchanged since."""
        before = [e for e in control.session.exchanges if e.at < exchange.at]
        if before and before[-1].verb == "REST" and before[-1].argument != "0":
            return ""
        if any(
            before[i].verb == "REST" and before[i].argument != "0" for i in range(max(0, len(before) - 3), len(before))
        ):
            return ""
        later = (e for c in self._controls for e in c.session.exchanges if e.at > exchange.at and e.verb in _CHANGES)
        if any(Path(e.argument).name == Path(name).name for e in later):
            return ""
        path = (self._root / name).resolve()
        if not path.is_relative_to(self._root.resolve()) or not path.is_file() or path.stat().st_size != size:
            return ""
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _read(self, link: Link, above: int, below: int, *, end: int | None = None) -> Seen:
        """Read the TLS of a link, starting at these offsets."""

        def heard_before(offset: int) -> int:
            return link.heard_before(above + offset) - below

        up, down = bytes(link.to_server[above:]), bytes(link.to_client[below:end])
        return wiretls.read(up, down, heard_before, self._habits.tickets)

    def _doubt(self, link: Link, what: str) -> None:
        self._discrepancies.append(f"the {link.kind} connection from port {link.peer[1]} {what}")


def _announcements(session: Session) -> Iterator[tuple[Exchange, Exchange | None]]:
    """Each PASV or EPSV whose reply names a port, and the transfer that it was for."""
    newest: Exchange | None = None
    for exchange in session.exchanges:
        if exchange.announced is not None:
            if newest is not None:
                yield newest, None
            newest = exchange
        elif exchange.verb in TRANSFERS and newest is not None:
            yield newest, exchange
            newest = None
    if newest is not None:
        yield newest, None
