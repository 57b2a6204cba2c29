"""`ftps-lab run`: the main job."""

from __future__ import annotations

import contextlib
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from ftps_harness.cli import options as shared

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.play.places.choice import Wanted
    from ftps_harness.play.pool import Played
    from ftps_harness.play.runner import ScenarioResult
    from ftps_harness.report.evidence import Keeper
    from ftps_harness.report.progress import Progress
    from ftps_harness.report.tally import BuildRun
    from ftps_harness.report.terminal import Terminal
    from ftps_harness.scenario import Scenario

_REPORTS = ("json", "junit", "html")
"""Options that name files, which are written at the end."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The options of one call."""

    tags: tuple[str, ...]
    lftp: tuple[str, ...]
    jobs: int
    fail_fast: bool
    timeout: float
    no_controls: bool
    json: str | None
    junit: str | None
    html: str | None
    keep: str | None
    place: str = "auto"
    short: bool = False

    @property
    def reports(self) -> tuple[str, ...]:
        """The options whose files are written at the end."""
        return tuple(f"--{name}" for name in _REPORTS if getattr(self, name) is not None)

    @property
    def to_stdout(self) -> bool:
        """Whether a report uses standard output."""
        return any(getattr(self, name) == "-" for name in _REPORTS)

    @property
    def again(self) -> tuple[str, ...]:
        """The options to repeat the run of a scenario."""
        timeout = ("--timeout", f"{self.timeout:g}") if self.timeout != shared.TIMEOUT else ()
        place = ("--place", self.place) if self.place != "auto" else ()
        return (*timeout, *place, *(("--no-controls",) if self.no_controls else ()))


@click.command()
@shared.names
@shared.tags
@click.option("--lftp", multiple=True, metavar="PATH", help="The lftp to use; repeat it for one run with each.")
@click.option(
    "-j", "--jobs", type=click.IntRange(min=1), default=1, metavar="N", help="N scenarios at a time (default: 1)."
)
@click.option("--fail-fast", is_flag=True, help="Start no more scenarios after the first that fails.")
@shared.timeout
@shared.no_controls
@click.option("--json", metavar="FILE", help="Write all results as JSON; - is standard output.")
@click.option("--junit", metavar="FILE", help="Write all results as JUnit XML.")
@shared.html
@click.option("--keep", metavar="DIR", help="Keep all evidence: logs, testimony, bytes on the wire.")
@click.option(
    "--place",
    type=click.Choice(["sealed", "loopback"]),
    metavar="PLACE",
    default=None,
    callback=lambda _ctx, _parameter, value: value or "auto",
    help="Where servers and lftp live: sealed (default where the kernel allows it) or loopback.",
)
@click.option("--short", is_flag=True, help="Print only the failures, one line each, and the totals.")
def run(names: tuple[str, ...], **options: object) -> int:
    """Run scenarios: the whole catalogue, or those that you name.

    Without names: the scenarios/ of this checkout, otherwise those that come with ftps-lab. A name is an id
    (document/expired), a case (expired), an area (document), a file or a folder.
    """
    return _Call(names, _Wanted(**options)).run()  # type: ignore[arg-type]  # click names and types them as above


