"""Scripted servers for one test, all ended after it, with no thread left."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from ftps_lab.scripted import ScriptedServer

if TYPE_CHECKING:
    from collections.abc import Iterator

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


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    with contextlib.ExitStack() as stack:
        yield Scripted(stack)
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("ftps-lab:scripted")] == []
