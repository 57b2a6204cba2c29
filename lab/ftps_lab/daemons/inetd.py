"""Starts a daemon process for each control connection, as inetd(8) does: we accept and pass it the socket.

ProFTPD's master sleeps 0.2 s, once or twice, after a session ends (PR_TUNABLE_EINTR_RETRY_INTERVAL), and accepts no
connection meanwhile: the next client would wait 350 to 420 ms. Without a master it waits 30 ms, for the start.
"""

from __future__ import annotations

import contextlib
import errno
import selectors
import socket
import subprocess
import threading
import time
from typing import TYPE_CHECKING

from ftps_lab.daemons.process import STOP_SECONDS, spawn
from ftps_lab.errors import LabError

if TYPE_CHECKING:
    from ftps_lab.daemons.process import Program

_BACKLOG = 128


class Inetd:
    """Replaces `ftps_lab.daemons.process.Process`: a thread accepts, and each session gets a process.

    All its sessions use the daemon's files as they are when this object is created.

    Raises:
        LabError: The daemon's address is in use.
    """

    def __init__(self, daemon: Program) -> None:
        self._daemon = daemon
        self._argv, self._environment = daemon.argv(), daemon.environment()
        self._sessions: list[subprocess.Popen[bytes]] = []
        self._lock = threading.Lock()
        self._error = ""
        self._stopping = False
        self._listener = socket.socket()
        try:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._listener.bind(daemon.address)
            self._listener.listen(_BACKLOG)
        except OSError as error:
            self._listener.close()
            raise LabError(
                f"cannot listen on {daemon.address[0]} port {daemon.address[1]} for {daemon.binary}: {error.strerror}; "
                "end the program that uses it"
            ) from None
        self._listener.setblocking(False)
        self._ours, self._theirs = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, name=f"ftps-lab inetd:{daemon.address[0]}", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """It accepts connections."""
        return self._thread.is_alive()

    def require_alive(self) -> None:
        """Raise if it no longer accepts connections, or a session has crashed.

        Raises:
            LabError: With the last lines of the daemon's log.
        """
        self.children()
        if self._error or not self.alive:
            why = self._error or "the thread that accepts its connections has ended"
            raise LabError(f"{self._daemon.binary} has died ({why}); the end of its log:\n{self._daemon.tail()}")

    def children(self) -> list[int]:
        """The processes of the sessions; a connection still waiting to be accepted counts as one."""
        with self._lock:
            if not self._stopping:
                self._accept()
            self._sessions = [session for session in self._sessions if self._goes_on(session)]
            return [session.pid for session in self._sessions]

    def _goes_on(self, session: subprocess.Popen[bytes]) -> bool:
        code = session.poll()
        if code is not None and code < 0 and not self._error:
            self._error = f"a session's process was killed by signal {-code}"
        return code is None

    def stop_listening(self) -> None:
        """Stop accepting; open sessions continue.

        Raises:
            LabError: The thread does not end.
        """
        with self._lock:
            self._stopping = True
        with contextlib.suppress(OSError):  # already closed
            self._theirs.send(b"!")
        self._thread.join(STOP_SECONDS)
        if self._thread.is_alive():
            raise LabError(f"the thread that accepts {self._daemon.binary}'s connections does not end")
        for sock in (self._listener, self._ours, self._theirs):
            sock.close()

    def stop(self) -> None:
        """End it with all its sessions; repeatable.

        Raises:
            LabError: Something does not end.
        """
        try:
            self.stop_listening()
        finally:
            for session in self._sessions:
                session.kill()
            until = time.monotonic() + STOP_SECONDS
            for session in self._sessions:
                try:
                    session.wait(max(0.0, until - time.monotonic()))
                except subprocess.TimeoutExpired:
                    raise LabError(f"{self._daemon.binary} (process {session.pid}) does not end") from None
            self._sessions = []

    def _serve(self) -> None:
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._listener, selectors.EVENT_READ)
                selector.register(self._ours, selectors.EVENT_READ)
                while not self._stopping:
                    selector.select()
                    with self._lock:
                        if not self._stopping:
                            self._accept()
        except BaseException as error:  # noqa: BLE001 - any error surfaces in the caller
            self._error = f"{type(error).__name__}: {error}"

    def _accept(self) -> None:
        """Accept all waiting connections; `self._lock` is held."""
        while True:
            try:
                sock, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in {errno.ECONNABORTED, errno.EPROTO, errno.EINTR}:
                    continue
                raise
            with sock:
                try:
                    self._sessions.append(spawn(self._daemon, self._argv, self._environment, sock))
                except BaseException as error:
                    self._error = f"{type(error).__name__}: {error}"  # set before the client sees the connection end
                    raise
