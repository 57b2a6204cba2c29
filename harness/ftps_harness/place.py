"""Where client and servers live: one interface, so that the runner need not know (DESIGN.md 3).

`Here` is this machine's loopback. A place of containers is another implementation of the same two protocols.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import os

    from ftps_lab.servers import ServerSpec
    from ftps_lab.testimony import Testimony, Wire


class Server(Protocol):
    """A running server and what it witnessed; `ftps_lab.servers.FtpsServer` is one."""

    host: str
    port: int

    def change(self, spec: ServerSpec) -> None:
        """Be another server from the next connection on; the address stays."""

    def record(self) -> None:
        """Begin a new record."""

    def settle(self, timeout: float = ...) -> bool:
        """Wait until what clients did is witnessed; False when a connection is still open after `timeout` seconds."""

    def testimony(self) -> Testimony:
        """What the server witnessed since `record`."""

    def wire(self) -> Wire:
        """The raw bytes since `record`."""

    def stop(self) -> None:
        """End it; repeatable."""


class Place(Protocol):
    """Where servers are started."""

    def serve(self, spec: ServerSpec, *, root: os.PathLike[str], password: str, port: int = 0) -> Server:
        """Start a server that is ready when this returns."""


class Here:
    """This machine's loopback, servers in threads of this process."""

    def serve(self, spec: ServerSpec, *, root: os.PathLike[str], password: str, port: int = 0) -> Server:
        """Start a server on 127.0.0.1.

        Raises:
            LabError: The port is taken, or the server does not answer.
        """
        from ftps_lab.servers import FtpsServer  # OpenSSL is loaded when a server is wanted, not before

        return FtpsServer(spec, root=root, password=password, port=port).start()
