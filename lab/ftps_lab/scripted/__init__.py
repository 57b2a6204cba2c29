"""Servers that follow a script: behaviour that a client may meet but that no FTPS server, or few, should show.

    scripts = PEERS["silent-after-234"].scripts()
    server = ScriptedServer(scripts).start()
    ...                                            # a client talks to (server.host, server.port)
    server.connections()                           # what happened on each connection
    server.stop()

`steps` is the data, which can be serialized; `peers` is the table of ready-made scripts and `texts` holds their
replies; `stream` handles a connection's bytes, `conversation` follows a script over it, and `server` runs a thread for
each connection.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ftps_lab.scripted.steps import (
    Answer,
    Close,
    Heard,
    Pause,
    ReadLine,
    Receive,
    Repeat,
    Reset,
    Script,
    ScriptedConnection,
    Send,
    StartTls,
    Step,
    Wait,
    expect,
)

if TYPE_CHECKING:
    from ftps_lab.scripted.peers import PEERS, Peer
    from ftps_lab.scripted.server import ScriptedServer

__all__ = [
    "PEERS",
    "Answer",
    "Close",
    "Heard",
    "Pause",
    "Peer",
    "ReadLine",
    "Receive",
    "Repeat",
    "Reset",
    "Script",
    "ScriptedConnection",
    "ScriptedServer",
    "Send",
    "StartTls",
    "Step",
    "Wait",
    "expect",
]

if not TYPE_CHECKING:
    _LAZY = {"PEERS": "peers", "Peer": "peers", "ScriptedServer": "server"}  # the agent's orders need only the data

    def __getattr__(name: str) -> object:
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
        globals()[name] = value
        return value
