"""Where a command connects, as which user, and for which files: found by running it, not by reading it."""

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
        names: Every host name that it looked up.
        others: Its other destinations, a phrase each.
    """

    host: str
    port: int
    names: tuple[str, ...]
    others: tuple[str, ...] = ()

    @property
    def protocol(self) -> str:
        """``implicit`` on port 990, the registered port of implicit FTPS (IANA: ftps), otherwise ``explicit``."""
        return "implicit" if self.port == IMPLICIT_PORT else "explicit"


def target(names: tuple[str, ...], wanted: Wanted, host: str | None) -> Target | None:
    """Where a command connects; None if it connected nowhere.

    Args:
        names: The names that it looked up, which now resolve to the lab.
        wanted: The connections that it then tried.
        host: The host that the user named; None for the first one.
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
    """Whether the client started TLS without AUTH, as in implicit FTPS."""
    return any(handshake.error == TLS_IN_CLEAR for handshake in testimony.handshakes)


def clears_control(testimony: Testimony) -> bool:
    """Whether the client asked to end TLS on the control channel."""
    return any(command.verb == "CCC" for command in testimony.commands)


def login_of(testimony: Testimony) -> tuple[str, str] | None:
    """The last user and password that the client sent; None if anonymous, or if it sent none."""
    for credential in reversed(testimony.credentials):
        if credential.password and credential.user != "anonymous":
            return credential.user, credential.password
    return None


def logins_after_the_first(testimony: Testimony) -> tuple[int, ...]:
    """The number of control connections before each login except the first."""
    control = [connection.number for connection in testimony.connections if connection.kind == "control"]
    logged_in = {credential.connection for credential in testimony.credentials if credential.accepted}
    return tuple(before for before, number in enumerate(control) if number in logged_in)[1:]


def provide(testimony: Testimony, root: Path, secrets: Secrets) -> bool:
    """Create the files and folders that the client asked for and did not find.

    Args:
        testimony: The testimony of a run.
        root: The served folder.
        secrets: The content of the files.

    Returns:
        Whether anything was created; if so, run the command again.
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
    """Yield each path that the server refused, from its root, and whether it is a folder."""
    cwd: dict[int, str] = {}
    for command in testimony.commands:
        here = cwd.get(command.connection, "/")
        path = posixpath.normpath(posixpath.join(here, command.argument)) if command.argument else here
        refused = command.reply is not None and command.reply >= 500
        if command.verb == "CWD":
            cwd[command.connection] = path  # even if refused: the commands that follow assume it
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
