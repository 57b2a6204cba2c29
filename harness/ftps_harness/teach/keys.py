"""The teacher's input to `ftps-lab serve`: single keys on a terminal, or lines from a pipe."""

from __future__ import annotations

import contextlib
import os
import select
import termios
import tty
from typing import IO, TYPE_CHECKING, Any, Final, Literal, Self

if TYPE_CHECKING:
    from types import TracebackType

Key = Literal["next", "previous", "rotate", "quit"]

KEYS: Final[dict[str, Key]] = {
    "": "next",
    "n": "next",
    "next": "next",
    "p": "previous",
    "previous": "previous",
    "r": "rotate",
    "rotate": "rotate",
    "q": "quit",
    "quit": "quit",
}
"""A key, or the text of a line → the requested action."""

_END_OF_INPUT: Final = "\x04"  # Ctrl-D


class Keys:
    """Reads keys without blocking. A context manager: it switches the terminal to single keys, and back at the end.

    Args:
        stream: Standard input; None if there is none.

    Attributes:
        live: Standard input is a terminal.
    """

    def __init__(self, stream: IO[str] | None) -> None:
        self._descriptor = -1
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):  # the stream is closed, or is not a file
                self._descriptor = stream.fileno()
        self.live = self._descriptor >= 0 and os.isatty(self._descriptor)
        self._before: Any = None  # opaque: from tcgetattr, for tcsetattr
        self._rest = ""

    def __enter__(self) -> Self:
        if self.live:
            with contextlib.suppress(termios.error):
                self._before = termios.tcgetattr(self._descriptor)
                tty.setcbreak(self._descriptor, termios.TCSANOW)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._descriptor, termios.TCSANOW, self._before)

    def read(self) -> Key | None:
        """The action requested since the last call, if any; the end of a terminal's input requests the end."""
        if self._descriptor < 0 or not select.select([self._descriptor], [], [], 0)[0]:
            return self._next()
        data = os.read(self._descriptor, 4096).decode("utf-8", "replace")
        if not data:
            self._descriptor = -1
            return "quit" if self.live else self._next()
        self._rest += data.replace("\r", "\n")
        return self._next()

    def _next(self) -> Key | None:
        """The first complete request; unknown input is skipped."""
        while self._rest:
            if self.live:
                word, self._rest = self._rest[0].strip("\n"), self._rest[1:]
            elif "\n" in self._rest:
                word, _, self._rest = self._rest.partition("\n")
            else:
                return None
            if word == _END_OF_INPUT:
                return "quit"
            if (key := KEYS.get(word.strip().lower())) is not None:
                return key
        return None
