"""Where a command goes, as whom, and for which files: found by running it, not by reading it."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ftps_lab.testimony import TLS_IN_CLEAR, UPLOADS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ftps_harness.sandbox.secrets import Secrets
    from ftps_harness.verdict.traffic import Wanted
    from ftps_lab.testimony import Testimony

IMPLICIT_PORT: Final = 990

_READS: Final = frozenset({"RETR", "SIZE", "MDTM"})
_LISTS: Final = frozenset({"CWD", "LIST", "NLST", "MLSD", "MLST"})


@dataclass(frozen=True, slots=True)
class Target:
    """Where a command goes.

    Attributes:
        host: The name or address that it connects to.
        port: Its port.
        names: Every name that it asked for.
        others: Where else it wanted to go, a phrase each.
    """

    host: str
    port: int
    names: tuple[str, ...]
    others: tuple[str, ...] = ()

    @property
    def protocol(self) -> str:
        """``implicit`` on port 990, where implicit FTPS is at home (IANA's registry: ftps)."""
        return "implicit" if self.port == IMPLICIT_PORT else "explicit"


def target(names: tuple[str, ...], wanted: Wanted, host: str | None) -> Target | None:
    """Where a command goes; None if it went nowhere.

    Args:
        names: The names that it asked for, which lead to the lab by now.
        wanted: What it tried then.
        host: The host that the user says it goes to; None for the first.
    """
    if not wanted.addresses:
        return None
    address, port = next((each for each in wanted.addresses if each[0] == "127.0.0.1"), wanted.addresses[0])
    named = next(iter(names), None) if address == "127.0.0.1" else None
    chosen = host or named or address
    others = [f"the address of {name!r}" for name in names if name != chosen]
    others += [f"{a} port {p} by tcp" for a, p in wanted.addresses if (a, p) != (address, port)]
    return Target(chosen, port, names, tuple(others))


def speaks_tls_at_once(testimony: Testimony) -> bool:
    """Whether the client began TLS without AUTH: it takes the server for one of implicit FTPS."""
    return any(handshake.error == TLS_IN_CLEAR for handshake in testimony.handshakes)


def clears_control(testimony: Testimony) -> bool:
    """Whether the client asked to end TLS on the control connection."""
    return any(command.verb == "CCC" for command in testimony.commands)


def login_of(testimony: Testimony) -> tuple[str, str] | None:
    """The user and password that the client sent last; None for an anonymous one, or if it sent none."""
    for credential in reversed(testimony.credentials):
        if credential.password and credential.user != "anonymous":
            return credential.user, credential.password
    return None


def logins_after_the_first(testimony: Testimony) -> tuple[int, ...]:
    """How many control connections came before each login but the first."""
    control = [connection.number for connection in testimony.connections if connection.kind == "control"]
    logged_in = {credential.connection for credential in testimony.credentials if credential.accepted}
    return tuple(before for before, number in enumerate(control) if number in logged_in)[1:]


def provide(testimony: Testimony, root: Path, secrets: Secrets) -> bool:
    """Make the files and folders that the client asked for and did not find.

    Args:
        testimony: Of a run.
        root: What is served.
        secrets: What the files hold.

    Returns:
        Whether anything was made: then the command deserves another run.
    """
    made = False
    for path, is_folder in _missing(testimony):
        target = root.joinpath(*path.strip("/").split("/"))
        if target.exists() or not target.resolve().is_relative_to(root.resolve()):
            continue
        folder = target if is_folder else target.parent
        folder.mkdir(parents=True, exist_ok=True)
        if is_folder:
            (target / secrets.listed_name).write_bytes(secrets.listed_content)
        else:
            target.write_bytes(secrets.content)
        made = True
    return made


def _missing(testimony: Testimony) -> Iterator[tuple[str, bool]]:
    """What the server refused, as a path from its root, and whether it is a folder."""
    cwd: dict[int, str] = {}
    for command in testimony.commands:
        here = cwd.get(command.connection, "/")
        path = posixpath.normpath(posixpath.join(here, command.argument)) if command.argument else here
        refused = command.reply is not None and command.reply >= 500
        if command.verb == "CWD":
            cwd[command.connection] = path  # also where it was refused: what follows was meant for there
        elif command.verb == "CDUP":
            cwd[command.connection] = posixpath.dirname(here)
        if not refused or path == "/":
            continue
        if command.verb in _LISTS and not command.argument.startswith("-"):
            yield path, True
        elif command.verb in _READS:
            yield path, False
        elif command.verb in UPLOADS or command.verb == "MKD":
            yield posixpath.dirname(path), True
