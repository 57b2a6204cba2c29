"""Shows the matrix on a terminal while it runs: the plan, a bar, a line for each pair, then the report."""

from __future__ import annotations

import contextlib
import threading
from typing import IO, TYPE_CHECKING

from rich.text import Text

from ftps_harness.matrix import table
from ftps_harness.matrix.difference_report import Line, difference_lines
from ftps_harness.matrix.differences import differences
from ftps_harness.matrix.play import exit_code
from ftps_harness.report.console import console_for
from ftps_harness.report.plain import plural
from ftps_harness.report.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ftps_harness.matrix.baseline import Drift
    from ftps_harness.matrix.play import MatrixRun, Pair, PairResult
    from ftps_harness.play.runner import ScenarioResult


class Terminal:
    """Prints a matrix while it runs (`ftps_harness.matrix.play.Watcher`); called from several threads.

    Args:
        stream: Standard output, or standard error when that is taken (``--json -``).
        words: Show lftp's messages if nothing else differs.
    """

    def __init__(self, stream: IO[str], *, words: bool = False) -> None:
        self._console = console_for(stream)
        self._live = stream.isatty() and not self._console.is_dumb_terminal
        self._width = min(self._console.width, 110) - 3
        self._words = words
        self._lock = threading.Lock()
        self._bar: Progress | None = None
        self._total = self._cells = 0
        self._ended = 0

    @contextlib.contextmanager
    def watching(self, pairs: Sequence[Pair], scenarios: int) -> Iterator[None]:
        """Print the plan, and on a live terminal show a bar while it runs."""
        self._total = len(pairs)
        self._cells = len(pairs) * scenarios
        builds, kinds = ({getattr(pair, axis).name for pair in pairs} for axis in ("build", "kind"))
        axes = (plural(len(builds), "lftp build"), plural(len(kinds), "server"), plural(scenarios, "scenario"))
        self.say(f"{' × '.join(axes)}: {plural(self._cells, 'cell')}", "bold")
        if not self._live:
            yield
            return
        with Progress(self._console, self._cells) as self._bar:
            yield
        self._bar = None

    def say(self, line: str, style: str = "") -> None:
        """Print a line."""
        with self._lock:
            self._console.print(Text(line, style))

    def began(self, pair: Pair) -> None:
        """A pair's containers are starting."""
        if self._bar is not None:
            with self._lock:
                self._bar.started(f"{pair.build.name} × {pair.kind.name}")

    def played(self, pair: Pair, result: ScenarioResult) -> None:
        """Print a failed scenario at once, because the whole run takes minutes."""
        if self._bar is not None:
            with self._lock:
                self._bar.advance()
        if result.status in {"fail", "error"}:
            self.say(f"  {result.status}: {result.scenario.id} on {pair.build.name} × {pair.kind.name}", "red")

    def ended(self, result: PairResult) -> None:
        """A pair has ended."""
        with self._lock:
            self._ended += 1
            number = self._ended
            if self._bar is not None:
                self._bar.ended(f"{result.build} × {result.kind}")
        style = "" if result.status == "pass" else "bold red"
        self.say(f"{number:>3}/{self._total}  {table.pair_line(result)}", style)

    def report(self, run: MatrixRun, drifts: Sequence[Drift]) -> None:
        """Print the report when all pairs have ended."""
        width = self._width
        # Differences come first, for readers of piped output; the reason for the exit code comes last, where a
        # terminal stops.
        sections: tuple[tuple[str, Iterable[str | Line]], ...] = (
            ("answered differently", difference_lines(tuple(differences(run.pairs)), width, words=self._words)),
            ("claims: answers that differ from Debian 12's lftp 4.9.2 (docs/claims.md)", table.promises(run, width)),
            ("builds and servers", table.builds(run)),
            ("skipped", table.skipped(run, width)),
            ("failed", table.failures(run, width)),
            ("drift: answers that differ from scenarios/baselines/", table.drift_lines(drifts, width)),
            ("cells", table.cells(run, width)),
        )
        for title, lines in sections:
            for number, line in enumerate(lines):
                if number == 0:
                    self.say("")
                    self.say(title, "bold")
                text, style = line if isinstance(line, Line) else (line, "")
                self.say(f"  {text}", style)
        self.say("")
        if run.interrupted:
            played = sum(len(pair.results) for pair in run.pairs)
            self.say(f"interrupted: {played} of {plural(self._cells, 'cell')} played", "bold yellow")
        self.say(table.summary(run, drifts), "bold green" if exit_code(run, drifts) == 0 else "bold red")

    def exit(self, code: int) -> None:
        """Print the last line: what the exit code means."""
        for line in table.exit_lines(code, self._width):
            self.say(line)
