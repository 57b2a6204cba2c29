"""/dev/log in a daemon's container: receives what the daemon sends to syslog, and writes it to a file line by line.

It runs in a thread, because the kernel queues only ten messages before the daemon blocks (net.unix.max_dgram_qlen).
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from pathlib import Path

from ftps_lab.errors import LabError

DEVICE = Path("/dev/log")

_HEAD = re.compile(rb"<\d+>\w{3} [ \d]\d [\d:]{8} ")
_BARRIER = b"\x00ftps-lab"


class Syslog:
    """Listens on /dev/log.

    Raises:
        LabError: Another program already listens there, or /dev is not writable.
    """

    def __init__(self, log: Path) -> None:
        self._log = log.open("ab", buffering=0)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._turn = threading.Condition()
        self._sent = self._seen = 0
        try:
            self._bind()
        except OSError as error:
            self._socket.close()
            self._log.close()
            raise LabError(
                f"cannot listen on {DEVICE}, where pure-ftpd logs ({error.strerror}): "
                "run only one such server at a time, as root, in its container"
            ) from None
        self._thread = threading.Thread(target=self._serve, name="ftps-lab syslog", daemon=True)
        self._thread.start()

    def _bind(self) -> None:
        with contextlib.suppress(FileNotFoundError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            try:
                other.connect(str(DEVICE))
            except ConnectionRefusedError:  # left behind by a killed process
                DEVICE.unlink()
        self._socket.bind(str(DEVICE))
        DEVICE.chmod(0o666)

    def _serve(self) -> None:
        while True:
            message = self._socket.recv(1 << 16)
            if message == _BARRIER + b"end":
                return
            if message.startswith(_BARRIER):
                with self._turn:
                    self._seen = int(message.removeprefix(_BARRIER))
                    self._turn.notify_all()
                continue
            self._log.write(_HEAD.sub(b"", message).rstrip(b"\n\0").replace(b"\r", b"").replace(b"\n", b"\\n") + b"\n")

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until everything sent so far is in the file; False if `timeout` seconds were not enough.

        Barriers are numbered, so that one that arrives after its timeout is not mistaken for the next.
        """
        until = time.monotonic() + timeout
        with self._turn:
            self._sent += 1
            number = self._sent
        try:
            self._send(_BARRIER + b"%d" % number, timeout)
        except (TimeoutError, BlockingIOError):  # the queue is not being read
            return False
        with self._turn:
            return self._turn.wait_for(lambda: self._seen >= number, max(0.0, until - time.monotonic()))

    def close(self) -> None:
        """End; repeatable."""
        if not self._log.closed:
            with contextlib.suppress(TimeoutError):
                self._send(_BARRIER + b"end", 5.0)
            self._thread.join(5)
            self._socket.close()
            self._log.close()
            DEVICE.unlink(missing_ok=True)

    def _send(self, message: bytes, timeout: float) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(timeout)
            sender.sendto(message, str(DEVICE))
