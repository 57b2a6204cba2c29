"""The tables of lftp builds and FTPS servers in the matrix, each with an image. To add one, add a row. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from ftps_harness.errors import UsageError
from ftps_harness.scenario.problems import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Build:
    """One lftp build.

    Attributes:
        name: Its name on the command line and in baselines.
        what: A description for readers.
        base: The base image.
        image: The folder of its Dockerfile, below ``harness/images``; all may use the files in ``lftp``.
        optional: If its image cannot be built, the build is left out with a message.
    """

    name: str
    what: str
    base: str
    image: str = "lftp"
    optional: bool = False


@dataclass(frozen=True, slots=True)
class ServerKind:
    """One FTPS server.

    Attributes:
        name: Its name on the command line and in baselines; a kind of `ftps_lab.remote.agent`, and of the images of
            `ftps_lab.containers`.
        what: A description for readers.
    """

    name: str
    what: str


BUILDS = {
    build.name: build
    for build in (
        Build("bullseye", "lftp 4.8.4 of Debian 11, with the document's own wording", "debian:bullseye-slim"),
        Build("bookworm", "lftp 4.9.2 of Debian 12", "debian:bookworm-slim"),
        Build("trixie", "lftp 4.9.2 of Debian 13, with a newer GnuTLS", "debian:trixie-slim"),
        Build("sid", "lftp 4.9.3 of Debian unstable", "debian:sid-slim"),
        Build("openssl", "lftp 4.9.3 from source, with OpenSSL", "debian:sid-slim", "lftp-openssl", optional=True),
    )
}
"""lftp builds by name (docs/lftp.md, "Builds")."""

KINDS = {
    kind.name: kind
    for kind in (
        ServerKind("lab", "the lab's own, made with pyftpdlib"),
        ServerKind("vsftpd", "vsftpd"),
        ServerKind("vsftpd-reuse", "vsftpd with require_ssl_reuse"),
        ServerKind("proftpd", "ProFTPD with mod_tls"),
        ServerKind("pure-ftpd", "Pure-FTPd"),
    )
}
"""FTPS servers by name."""

Row = TypeVar("Row")


def chosen(option: str, names: Sequence[str], table: Mapping[str, Row]) -> list[Row]:
    """Return the named rows, in the table's order; all of them if no name is given.

    Raises:
        UsageError: No row has that name.
    """
    for name in names:
        if name not in table:
            near = did_you_mean(name, table)
            what = option.removeprefix("--")
            raise UsageError(f"{option} {name}: no {what} has this name.{near} There are: {', '.join(table)}")
    return [row for name, row in table.items() if not names or name in names]
