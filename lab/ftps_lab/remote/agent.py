"""The process inside a server's container: `python -m ftps_lab.remote.agent` executes one call after another.

Each call is one line of JSON on stdin, each result one line on stdout (`ftps_lab.remote.orders`). Nothing else is ever
on stdout: output of the daemons, their children or Python itself goes to stderr. The agent first stops its server and
then exits, at the end of stdin or on SIGTERM; the process at the other end of stdin owns it.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import select
import signal
import socket
import sys
import traceback
from typing import TYPE_CHECKING, BinaryIO

from ftps_lab.errors import LabError
from ftps_lab.interface import LAB_KIND
from ftps_lab.remote import orders
from ftps_lab.servers import FtpsServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from ftps_lab.interface import Server, ServerSpec
    from ftps_lab.scripted.server import ScriptedServer

_PACKAGES = ("pyftpdlib", "pyOpenSSL", "cryptography")

_TRACE_LINES = 8


class Agent:
    """Executes calls; has at most one server at a time, and any number of scripted ones besides."""

    def __init__(self) -> None:
        self._server: Server | None = None
        self._scripted: dict[int, ScriptedServer] = {}
        self._number = self._current = 0

    def answer(self, text: bytes) -> bytes:
        """The answer to any line, valid or not."""
        number = 0
        try:
            call = orders.read_call(text)
            number = call.number
            return orders.line(orders.result(number, self._obey(call)))
        except LabError as error:
            return orders.line(orders.Result(number=number, failure=_encodable(str(error))))
        except Exception as error:  # noqa: BLE001 - a bug must not end a scenario's server silently
            return orders.line(orders.Result(number=number, failure=_encodable(_trace(error)), bug=True))

    def close(self) -> None:
        """Stop every running server."""
        with contextlib.ExitStack() as stack:
            stack.callback(self._stop)
            while self._scripted:
                stack.callback(self._scripted.popitem()[1].stop)

    def _stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            try:
                server.stop()
            finally:
                _bury_children()

    def _obey(self, call: orders.Call) -> object:  # noqa: C901, PLR0911, PLR0912 - one case for each method
        if call.method == "ping":
            return versions()
        if call.method == "serve":
            return self._serve(call)
        if call.method == "serve_scripts":
            return self._serve_scripts(call)
        if call.server in self._scripted:
            return self._obey_scripted(call)
        server = self._require_current(call.server)
        match call.method:
            case "change":
                server.change(_spec_of(call))
            case "change_after":
                server.change_after(call.after, _spec_of(call))
            case "begin":
                return server.begin()
            case "record":
                server.record()
            case "settle":
                return server.settle(call.timeout)
            case "testimony":
                return server.testimony()
            case "wire":
                return server.wire()
            case "finish":
                return server.finish(call.timeout)
            case "stop":
                self._stop()
            case _:
                raise LabError(f"this server has no method {call.method}: it is not a scripted server")
        return None

    def _obey_scripted(self, call: orders.Call) -> object:
        server = self._scripted[call.server]
        match call.method:
            case "record":
                server.record()
            case "connections":
                return server.connections(call.timeout)
            case "stop":
                del self._scripted[call.server]
                server.stop()
            case _:
                raise LabError(f"a scripted server has no method {call.method}: it is not an FTPS server")
        return None

    def _serve_scripts(self, call: orders.Call) -> orders.Serving:
        from ftps_lab.scripted.server import ScriptedServer

        if call.scripts is None:
            raise LabError("invalid call for this version of ftps-lab: the scripts are missing")
        host = call.scripts.host or own_address()
        server = ScriptedServer(orders.received_scripts(call.scripts), host=host, port=call.scripts.port).start()
        self._number += 1
        self._scripted[self._number] = server
        return orders.Serving(server=self._number, host=server.host, port=server.port)

    def _serve(self, call: orders.Call) -> orders.Serving:
        if self._server is not None:
            raise LabError("a server is already running here: stop it before starting another")
        if call.start is None:
            raise LabError("invalid call for this version of ftps-lab: the server to start is missing")
        self._server = _start(call.start, _spec_of(call))
        self._number += 1
        self._current = self._number
        return orders.Serving(server=self._current, host=self._server.host, port=self._server.port)

    def _require_current(self, number: int) -> Server:
        if self._server is None or number != self._current:
            raise LabError("this server was stopped: start another")
        return self._server


def own_address() -> str:
    """This machine's address on its network, never loopback.

    The container engine writes it next to the container's host name into /etc/hosts, so no name server is asked.

    Raises:
        LabError: Its host name resolves to nothing, or only to loopback, as on many machines that are not containers.
    """
    name = socket.gethostname()
    try:
        address = socket.gethostbyname(name)
    except OSError as error:
        raise LabError(
            f"this machine's name {name!r} has no address ({error}): connect the container to a network, or give the "
            f"address to bind"
        ) from None
    if ipaddress.ip_address(address).is_loopback:
        raise LabError(f"this machine's name {name!r} resolves only to loopback {address}; give an address to bind")
    return address


def versions() -> dict[str, str]:
    """Versions of the software that serves here."""
    from importlib import metadata  # loads email's parser, which nothing else needs

    from OpenSSL import SSL

    found = {"Python": sys.version.split()[0]}
    for name in ("ftps-lab", *_PACKAGES):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found | {"OpenSSL": SSL.SSLeay_version(SSL.SSLEAY_VERSION).decode("ascii", "replace")}


def main() -> int:
    """Execute calls until stdin ends or SIGTERM arrives."""
    source, sink = _own_streams()
    woken = _woken_by_signals()
    signal.signal(signal.SIGTERM, _end)
    # Ctrl-C reaches the owner as well, which decides when to end. Not SIG_IGN, which daemons would inherit.
    signal.signal(signal.SIGINT, lambda _number, _frame: None)
    agent = Agent()
    with contextlib.suppress(BrokenPipeError):  # the owner is gone
        try:
            for text in _lines(source, woken):
                sink.write(agent.answer(text))
                sink.flush()
        finally:
            signal.signal(signal.SIGTERM, lambda _number, _frame: None)
            _last_act(agent)
    return 0


def _spec_of(call: orders.Call) -> ServerSpec:
    if call.spec is None:
        raise LabError("invalid call for this version of ftps-lab: the server's specification is missing")
    return orders.received_spec(call.spec)


def _start(order: orders.Start, spec: ServerSpec) -> Server:
    host = order.host or own_address()
    if order.kind == LAB_KIND:
        return FtpsServer(spec, root=order.root, password=order.password, host=host, port=order.port).start()
    from ftps_lab.daemons import DAEMONS, DaemonServer, why_not

    if order.kind not in DAEMONS:
        raise LabError(f"unknown kind of server {order.kind!r}: use one of {', '.join((LAB_KIND, *DAEMONS))}")
    if reason := why_not(order.kind, spec):
        raise LabError(f"{order.kind} cannot be this server: {reason}")
    return DaemonServer(
        order.kind,
        spec,
        root=order.root,
        password=order.password,
        users=order.users,
        host=host,
        port=order.port,
    ).start()


def _woken_by_signals() -> int:
    """A descriptor that becomes readable with every signal.

    Without it, the main thread would sleep through a signal that arrives just before it reads, or that the kernel
    delivers to another thread: Python runs the handler only when the main thread continues.
    """
    woken, waking = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(waking, False)
    signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
    return woken


def _lines(source: int, woken: int) -> Iterator[bytes]:
    """The lines on stdin, each with its end; text after the last line end is a line too."""
    poll = select.poll()
    poll.register(source, select.POLLIN)
    poll.register(woken, select.POLLIN)
    line: list[bytes] = []
    while True:
        ready = dict(poll.poll())
        if woken in ready:
            os.read(woken, 512)  # Python then runs the handler
        if source not in ready:
            continue
        data = os.read(source, 1 << 20)
        if not data:
            break
        *ends, rest = data.split(b"\n")
        for end in ends:
            yield b"".join((*line, end, b"\n"))
            line = []
        line.append(rest)
    if any(line):
        yield b"".join(line)


def _own_streams() -> tuple[int, BinaryIO]:
    """Reserve stdin and stdout for orders: copies that no child inherits. Prints go to stderr; reads get nothing."""
    source, sink = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return source, os.fdopen(sink, "wb")


def _end(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def _last_act(agent: Agent) -> None:
    try:
        agent.close()
    except Exception as error:  # noqa: BLE001 - no one is left to answer: stderr has it
        print(_trace(error), file=sys.stderr)


def _bury_children() -> None:
    """As the first process of a container, reap the dead children of daemons: no other process does."""
    if os.getpid() == 1:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass


def _trace(error: Exception) -> str:
    lines = "".join(traceback.format_exception(error)).rstrip().split("\n")
    return "\n".join(lines[-_TRACE_LINES:])


def _encodable(text: str) -> str:
    """Make text encodable as UTF-8 for JSON: escape the lone surrogates of a file name that is not UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


if __name__ == "__main__":
    sys.exit(main())
