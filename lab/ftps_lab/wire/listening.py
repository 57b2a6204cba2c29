"""Listening sockets bound to an address of this machine, or an error that says what to do."""

from __future__ import annotations

import socket

from ftps_lab.errors import LabError

BACKLOG = 128


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket; the caller closes it and reads its port back.

    Args:
        host: The address to bind, IPv4 or IPv6.
        port: 0 lets the system choose.

    Raises:
        LabError: The port is in use, or the address is not on this machine.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)  # inside the try: Linux may report only now that the port is in use
    except (OSError, OverflowError, UnicodeError) as error:  # the last two: not a port, not a host name
        listener.close()
        raise LabError(
            f"cannot listen on {host} port {port}: {getattr(error, 'strerror', None) or error}; "
            "choose another address or port, or end the program that uses this one"
        ) from None
    return listener
