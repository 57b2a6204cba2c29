"""Printing for `verify` and `pin-check`: wrapped lines, a progress bar, a message while waiting."""

from __future__ import annotations

import contextlib
from typing import IO, TYPE_CHECKING, Generic, TypeVar

from ftps_harness.report.console import console_for
from ftps_harness.report.plain import harmless, wrapped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from ftps_harness.report.progress import Progress

Item = TypeVar("Item")
Result = TypeVar("Result")

_WIDEST = 100


class Printer:
    """Prints lines; the base class of reports.

    Args:
        stream: Standard output, or standard error when that is taken (``--json -``).
    """

    def __init__(self, stream: IO[str]) -> None:
        self.console: Console = console_for(stream)
        self._live = stream.isatty() and not self.console.is_dumb_terminal
        self._width = min(self.console.width, _WIDEST) - 1

    @contextlib.contextmanager
    def progress(self, total: int) -> Iterator[Progress | None]:
        """Show a bar for `total` trials; None without a live terminal."""
        if not self._live:
            yield None
            return
        from ftps_harness.report.progress import Progress  # needed only on a live terminal

        with Progress(self.console, total) as bar:
            yield bar

    def waiting(self, what: str) -> contextlib.AbstractContextManager[object]:
        """Show the current activity on a live terminal; elsewhere nothing."""
        return self.console.status(harmless(what)) if self._live else contextlib.nullcontext()

    def _wrapped(self, text: str, indent: str, style: str = "", *, hanging: bool = False) -> None:
        rest = " " * len(indent) if hanging or not indent.strip() else indent
        for number, line in enumerate(wrapped(harmless(text), self._width - len(indent))):
            self._line(f"{rest if number else indent}{line}", style)

    def _line(self, text: str = "", style: str = "") -> None:
        self.console.print(text, style=style or None)


class BarWatcher(Generic[Item, Result]):
    """Updates a progress bar as items start and finish; a watcher of `ftps_harness.play.pool`.

    Args:
        bar: The bar; None without a live terminal.
        name: Returns the name of an item.
        item: Returns the item of a result.
    """

    def __init__(self, bar: Progress | None, name: Callable[[Item], str], item: Callable[[Result], Item]) -> None:
        self._bar = bar
        self._name = name
        self._item = item

    def started(self, item: Item) -> None:
        """Show the item as running."""
        if self._bar is not None:
            self._bar.started(self._name(item))

    def finished(self, result: Result) -> None:
        """Show the item as finished."""
        if self._bar is not None:
            self._bar.finished(self._name(self._item(result)))
