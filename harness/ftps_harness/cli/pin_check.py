"""`ftps-lab pin-check`: checks a pinning tool against the contract."""

from __future__ import annotations

import contextlib
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ftps_harness.cli import options as shared

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftps_harness.pinning.check import Report
    from ftps_harness.pinning.config import Config
    from ftps_harness.pinning.contract import Requirement


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The options of one call."""

    repin: str | None
    with_fingerprint: str | None
    only: tuple[str, ...]
    list_: bool
    strict: bool
    json: str | None
    junit: str | None
    html: str | None
    keep: str | None
    lftp: str | None
    jobs: int
    timeout: float
    config: str | None


@click.command("pin-check", cls=shared.WithCommand)
@click.option("--repin", metavar="COMMAND", help="The command that replaces a pin, as one string with placeholders.")
@click.option(
    "--with-fingerprint", metavar="COMMAND", help="The command that pins only a certificate with SHA-256 {sha256}."
)
@click.option(
    "--only", multiple=True, metavar="ID", help="Check (or --list) only this requirement; repeat it for more."
)
@click.option("--list", "list_", is_flag=True, help="Print the contract, or the requirements of --only, and exit.")
@click.option("--strict", is_flag=True, help="Exit with 1 also if a should does not hold.")
@click.option("--json", metavar="FILE", help="Write the results as JSON; - is standard output.")
@click.option("--junit", metavar="FILE", help="Write the results as JUnit XML.")
@shared.html
@click.option("--keep", metavar="DIR", help="Keep every HOME that the tool wrote to, a folder for each requirement.")
@click.option("--lftp", metavar="PATH", help="The lftp to use.")
@click.option(
    "-j", "--jobs", type=click.IntRange(min=1), default=2, metavar="N", help="N requirements at a time (default: 2)."
)
@click.option(
    "--timeout",
    type=shared.Seconds(),
    default=shared.TIMEOUT,
    metavar="S",
    help=f"Seconds for each run of the tool (default: {shared.TIMEOUT:g}).",
)
@click.option("--config", metavar="FILE", help="The tool's configuration (default: pin-check.toml, here or above).")
def pin_check(**options: object) -> int:
    """Check a pinning tool against the contract, by what it writes and never by what it says.

    COMMAND is the tool's command line. {host} and {port} stand for the server, {home} for the HOME that it may write
    to (HOME is set to it too), {lftp} for lftp, {sha256} for a certificate's fingerprint. The tool runs in a sealed
    network; real lftp, with what the tool left in HOME, then meets the genuine server and impostors.

    Exit codes: 0 every must holds; 1 a must does not hold; 2 wrong usage; 3 the lab could not judge; 130 interrupted.
    """
    wanted = _Wanted(**options)  # type: ignore[arg-type]  # click names and types them as above
    if wanted.list_:
        return _list(_chosen(wanted.only))
    command = shared.trailing_command(click.get_current_context())
    if not command:
        raise click.UsageError("give the tool's command: ftps-lab pin-check -- ./pin.sh {host} {port}")
    return _Call(command, wanted).run()


def _list(requirements: Sequence[Requirement]) -> int:
    from ftps_harness.pinning.reports.terminal import Terminal

    Terminal(sys.stdout).listed(requirements)
    return 0


def _chosen(only: Sequence[str]) -> list[Requirement]:
    """The requirements that `--only` names, in the order of the contract; all without it.

    Raises:
        UsageError: A name is not a requirement.
    """
    from ftps_harness.errors import UsageError
    from ftps_harness.pinning.contract import REQUIREMENTS
    from ftps_harness.scenario.problems import did_you_mean

    known = [each.id for each in REQUIREMENTS]
    for name in only:
        if name not in known:
            near = did_you_mean(name, known) or " `ftps-lab pin-check --list` prints them all."
            raise UsageError(f"--only {name}: no such requirement.{near}")
    return [each for each in REQUIREMENTS if not only or each.id in only]


def _kept(name: str | None) -> Path | None:
    """Create the folder of ``--keep``.

    Raises:
        UsageError: It cannot be created.
    """
    from ftps_harness.errors import UsageError

    if name is None:
        return None
    try:
        Path(name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--keep {name}: {error.strerror}; name a writable folder") from None
    return Path(name)


class _Call:
    """One call, from the tool's command to the exit code."""

    def __init__(self, command: Sequence[str], wanted: _Wanted) -> None:
        from ftps_harness.pinning import command as commands
        from ftps_harness.pinning import config
        from ftps_harness.report.files import check_targets

        self._wanted = wanted
        self._command = tuple(command)
        self._targets = {"--json": wanted.json, "--junit": wanted.junit, "--html": wanted.html}
        check_targets(self._targets)
        self._keep = _kept(wanted.keep)
        path = Path(wanted.config) if wanted.config is not None else config.find(Path.cwd())
        self._config: Config = config.load(path) if path is not None else config.Config()
        repin = wanted.repin if wanted.repin is not None else self._config.repin
        fingerprint = wanted.with_fingerprint if wanted.with_fingerprint is not None else self._config.with_fingerprint
        self._tool = commands.load(command, repin, fingerprint, Path.cwd())
        self._requirements = _chosen(wanted.only)

    def run(self) -> int:
        """Check everything, report it, and return the exit code."""
        from ftps_harness.pinning.reports.terminal import Terminal

        terminal = Terminal(sys.stderr if "-" in self._targets.values() else sys.stdout)
        report = self._checked(terminal)
        terminal.report(report)
        unwritten = self._write(report)
        if report.fails(strict=self._wanted.strict):
            return max(1, unwritten)
        return 3 if report.broken else unwritten

    def _checked(self, terminal: object) -> Report:
        from ftps_harness.client import lftp
        from ftps_harness.pinning import planted
        from ftps_harness.pinning.check import Checker, Report, ordered
        from ftps_harness.pinning.reports.terminal import Terminal
        from ftps_harness.play.places.sealed import SealedPlaces
        from ftps_harness.play.pool import affordable, play_all
        from ftps_harness.report.printer import BarWatcher
        from ftps_harness.sandbox.signals import undisturbed

        assert isinstance(terminal, Terminal)
        program = lftp.find(self._wanted.lftp)
        with contextlib.ExitStack() as stack:
            tools = stack.enter_context(planted.Planted())
            programs = [program, *self._tool.programs, tools.program]
            places = undisturbed(lambda: stack.enter_context(SealedPlaces(programs)))
            client = undisturbed(lambda: lftp.identify(program))
            jobs = affordable(self._wanted.jobs)
            with terminal.waiting("checking that the lab recognizes its planted tools"):
                if problem := planted.self_check(tools, client, places, jobs):
                    return Report(self._command, (), problem)
            checker = Checker(
                self._tool,
                client,
                places,
                self._wanted.timeout,
                self._config.not_claimed,
                again=self._again(),
                keep=self._keep,
            )
            if failures := undisturbed(checker.begin):
                untried = tuple(checker.untried(each, failures) for each in self._requirements)
                return Report(self._command, untried, notes=self._tool.notes)
            bar = stack.enter_context(terminal.progress(len(self._requirements)))
            played = play_all(
                self._requirements,
                checker.play,
                BarWatcher(bar, lambda requirement: requirement.id, lambda result: result.requirement),
                jobs=jobs,
                cost=lambda each: each.cost,
            )
        results = ordered(played.results, self._requirements)
        report = Report(self._command, results, notes=self._tool.notes, interrupted=played.interrupted)
        if played.interrupted:
            self._write(report)  # the finished checks
            raise KeyboardInterrupt
        return report

    def _again(self) -> str:
        """The command line that checks one requirement, with ``{only}`` in place of its option."""
        words = ["ftps-lab", "pin-check", "{only}"]
        for option, value in (("--repin", self._wanted.repin), ("--with-fingerprint", self._wanted.with_fingerprint)):
            words += [option, shlex.quote(value)] if value is not None else []
        words += ["--config", shlex.quote(self._wanted.config)] if self._wanted.config else []
        words += ["--keep", "kept", "--", *map(shlex.quote, self._command)]
        return " ".join(words)

    def _write(self, report: Report) -> int:
        """Write the files; return 3 if one could not be written."""
        from ftps_harness.pinning.reports import as_json, junit
        from ftps_harness.report.files import problems_of_writing

        def page(report: Report) -> str:
            from ftps_harness.pinning.reports import html  # imports jinja2 only when needed

            return html.text(report)

        texts = {"--json": as_json.text, "--junit": junit.text, "--html": page}
        named = {option: name for option, name in self._targets.items() if name is not None}
        problems = [why for option, name in named.items() for why in problems_of_writing(name, texts[option](report))]
        for problem in problems:
            click.echo(f"ftps-lab: {problem}", err=True)
        return 3 if problems else 0
