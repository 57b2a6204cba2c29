"""A run on the terminal: a header, a growing table, the evidence of failures, a closing line.

A terminal gets colours and a progress bar; other output is plain, 80 columns wide, and the same in every run except for
seconds, ports and secrets. Foreign text goes through `plain.harmless` before it gets here.
"""

from __future__ import annotations

import contextlib
import re
from typing import IO, TYPE_CHECKING

from rich.text import Text

from ftps_harness.report.account import Section, again, step_sections, what_failed
from ftps_harness.report.console import console_for
from ftps_harness.report.plain import (
    cells,
    counts_words,
    expectation_words,
    harmless,
    outcome_words,
    padded,
    plural,
    wrapped,
)
from ftps_harness.report.remarks import remarks
from ftps_harness.report.side_by_side import SOMETIMES, families, lines_and_cells
from ftps_harness.report.tally import BuildRun, exit_code, summary, unfinished

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.play.runner import ScenarioResult, StepResult
    from ftps_harness.report.progress import Progress

_WIDEST = 110
"""A wider table is harder to read, not easier."""

_NARROWEST = 60
_STATUS, _VERDICT, _SECONDS, _GAP = 5, 26, 6, "  "

_STYLES = {"pass": "green", "fail": "bold red", "error": "bold magenta", "skip": "yellow"}
_CELL_STYLES = {"PASSWORD": "bold red", "payload": "yellow", "rejected": "green"}
_LABELS = {"pass": "pass", "fail": "FAIL", "error": "ERROR", "skip": "skip"}