class _Call:
    """One call of `ftps-lab run`, from names to exit code."""

    def __init__(self, names: Sequence[str], wanted: _Wanted) -> None:
        from ftps_harness.report.files import check_targets

        self._names = names
        self._wanted = wanted
        check_targets({f"--{name}": getattr(wanted, name) for name in _REPORTS})

    def run(self) -> int:
        """Run everything, report it, and return the exit code."""
        from ftps_harness.play.places.choice import Opening  # heavy imports only when needed
        from ftps_harness.sandbox.signals import undisturbed

        wanted: Wanted = self._wanted.place  # type: ignore[assignment]  # click has checked it
        try:
            with contextlib.ExitStack() as stack:
                opening = undisturbed(lambda: stack.enter_context(Opening(wanted, self._programs())))
                self._load()  # meanwhile the place starts
                self._chosen = undisturbed(opening.chosen)
                clients = undisturbed(self._clients)
                return self._run(clients)
        except BrokenPipeError:
            # Everything has ended, but the result was not reported, so it is not a success.
            shared.report_closed_pipe("".join(f"; {option} was not written" for option in self._wanted.reports))
            return 3

    def _load(self) -> None:
        """Load the scenarios.

        Raises:
            UsageError: A name or a file is wrong.
        """
        from ftps_harness.scenario import selection

        chosen = selection.choose(self._names)
        self._again = {each.id: each.again for each in chosen}
        self._scenarios = selection.load_all(chosen, self._wanted.tags)
        self._where = "" if self._names else f"from {selection.default_folder()}/"

    def _run(self, clients: Sequence[Lftp]) -> int:
        from ftps_harness.report.tally import exit_code
        from ftps_harness.report.terminal import Terminal
        from ftps_harness.sandbox.signals import undisturbed

        keepers = self._keepers(clients)
        terminal = Terminal(sys.stderr if self._wanted.to_stdout else sys.stdout, short=self._wanted.short)
        runs: list[BuildRun] = []
        try:
            for client, keeper in zip(clients, keepers, strict=True):
                self._with(client, keeper, terminal, runs)
                if runs[-1].interrupted or (self._wanted.fail_fast and exit_code(runs) != 0):
                    break
            terminal.close(runs)
        except BrokenPipeError:
            raise
        except BaseException:
            # A full disk, a bug in the display or Ctrl-C during it must not lose the finished results.
            _say(undisturbed(lambda: self._write(runs)))
            raise
        problems = undisturbed(lambda: self._write(runs))
        problems += [run.problem for run in runs if run.problem]
        problems += [keeper.problem for keeper in keepers if keeper and keeper.problem]
        _say(problems)
        return max(exit_code(runs), 3 if problems else 0)

    def _clients(self) -> list[Lftp]:
        """The lftp builds, each once, and each able to run every scenario.

        Raises:
            UsageError: A given path is unusable, or a scenario makes no sense for a build.
            HarnessError: lftp is not installed.
        """
        from ftps_harness.client import lftp

        clients = [lftp.identify(path) for path in self._programs()]
        if self._chosen.name == "loopback":
            lftp.system_rc_prefix()  # raises if the system's rc would make every run meaningless
        if not self._wanted.no_controls:
            for client in clients:
                _check_controls(self._scenarios, client)
        return clients

    def _programs(self) -> list[Path]:
        from ftps_harness.client import lftp

        return list(dict.fromkeys(lftp.find(path) for path in (self._wanted.lftp or (None,))))

    def _keepers(self, clients: Sequence[Lftp]) -> list[Keeper | None]:
        if self._wanted.keep is None:
            return [None for _ in clients]
        from ftps_harness.report.evidence import Keeper, prepare

        folder = prepare(self._wanted.keep)
        if len(clients) == 1:
            return [Keeper(folder)]
        return [Keeper(folder / f"lftp-{number}-{client.version}") for number, client in enumerate(clients, 1)]

    def _with(self, client: Lftp, keeper: Keeper | None, terminal: Terminal, runs: list[BuildRun]) -> None:
        """Run all scenarios with one build, and add the finished ones to `runs`, even after an error."""
        from ftps_harness.play.pool import Played, affordable, play_all
        from ftps_harness.play.runner import Options, run_in

        wanted = self._wanted
        options = Options(wanted.timeout, controls=not wanted.no_controls, keep=keeper.keep if keeper else None)

        def play(scenario: Scenario) -> ScenarioResult:
            return run_in(self._chosen.places, scenario, client, options)

        began = time.monotonic()
        jobs = affordable(wanted.jobs)
        terminal.header(client, len(self._scenarios), self._where, self._notes(jobs))
        with terminal.progress(len(self._scenarios)) as bar:
            watch = _Watch(self._scenarios, terminal, bar)
            try:
                played = play_all(
                    self._scenarios,
                    play,
                    watch,
                    jobs=jobs,
                    ahead=0 if wanted.fail_fast else affordable(jobs + 1) - jobs,
                    fail_fast=wanted.fail_fast,
                    cost=_repetitions,
                )
            except BaseException:
                runs.append(self._build_run(client, Played(watch.results, interrupted=True), began))
                raise
            runs.append(self._build_run(client, played, began))
            watch.flush()
        terminal.side_by_side(runs[-1])
        terminal.remarks(runs[-1])
        terminal.failures(runs[-1])

    def _build_run(self, client: Lftp, played: Played[ScenarioResult], began: float) -> BuildRun:
        from ftps_harness.report.tally import BuildRun

        return BuildRun(
            client,
            played.results,
            len(self._scenarios),
            time.monotonic() - began,
            controls=not self._wanted.no_controls,
            interrupted=played.interrupted,
            again=self._again,
            options=self._wanted.again,
            place=self._chosen.name,
            problem=played.problem,
        )

    def _notes(self, jobs: int) -> Iterator[str]:
        """Notes about this machine for readers of the results."""
        from ftps_harness.client.lftp import system_rc_lines

        if self._chosen.note:
            yield self._chosen.note
        for number, line in system_rc_lines():
            yield f"/etc/lftp.conf, line {number}, is ignored: {line}"
        if jobs < self._wanted.jobs:
            yield f"-j {jobs} instead of -j {self._wanted.jobs}: the limit of open files (ulimit -n) allows no more"

    def _write(self, runs: Sequence[BuildRun]) -> list[str]:
        """Write the reports; return the problems, a sentence each."""
        from ftps_harness.report import json_report, junit
        from ftps_harness.report.files import problems_of_writing

        problems: list[str] = []
        if not runs:
            return problems  # no run had started
        if self._wanted.json is not None:
            text = json_report.text(runs, several=len(self._wanted.lftp) > 1)
            problems += problems_of_writing(self._wanted.json, text)
        if self._wanted.junit is not None:
            problems += problems_of_writing(self._wanted.junit, junit.text(runs))
        if self._wanted.html is not None:
            from ftps_harness.report.html import run as html  # jinja2 takes 50 ms to import

            problems += problems_of_writing(self._wanted.html, html.text(runs))
        return problems


