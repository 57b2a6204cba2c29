"""Where client and servers live: one interface, so that the runner need not know.

`Loopback` is this machine's loopback, `ftps_harness.play.places.sealed.Sealed` a loopback of the run's own, and
`ftps_harness.matrix.containers.PairPlace` a network of containers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

from ftps_harness.client import lftp, s_client
from ftps_harness.play.places.leads import leads_outside
from ftps_harness.sandbox import process

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from pathlib import Path

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.sandbox.home import Home
    from ftps_harness.scenario import Step
    from ftps_lab.interface import Server, ServerSpec
    from ftps_lab.wire import Traffic


class Place(Protocol):
    """Where lftp runs and servers are started."""

    @property
    def name(self) -> str:
        """``sealed``, ``loopback`` or ``containers``."""

    @property
    def parent(self) -> Path | None:
        """The folder that lftp and the servers both reach; None for this machine's place for temporary files."""

    @property
    def inside(self) -> Path | None:
        """The path under which lftp sees its HOME's folder, whichever that is; None where it sees the same as we."""

    def client(self, client: Lftp, home: Home) -> Lftp:
        """An lftp of this machine, as it is started here with that HOME."""

    def starter(self, home: Home) -> process.Starter:
        """What starts any program here with that HOME."""

    def watch(self) -> None:
        """Begin to watch all traffic, where that can be seen."""

    def traffic(self) -> Traffic | None:
        """All traffic since `watch`; None where nobody can see it."""

    def why_not(self, spec: ServerSpec, host: str, user: str | None) -> str:
        """Why this place has no such server, such a name for it, or such a user, as a sentence; empty if it has."""

    def refuses(self, step: Step) -> str:
        """Why a step must not be played here, as a sentence; empty if it may."""

    def serve(
        self,
        spec: ServerSpec,
        *,
        root: os.PathLike[str],
        password: str,
        users: Sequence[str],
        port: int = 0,
        host: str = "localhost",
    ) -> Server:
        """Start a server that is ready when this returns, and lets `users` in, where a user who types `host` is led."""

    def same_server(self, host: str, other: str) -> bool:
        """Whether users who type these hosts are led to one server."""

    def address_of(self, host: str) -> str | None:
        """Where lftp is led (``dns:name``) when a user types `host`; None where the network itself knows the name."""

    def prefix(self) -> Sequence[str]:
        """What comes before lftp on the command line, to keep out a system's rc that would change verdicts."""

    def fetch(self, server: Server, protocol: Literal["explicit", "implicit"]) -> bytes:
        """The leaf that the running server shows, as PEM, fetched as the document does."""


class Loopback:
    """This machine's loopback, servers in threads of this process."""

    name = "loopback"
    parent: Path | None = None
    inside: Path | None = None

    def client(self, client: Lftp, home: Home) -> Lftp:  # noqa: ARG002 - the protocol's
        """As it is."""
        return client

    def starter(self, home: Home) -> process.Starter:  # noqa: ARG002 - the protocol's
        """A process of this machine."""
        return process.run

    def watch(self) -> None:
        """Other programs use this loopback too: what is theirs cannot be told from lftp's."""

    def traffic(self) -> Traffic | None:
        """Nobody can see it."""
        return None

    def why_not(self, spec: ServerSpec, host: str, user: str | None) -> str:  # noqa: ARG002 - the protocol's
        """The lab's own server is whatever a scenario can say."""
        return ""

    def refuses(self, step: Step) -> str:
        """Nothing here keeps lftp from other machines: what plainly leads there is not run."""
        if host := leads_outside(step):
            return (
                f"step {step.title!r} names {host}, and on the place loopback lftp could reach it: "
                "run it in the place sealed (`ftps-lab doctor` says what it needs)"
            )
        return ""

    def serve(
        self,
        spec: ServerSpec,
        *,
        root: os.PathLike[str],
        password: str,
        users: Sequence[str] = (),  # noqa: ARG002 - it lets in anybody who has the password
        port: int = 0,
        host: str = "localhost",
    ) -> Server:
        """Start a server on 127.0.0.1, where every name is led to, or on ``::1`` for who types that.

        Raises:
            LabError: The port is taken, or the server does not answer.
        """
        from ftps_lab.servers import FtpsServer  # OpenSSL is loaded when a server is wanted, not before

        return FtpsServer(spec, root=root, password=password, host=_address(host), port=port).start()

    def same_server(self, host: str, other: str) -> bool:
        """There is one for all but ``::1``."""
        return _address(host) == _address(other)

    def address_of(self, host: str) -> str | None:  # noqa: ARG002 - every name is led to the lab
        """Loopback."""
        return lftp.LAB_ADDRESS

    def prefix(self) -> Sequence[str]:
        """Nothing, unless /etc/lftp.conf touches trust.

        Raises:
            HarnessError: It does, and cannot be kept out here.
        """
        return lftp.system_rc_prefix()

    def fetch(self, server: Server, protocol: Literal["explicit", "implicit"]) -> bytes:
        """With this machine's openssl.

        Raises:
            HarnessError: openssl is missing, or brought no certificate.
        """
        return s_client.fetch(server.host, server.port, protocol=protocol).leaf


def _address(host: str) -> str:
    return "::1" if ":" in host else lftp.LAB_ADDRESS
