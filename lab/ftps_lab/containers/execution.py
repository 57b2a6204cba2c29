"""Run one command in a running container with a time limit, its two streams apart."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ftps_lab.containers.frames import STDERR, Frames
from ftps_lab.containers.line import hang_up, raw_socket
from ftps_lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftps_lab.containers.engine import Engine

_TIMED_OUT = 124
"""Exit code of coreutils' timeout when it had to end the command; with -k, if the command was killed: 137."""

_GRACE = 5.0
"""Seconds after the time limit for the command to end and the engine to report it."""


@dataclass(frozen=True, slots=True)
class Executed:
    """A command that has ended."""

    code: int
    stdout: bytes
    stderr: bytes


def execute(
    engine: Engine, container: str, name: str, command: Sequence[str], *, timeout: float, user: str = ""
) -> Executed:
    """Run a command in a container; see `Container.run`.

    The engine cannot end a command that it executes; coreutils' timeout can, and every Debian image has it.

    Raises:
        LabError: The container is gone, or the command did not end in time.
    """
    seconds = str(max(math.ceil(timeout), 1))
    limited = ["timeout", "--kill-after=1", seconds, *command]
    doing = f"run {command[0]} in the container {name}"
    began = time.monotonic()
    with engine.errors(doing):
        order = engine.api.exec_create(container, limited, user=user)
        stream: Any = engine.api.exec_start(order["Id"], socket=True)
    try:
        out, err = _collect(stream, began + timeout + _GRACE)
    except TimeoutError:
        raise LabError(f"cannot {doing}: it did not end within {timeout:g} seconds") from None
    finally:
        hang_up(stream)
    with engine.errors(doing):
        code = engine.api.exec_inspect(order["Id"])["ExitCode"]
    if code is None:
        raise LabError(f"cannot {doing}: the container ended before the command did")
    if code == _TIMED_OUT or (code == 137 and time.monotonic() - began > timeout):
        raise LabError(f"cannot {doing}: it did not end within {timeout:g} seconds")
    return Executed(int(code), out, err)


def _collect(stream: Any, deadline: float) -> tuple[bytes, bytes]:
    """Read both streams to their end."""
    sock = raw_socket(stream)
    frames, out, err = Frames(), bytearray(), bytearray()
    data = _read_ahead(stream)
    while True:
        for number, said in frames.feed(data):
            (err if number == STDERR else out).extend(said)
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        sock.settimeout(left)
        try:
            data = sock.recv(1 << 16)
        except ConnectionResetError:
            data = b""
        if not data:
            return bytes(out), bytes(err)


def _read_ahead(stream: Any) -> bytes:
    """The bytes that the reader of the HTTP headers took beyond them: the SDK's socket omits them (docker-py 7)."""
    response = getattr(stream, "_response", None)
    buffered = getattr(getattr(getattr(response, "raw", None), "_fp", None), "fp", None)
    if buffered is None:
        return b""
    raw_socket(stream).setblocking(False)  # an empty buffer does not block then
    return bytes(buffered.read1(1 << 16) or b"") if buffered.peek(1) else b""
