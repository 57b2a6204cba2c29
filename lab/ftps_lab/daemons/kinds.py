"""The table of daemons: the kinds, what each needs, and what each cannot serve. A new daemon is a new row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftps_lab.daemons.proftpd import ProFtpd
from ftps_lab.daemons.pure_ftpd import PureFtpd
from ftps_lab.daemons.vsftpd import Vsftpd, VsftpdReuse
from ftps_lab.errors import LabError

if TYPE_CHECKING:
    from ftps_lab.daemons.daemon import Daemon, Needs
    from ftps_lab.interface import ServerSpec

DAEMONS: dict[str, type[Daemon]] = {
    "vsftpd": Vsftpd,
    "vsftpd-reuse": VsftpdReuse,
    "proftpd": ProFtpd,
    "pure-ftpd": PureFtpd,
}
"""Kind → daemon."""

NEEDS: dict[str, Needs] = {kind: daemon.needs for kind, daemon in DAEMONS.items()}
"""Kind → what its container must grant."""

ANONYMOUS: frozenset[str] = frozenset(kind for kind, daemon in DAEMONS.items() if daemon.anonymous)
"""Kinds that admit the user ``anonymous``; the others refuse it like any unknown user."""


def why_not(kind: str, spec: ServerSpec) -> str:
    """Why this daemon cannot be such a server, as a sentence; empty if it can. The daemon need not be installed.

    Raises:
        LabError: The kind is unknown.
    """
    if kind not in DAEMONS:
        raise LabError(f"unknown daemon {kind!r}: name one of {', '.join(DAEMONS)}")
    if spec.user is not None or spec.password is not None:
        return f"{kind} gets its users and password when it starts, and this server sets its own"
    return DAEMONS[kind].why_not(spec)
