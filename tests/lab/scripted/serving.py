"""Scripted servers, and connections to them, for one test."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from ftps_lab.scripted import ScriptedServer

if TYPE_CHECKING:
    import contextlib

    from ftps_lab.scripted import Script

SECONDS = 10.0


class Scripted:
    """Starts servers, connects clients."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack

    def serve(self, *scripts: Script) -> ScriptedServer:
        return self._stack.enter_context(ScriptedServer(scripts))

    def connect(self, server: ScriptedServer) -> socket.socket:
        return self._stack.enter_context(socket.create_connection((server.host, server.port), SECONDS))
