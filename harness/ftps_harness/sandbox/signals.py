"""Ctrl-C, SIGTERM and the end of the terminal: heard once, at a moment when everything can be cleared away.

Python runs signal handlers in the main thread, between any two of its instructions. A handler that raises there may cut
a `with` off from what it has just made, and one that takes a lock may wait for the code that it interrupted. So what
must be undone is made inside `on_shutdown_signal`, whose handlers do nothing but one call that takes no lock.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

Made = TypeVar("Made")

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class AskedToEnd(BaseException):
    """Somebody wants the command to end now.

    Not KeyboardInterrupt: once that has passed through code that was run by `exec`, as every dataclass is made, Python
    ends by killing itself with SIGINT, whatever exit code was given (CPython 3.11, Python/pythonrun.c).
    """


def interrupting() -> contextlib.AbstractContextManager[None]:
    """The first of these signals raises `AskedToEnd`; see `on_shutdown_signal`."""
    return on_shutdown_signal(_raise)


@contextlib.contextmanager
def on_shutdown_signal(tell: Callable[[], object]) -> Iterator[None]:
    """The first of these signals calls `tell`; those after it are ignored, also when this context has ended.

    A second Ctrl-C must not stop the cleanup that the first one began, and the process is about to end. What the caller
    has us ignore (``nohup``, a shell's background job) stays ignored. Outside of the main thread this does nothing.

    Args:
        tell: Called in the main thread, in the middle of anything: it must take no lock (`list.append` takes none,
            `queue.SimpleQueue.put` may be called so; `threading.Event.set` may not).
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard = False

    def hear(_number: int, _frame: FrameType | None) -> None:
        nonlocal heard
        if not heard:
            heard = True
            for each in before:
                signal.signal(each, signal.SIG_IGN)  # a handler of ours would be gone before Python has ended
            tell()

    before = {each: handler for each in _ENDING if (handler := signal.getsignal(each)) is not signal.SIG_IGN}
    for each in before:
        signal.signal(each, hear)
    try:
        yield
    finally:
        if not heard:
            for each, handler in before.items():
                # Ignored now, by a context within this one that has heard: it stays so.
                if signal.getsignal(each) is hear:
                    signal.signal(each, handler)


def undisturbed(work: Callable[[], Made]) -> Made:
    """Do something short; Ctrl-C comes after it, when all that it makes is in place or gone.

    Raises:
        AskedToEnd: It came.
    """
    heard: list[bool] = []
    with on_shutdown_signal(lambda: heard.append(True)):
        made = work()
    if heard:
        raise AskedToEnd
    return made


def _raise() -> None:
    raise AskedToEnd
