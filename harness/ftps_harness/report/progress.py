"""The progress bar of a live terminal, below the table that grows above it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from rich import progress
from rich.table import Column
from rich.text import Text

from ftps_harness.report.plain import harmless

if TYPE_CHECKING:
    from rich.console import Console


class Progress:
    """Shows how many items have ended, and which are running; disappears at the end.

    Args:
        console: Where to show the bar.
        total: The number of items.
    """

    def __init__(self, console: Console, total: int) -> None:
        self._running: list[str] = []
        self._bar = progress.Progress(
            progress.BarColumn(bar_width=20),
            progress.MofNCompleteColumn(),
            progress.TimeElapsedColumn(),
            _Running(self._running, table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
            console=console,
            transient=True,
            expand=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._bar.add_task("", total=total)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def started(self, name: str) -> None:
        """A scenario, or a pair of the matrix, has started."""
        self._running.append(harmless(name))

    def finished(self, name: str) -> None:
        """It has ended, and counts as one item."""
        self.ended(name)
        self.advance()

    def ended(self, name: str) -> None:
        """It has ended; its parts were already counted."""
        self._running.remove(harmless(name))

    def advance(self) -> None:
        """Count one more item."""
        self._bar.advance(self._task)


class _Running(progress.ProgressColumn):
    """The running items."""

    def __init__(self, running: list[str], table_column: Column) -> None:
        super().__init__(table_column=table_column)
        self._now = running

    def render(self, task: progress.Task) -> Text:  # noqa: ARG002 - rich's signature
        return Text(", ".join(self._now), "dim")
