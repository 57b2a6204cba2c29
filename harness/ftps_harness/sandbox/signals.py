"""Ctrl-C, SIGTERM and SIGHUP: handled once, at a moment when everything can be cleaned up.

Python runs signal handlers in the main thread, between any two bytecode instructions. A handler that raises there may
separate a `with` from the resource that it has just acquired, and one that takes a lock may wait for the code that it
interrupted. So resources are acquired inside `on_shutdown_signal`, whose handlers make only one call without a lock.
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
    """The command was asked to end now.

    Not KeyboardInterrupt: once that has passed through code run by `exec`, which creates every dataclass, Python exits
    by killing itself with SIGINT, whatever the exit code (CPython 3.11, Python/pythonrun.c).
    """


def interrupting() -> contextlib.AbstractContextManager[None]:
    """Raise `AskedToEnd` on the first of these signals; see `on_shutdown_signal`."""
    return on_shutdown_signal(_raise)


@contextlib.contextmanager
def on_shutdown_signal(notify: Callable[[], object]) -> Iterator[None]:
    """Call `notify` on the first of these signals, and ignore all later ones, even after this context has ended.

    A second Ctrl-C must not stop the cleanup that the first one started, and the process is about to end. Signals that
    the caller made us ignore (``nohup``, a shell's background job) stay ignored. Outside the main thread this does
    nothing.

    Args:
        notify: Called in the main thread, at any point: it must not take a lock (`list.append` takes none, and
            `queue.SimpleQueue.put` is safe; `threading.Event.set` is not).
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
                signal.signal(each, signal.SIG_IGN)  # our handler would be gone before Python has ended
            notify()

    before = {each: handler for each in _ENDING if (handler := signal.getsignal(each)) is not signal.SIG_IGN}
    for each in before:
        signal.signal(each, hear)
    try:
        yield
    finally:
        if not heard:
            for each, handler in before.items():
                # If a context within this one has received the signal, it is now ignored and stays so.
                if signal.getsignal(each) is hear:
                    signal.signal(each, handler)


def undisturbed(work: Callable[[], Made]) -> Made:
    """Do something short and defer Ctrl-C until it has finished, when everything it created is in place or gone.

    Raises:
        AskedToEnd: A signal arrived.
    """
    heard: list[bool] = []
    with on_shutdown_signal(lambda: heard.append(True)):
        made = work()
    if heard:
        raise AskedToEnd
    return made


def deferring(work: Callable[[], Made], undo: Callable[[Made], object] = lambda _: None) -> Made:
    """Do something short as `undisturbed` does, in a process that does not end with us: undo it and tell its owner.

    Raises:
        KeyboardInterrupt: A signal arrived; from now on signals do what they did before.
    """
    heard: list[bool] = []
    before = {each: handler for each in _ENDING if (handler := signal.getsignal(each)) is not None}
    try:
        with on_shutdown_signal(lambda: heard.append(True)):
            made = work()
    except Exception:
        if heard:  # the signal, or what it broke: the owner wants to end in both cases
            raise KeyboardInterrupt from None
        raise
    finally:
        if heard:
            for each, handler in before.items():
                signal.signal(each, handler)
    if heard:
        undo(made)
        raise KeyboardInterrupt
    return made


def _raise() -> None:
    raise AskedToEnd
