"""What a person sees of a run: a header, a table that grows, the evidence of what failed, a closing line.

On a terminal with colours and a progress bar; everywhere else plain, 80 columns wide, and the same from run to run but
for seconds, ports and secrets. Foreign text goes through `plain.harmless` before it gets here.
"""

from __future__ import annotations

import contextlib
import textwrap
from typing import IO, TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from ftps_harness.report.account import again, step_sections
from ftps_harness.report.plain import counts_words, expectation_words, harmless, outcome_words
from ftps_harness.report.tally import BuildRun, exit_code, summary, unfinished

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ftps_harness.lftp import Lftp
    from ftps_harness.report.progress import Progress
    from ftps_harness.runner import ScenarioResult, StepResult

PLAIN_WIDTH = 80
_WIDEST = 110
"""A wider table is harder to read, not easier."""

_NARROWEST = 60
_STATUS, _VERDICT, _SECONDS, _GAP = 5, 26, 6, "  "

_STYLES = {"pass": "green", "fail": "bold red", "error": "bold magenta", "skip": "yellow"}
_LABELS = {"pass": "pass", "fail": "FAIL", "error": "ERROR", "skip": "skip"}


class Terminal:
    """Prints a run while it happens.

    Args:
        stream: Standard output, or standard error when that is taken (``--json -``).
    """

    def __init__(self, stream: IO[str]) -> None:
        live = stream.isatty()
        self.console = Console(
            file=stream,
            # Said in full: FORCE_COLOR and the like would make a file of what a terminal wants.
            force_terminal=live,
            width=None if live else PLAIN_WIDTH,
            soft_wrap=True,
            markup=False,
            highlight=False,
            emoji=False,
        )
        self._live = live and not self.console.is_dumb_terminal
        self._width = max(_NARROWEST, min(self.console.width, _WIDEST)) - 1

    def header(self, lftp: Lftp, total: int, where: str) -> None:
        """Which lftp, and how many scenarios from where."""
        self._line(f"lftp {lftp.version} at {lftp.path}, TLS by {lftp.tls}, dialect {lftp.dialect}", "bold")
        self._line(f"{total} {'scenario' if total == 1 else 'scenarios'} {where}")
        self._line()
        left = self._width - _STATUS - _VERDICT - _SECONDS - 3 * len(_GAP)
        titles = ("", f"{'scenario':{left}}", f"{'what lftp did, step by step':{_VERDICT}}", "seconds")
        self._line(f"{titles[0]:{_STATUS}}{_GAP}{titles[1]}{_GAP}{titles[2]}{_GAP}"[:-1] + titles[3], "dim")

    @contextlib.contextmanager
    def progress(self, total: int) -> Iterator[Progress | None]:
        """A bar below the table while scenarios run; None where there is no live terminal."""
        if not self._live:
            yield None
            return
        from ftps_harness.report.progress import Progress  # noqa: PLC0415 - not needed where nobody looks on

        with Progress(self.console, total) as bar:
            yield bar

    def row(self, result: ScenarioResult) -> None:
        """One scenario of the table: its id and title, and what each of its steps came to."""
        for line in self._row(result):
            self.console.print(line)

    def failures(self, run: BuildRun) -> None:
        """The evidence of everything that failed or broke."""
        for result in run.results:
            if result.status in {"fail", "error"}:
                self._line()
                self._failure(run, result)

    def close(self, runs: Sequence[BuildRun]) -> None:
        """Why not everything ran, and the line of counts."""
        self._line()
        for run in runs:
            if sentence := unfinished(run):
                self._line(sentence, "bold yellow")
        self._line(summary(runs), "bold green" if exit_code(runs) == 0 else "bold red")

    def _line(self, text: str = "", style: str = "") -> None:
        self.console.print(Text(text, style))

    def _row(self, result: ScenarioResult) -> Iterator[Text]:
        left_width = self._width - _STATUS - _VERDICT - _SECONDS - 3 * len(_GAP)
        style = _STYLES[result.status]
        left = [Text(harmless(result.scenario.id), "bold")]
        left += [Text(line) for line in _wrapped(harmless(result.scenario.title), left_width)]
        left += [Text(line, style) for line in _wrapped(harmless(result.why), left_width)]
        right = [line for number, step in enumerate(result.steps, 1) for line in _verdict(number, step, result)]
        seconds = f"{result.seconds:{_SECONDS}.2f}" if result.status != "skip" else " " * (_SECONDS - 1) + "-"
        status = Text(_LABELS[result.status].ljust(_STATUS), style)
        if left[0].cell_len > left_width:  # an id is never broken: it is what one looks for
            yield Text.assemble(status, _GAP, left.pop(0))
            status = Text(" " * _STATUS)
        for index in range(max(len(left), len(right), 1)):
            cell = left[index] if index < len(left) else Text()
            verdict = right[index] if index < len(right) else Text()
            line = Text.assemble(status, _GAP, _padded(cell, left_width), _GAP, _padded(verdict, _VERDICT), _GAP, seconds)
            line.rstrip()
            yield line
            status, seconds = Text(" " * _STATUS), ""

    def _failure(self, run: BuildRun, result: ScenarioResult) -> None:
        style = _STYLES[result.status]
        for number, step in enumerate(result.steps, 1):
            if step.status != "pass":
                self._line(f"{_LABELS[step.status]} {result.scenario.id}, step {number}: {harmless(step.title)}", style)
                for section in step_sections(step):
                    self._line(f"  {section.heading}", "bold" if section.lines else "")
                    for line in section.lines:
                        self._line(f"    {line}")
        if result.why:
            self._line(f"{_LABELS[result.status]} {result.scenario.id}: {harmless(result.why)}", style)
        self._line("  run it again", "bold")
        self._line(f"    {again(run, result)}")


def _verdict(number: int, step: StepResult, result: ScenarioResult) -> Iterator[Text]:
    """What a step came to, and what was expected where that is something else."""
    mark = f"{number} " if len(result.scenario.steps) > 1 else ""
    words = counts_words(step.counts) if len(step.attempts) > 1 else outcome_words(step.shown.outcome)
    style = _STYLES[step.status] if step.status != "pass" else ""
    said = [words]
    if step.judgement.status != "pass":
        said.append(f"expected {expectation_words(step.expect)}")
    elif step.status != "pass" and step.control:
        said.append(f"but {step.control.kind}: {outcome_words(step.control.attempt.outcome)}")
    for index, text in enumerate(said):
        for line in _wrapped(text, _VERDICT - len(mark)):
            yield Text((mark if index == 0 and line else "").ljust(len(mark)) + line, style)
            mark = " " * len(mark)


def _wrapped(text: str, width: int) -> list[str]:
    return [line for part in text.split("\n") for line in textwrap.wrap(part, width, break_on_hyphens=False)]


def _padded(text: Text, width: int) -> Text:
    padded = text.copy()
    padded.pad_right(max(0, width - text.cell_len))
    return padded