class _Watch:
    """Prints results in the order in which the scenarios were chosen, but updates the progress bar immediately."""

    def __init__(self, scenarios: Sequence[Scenario], terminal: Terminal, bar: Progress | None) -> None:
        self._order = [scenario.id for scenario in scenarios]
        self._ended: list[ScenarioResult] = []
        self._held: dict[str, ScenarioResult] = {}
        self._terminal = terminal
        self._bar = bar

    @property
    def results(self) -> tuple[ScenarioResult, ...]:
        """The results of finished scenarios, in the order in which they finished."""
        return tuple(self._ended)

    def started(self, scenario: Scenario) -> None:
        if self._bar is not None:
            self._bar.started(scenario.id)

    def finished(self, result: ScenarioResult) -> None:
        self._ended.append(result)
        if self._bar is not None:
            self._bar.finished(result.scenario.id)
        self._held[result.scenario.id] = result
        while self._order and self._order[0] in self._held:
            self._terminal.row(self._held.pop(self._order.pop(0)))

    def flush(self) -> None:
        """Print the results that waited for interrupted scenarios."""
        for each in self._order:
            if each in self._held:
                self._terminal.row(self._held.pop(each))


def _repetitions(scenario: Scenario) -> int:
    """A measure of a scenario's duration: how often it repeats lftp for the same step."""
    return sum((step.at_least or step.repeat) - 1 for step in scenario.steps)


def _say(problems: Iterable[str]) -> None:
    from ftps_harness.report.plain import harmless

    for problem in problems:
        click.echo(f"ftps-lab: {harmless(problem)}", err=True)


def _check_controls(scenarios: Sequence[Scenario], client: Lftp) -> None:
    """Check before anything runs that each step has its control.

    Raises:
        UsageError: Lists all steps without a control.
    """
    from ftps_harness.errors import UsageError
    from ftps_harness.play.controls import control_for
    from ftps_harness.scenario import expectation

    problems = []
    for scenario in scenarios:
        for step in scenario.steps:
            try:
                control_for(step, expectation(step, client.dialect, client.version))
            except UsageError as error:
                problems.append(f"{scenario.file}: {error}")
    if problems:
        raise UsageError("\n".join(problems))
