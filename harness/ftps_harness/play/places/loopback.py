"""The places where client and servers run, behind one interface.

`Loopback` is this machine's loopback, `ftps_harness.play.places.sealed.Sealed` a loopback private to the run, and
`ftps_harness.matrix.containers.PairPlace` a network of containers.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal, Protocol

from ftps_harness.client import lftp, s_client
from ftps_harness.play.places.leads import leads_outside
from ftps_harness.sandbox import process

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.sandbox.home import Home
    from ftps_harness.scenario import Step
    from ftps_lab.interface import Server, ServerSpec
    from ftps_lab.wire import Traffic


class Place(Protocol):
    """Where lftp and the servers run."""

    @property
    def name(self) -> str:
        """``sealed``, ``loopback`` or ``containers``."""

    @property
    def parent(self) -> Path | None:
        """The folder that lftp and the servers share; None for this machine's folder for temporary files."""

    @property
    def inside(self) -> Path | None:
        """The path at which lftp sees the folder of any HOME; None if lftp sees the same path as we do."""

    def client(self, client: Lftp, home: Home) -> Lftp:
        """This machine's lftp, prepared to start here with that HOME."""

    def starter(self, home: Home) -> process.Starter:
        """A starter for any program here with that HOME."""

    def watch(self) -> None:
        """Start watching all traffic, if it is visible here."""

    def traffic(self) -> Traffic | None:
        """All traffic since `watch`; None if it is not visible here."""

    def refused(self) -> Sequence[str]:
        """What programs tried to reach since `watch` and this place refused before there was traffic, a phrase each."""

    def why_not(self, spec: ServerSpec, host: str, user: str | None) -> str:
        """Why this place cannot provide this server, host name or user, as a sentence; empty if it can."""

    def refuses(self, step: Step) -> str:
        """Why a step must not run here, as a sentence; empty if it may."""

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
        """Start a server at the address to which `host` leads; on return it is ready, and it accepts `users`."""

    def same_server(self, host: str, other: str) -> bool:
        """Whether both hosts lead to the same server."""

    def address_of(self, host: str) -> str | None:
        """The address to which `host` must lead lftp (``dns:name``); None if the network resolves the name itself."""

    def prefix(self) -> Sequence[str]:
        """What precedes lftp on the command line, to keep out a system rc that would change verdicts."""

    def fetch(self, server: Server, protocol: Literal["explicit", "implicit"]) -> bytes:
        """The leaf that the running server shows, as PEM, fetched the way the document does."""


class Loopback:
    """This machine's loopback, with servers in threads of this process.

    Where the kernel supports it (`ftps_harness.sandbox.guard`), no program that this place starts reaches another
    machine, and every attempt is recorded.
    """

    name = "loopback"
    parent: Path | None = None
    inside: Path | None = None

    def __init__(self) -> None:
        self._refused: list[str] = []

    def client(self, client: Lftp, home: Home) -> Lftp:
        """The same program, guarded if it runs on this machine."""
        return dataclasses.replace(client, start=self.starter(home)) if client.start is process.run else client

    def starter(self, home: Home) -> process.Starter:  # noqa: ARG002 - the protocol's
        """Starts a process of this machine, guarded where the kernel supports that."""
        return process.run if why_unguarded() else self._start

    def watch(self) -> None:
        """Forget the attempts so far. Other programs use this loopback too, and their traffic looks like lftp's."""
        self._refused.clear()

    def traffic(self) -> Traffic | None:
        """None: the traffic is not visible."""
        return None

    def refused(self) -> Sequence[str]:
        """What programs tried to reach outside this machine; without a guard nothing, because it is not seen."""
        return tuple(dict.fromkeys(self._refused))

    def _start(self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, timeout: float) -> process.Finished:
        finished = process.guarded(argv, env=env, cwd=cwd, timeout=timeout)
        self._refused += finished.refused
        return finished

    def why_not(self, spec: ServerSpec, host: str, user: str | None) -> str:  # noqa: ARG002 - the protocol's
        """Always empty: the lab's own server supports everything that a scenario can request."""
        return ""

    def refuses(self, step: Step) -> str:
        """Refuses steps that plainly lead to other machines: without a guard they would reach them."""
        if host := leads_outside(step):
            why = "which lftp could really reach in" if why_unguarded() else "which does not exist in"
            return (
                f"step {step.title!r} names {host}, {why} the loopback place: "
                "use the sealed place (`ftps-lab doctor` shows what it needs)"
            )
        return ""

    def serve(
        self,
        spec: ServerSpec,
        *,
        root: os.PathLike[str],
        password: str,
        users: Sequence[str] = (),  # noqa: ARG002 - it accepts any user with the right password
        port: int = 0,
        host: str = "localhost",
    ) -> Server:
        """Start a server on 127.0.0.1, to which every name leads, or on ``::1`` if that is the host.

        Raises:
            LabError: The port is taken, or the server does not answer.
        """
        from ftps_lab.servers import FtpsServer  # load OpenSSL only when a server is needed

        return FtpsServer(spec, root=root, password=password, host=_address(host), port=port).start()

    def same_server(self, host: str, other: str) -> bool:
        """All hosts but ``::1`` share one server."""
        return _address(host) == _address(other)

    def address_of(self, host: str) -> str | None:  # noqa: ARG002 - every name leads to the lab
        """Loopback."""
        return lftp.LAB_ADDRESS

    def prefix(self) -> Sequence[str]:
        """Empty, unless /etc/lftp.conf affects trust.

        Raises:
            HarnessError: It does, and cannot be kept out here.
        """
        return lftp.system_rc_prefix()

    def fetch(self, server: Server, protocol: Literal["explicit", "implicit"]) -> bytes:
        """Fetch with this machine's openssl.

        Raises:
            HarnessError: openssl is missing, or returned no certificate.
        """
        return s_client.fetch(server.host, server.port, protocol=protocol).leaf


def why_unguarded() -> str:
    """Why the kernel does not keep programs from other machines here, as the rest of a sentence; empty if it does."""
    from ftps_harness.sandbox import guard  # loads ctypes, and only Linux has what it uses

    return guard.why_none()


def _address(host: str) -> str:
    return "::1" if ":" in host else lftp.LAB_ADDRESS