class Terminal:
    """Prints a run as it happens.

    Args:
        stream: Standard output, or standard error when that is taken (``--json -``).
        short: Print only the header, what failed and the tally: no table and no evidence.
    """

    def __init__(self, stream: IO[str], *, short: bool = False) -> None:
        self._short = short
        self.console = console_for(stream)
        self._begun = False
        self._live = stream.isatty() and not self.console.is_dumb_terminal
        self._width = max(_NARROWEST, min(self.console.width, _WIDEST)) - 1

    def header(self, lftp: Lftp, total: int, where: str, notes: Iterable[str] = ()) -> None:
        """Print which lftp runs how many scenarios from where, and what else a reader should know."""
        if self._begun:
            self._line()  # separates the tables of two builds
        self._begun = True
        build = f"lftp {lftp.version} at {lftp.path}, TLS by {lftp.tls}, dialect {lftp.dialect}"
        self._line(harmless(build), "bold")
        self._line(f"{plural(total, 'scenario')} {where}".rstrip())
        for note in notes:
            self._line(harmless(note), "yellow")
        if self._short:
            return
        self._line()
        titles = (
            " " * _STATUS,
            "scenario".ljust(self._left_width()),
            "what lftp did, by step".ljust(_VERDICT),
            "secs".rjust(_SECONDS),
        )
        self._line(_GAP.join(titles), "dim")

    @contextlib.contextmanager
    def progress(self, total: int) -> Iterator[Progress | None]:
        """Show a bar below the table while scenarios run; None without a live terminal."""
        if not self._live:
            yield None
            return
        from ftps_harness.report.progress import Progress  # needed only on a live terminal

        with Progress(self.console, total) as bar:
            yield bar

    def row(self, result: ScenarioResult) -> None:
        """Print one scenario of the table: its id and title, and the result of each step."""
        if not self._short:
            self.console.print(Text("\n").join(self._row(result)))

    def side_by_side(self, run: BuildRun) -> None:
        """Print scenarios with the same steps, side by side."""
        for family in () if self._short else families(run.results):
            self._line()
            self._line("side by side: the result of each scenario, by step", "bold")
            for line, cells_begin in lines_and_cells(family, self._width):
                self.console.print(_coloured(line, cells_begin))

    def remarks(self, run: BuildRun) -> None:
        """Print remarks about steps that are as expected."""
        for section in () if self._short else remarks(run):
            self._line()
            self._line(section.heading, "bold")
            for line in section.lines:
                for index, part in enumerate(wrapped(line, self._width - 6)):
                    indent = len(line) - len(line.lstrip()) + 2 * (index > 0)
                    self._line(f"  {' ' * indent}{part}")

    def failures(self, run: BuildRun) -> None:
        """Print the evidence of every failure and error."""
        for result in () if self._short else run.results:
            if result.status in {"fail", "error"}:
                self._failure(run, result)

    def close(self, runs: Sequence[BuildRun]) -> None:
        """Print a line for each failure, why not everything ran, and the counts."""
        for run in runs:
            self._what_failed(run, several=len(runs) > 1)
        self._line()
        for run in runs:
            if sentence := unfinished(run):
                self._line(sentence, "bold yellow")
        self._line(summary(runs), "bold green" if exit_code(runs) == 0 else "bold red")

    def _what_failed(self, run: BuildRun, *, several: bool) -> None:
        failed = [(result, line) for result in run.results for line in what_failed(result)]
        if failed:
            self._line()
            build = f" with lftp {run.lftp.version} at {run.lftp.path}" if several else ""
            self._line(harmless(f"what failed{build}:"), "bold")
        for result, line in failed:
            self._line(f"{padded(_LABELS[result.status], _STATUS)}{_GAP}{line}", _STYLES[result.status])

    def _line(self, text: str = "", style: str = "") -> None:
        self.console.print(Text(text, style))

    def _row(self, result: ScenarioResult) -> Iterator[Text]:
        left_width = self._left_width()
        style = _STYLES[result.status]
        left = [Text(harmless(result.scenario.id), "bold")]
        left += [Text(line) for line in wrapped(harmless(result.scenario.title), left_width)]
        left += [Text(line, style) for line in wrapped(harmless(result.why), left_width)]
        right = [line for number, step in enumerate(result.steps, 1) for line in _verdict(number, step, result)]
        seconds = "-" if result.status == "skip" else f"{result.seconds:.2f}"
        status = Text(padded(_LABELS[result.status], _STATUS), style)
        while left or right or seconds:
            if left and cells(left[0].plain) > left_width:  # ids and paths are never broken: readers search for them
                yield Text.assemble(status, _GAP, left.pop(0))
                status = Text(" " * _STATUS)
                continue
            cell = left.pop(0) if left else Text()
            verdict = right.pop(0) if right else Text()
            columns = (status, _fitted(cell, left_width), _fitted(verdict, _VERDICT), Text(f"{seconds:>{_SECONDS}}"))
            line = Text(_GAP).join(columns)
            line.rstrip()
            yield line
            status, seconds = Text(" " * _STATUS), ""

    def _left_width(self) -> int:
        return self._width - _STATUS - _VERDICT - _SECONDS - 3 * len(_GAP)

    def _failure(self, run: BuildRun, result: ScenarioResult) -> None:
        for number, step in enumerate(result.steps, 1):
            if step.status != "pass":
                label = f"{_LABELS[step.status]} {harmless(result.scenario.id)}, step {number}: {harmless(step.title)}"
                self._block(label, _STYLES[step.status], step_sections(step))
        if result.why:
            label = f"{_LABELS[result.status]} {harmless(result.scenario.id)}: {harmless(result.why)}"
            self._block(label, _STYLES[result.status])
        self._block("run it again", "bold", [Section(again(run, result))])

    def _block(self, title: str, style: str, sections: Iterable[Section] = ()) -> None:
        self._line()
        self._line(title, style)
        for section in sections:
            self._line(f"  {section.heading}", "bold" if section.lines else "")
            for line in section.lines:
                self._line(f"    {line}")


def _verdict(number: int, step: StepResult, result: ScenarioResult) -> Iterator[Text]:
    """A step's result, and the expectation if it differs."""
    count = len(result.scenario.steps)
    mark = f"{number:>{len(str(count))}} " if count > 1 else ""
    words = counts_words(step.counts) if len(step.attempts) > 1 else outcome_words(step.shown.outcome)
    said = [words]
    if step.judgement.status != "pass":
        said.append(f"expected {expectation_words(step.expect)}")
    elif step.status != "pass" and step.control:
        said.append(f"but {step.control.kind}: {outcome_words(step.control.attempt.outcome)}")
    elif step.status == "pass" and any(attempt.outcome.exposed for attempt in step.attempts):
        said.append("as expected")  # a green pass next to a leaked password needs a word
    style = "" if step.status == "pass" else _STYLES[step.status]
    for line in (line for text in said for line in wrapped(text, _VERDICT - len(mark))):
        yield Text(mark + line, style)
        mark = " " * len(mark)


def _coloured(line: str, cells_begin: int) -> Text:
    """A line of the side-by-side table: leaks in red or yellow, refusals in green."""
    text = Text(line)
    for word in re.finditer(r"\S+", line):
        if word.start() >= cells_begin and (style := _CELL_STYLES.get(word[0].rstrip(SOMETIMES))):
            text.stylize(style, *word.span())
    return text


def _fitted(text: Text, width: int) -> Text:
    text.pad_right(max(0, width - cells(text.plain)))
    return text
