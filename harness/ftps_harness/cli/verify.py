"""`ftps-lab verify`: attacks the user's own lftp setup."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from ftps_harness.cli import options as shared

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.play.places.sealed import SealedPlaces
    from ftps_harness.verify.base import Options, Report
    from ftps_harness.verify.findings import Severity
    from ftps_harness.verify.keeping import Keeper
    from ftps_harness.verify.reports.terminal import Terminal
    from ftps_harness.verify.subject import Subject
    from ftps_harness.verify.unsealed import UnsealedPlaces

_SYSTEM_RC = "/etc/lftp.conf"

_REPORTS = ("json", "junit", "html", "sarif", "markdown")
"""Options that name files, which are written at the end."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The options of one call."""

    host: str | None
    port: int
    protocol: Literal["explicit", "implicit"]
    user: str | None
    system_rc: str | None
    fail_on: Severity
    warn_days: int
    only: tuple[str, ...]
    fix: bool
    write: bool
    explain: str | None
    json: str | None
    junit: str | None
    html: str | None
    sarif: str | None
    markdown: str | None
    github: bool
    lftp: str | None
    jobs: int
    timeout: float
    keep: str | None
    config: str | None


@click.command(cls=shared.WithCommand)
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option("--host", metavar="NAME", help="The server's name (default: the one that the setup or its pin names).")
@click.option("--port", type=click.IntRange(0, 65535), default=0, metavar="N", help="Its port (default: 21, or 990).")
@click.option(
    "--protocol",
    type=click.Choice(["explicit", "implicit"]),
    default="explicit",
    metavar="P",
    help="explicit (AUTH TLS, the default) or implicit FTPS.",
)
@click.option(
    "--user", metavar="NAME", help="The user who logs in; anonymous for an anonymous login (default: generated)."
)
@click.option(
    "--system-rc",
    is_flag=False,
    flag_value=_SYSTEM_RC,
    metavar="[FILE]",
    help=f"Have lftp read this system rc first (default: none; without FILE: {_SYSTEM_RC}).",
)
@click.option(
    "--fail-on",
    type=click.Choice(["error", "warning", "note"]),
    default="warning",
    metavar="S",
    help="Exit with 1 from this severity on: error, warning (default) or note.",
)
@click.option(
    "--warn-days",
    type=click.IntRange(min=0),
    default=30,
    metavar="N",
    help="Warn of a pinned certificate that expires within N days (default: 30).",
)
@click.option(
    "--only", multiple=True, metavar="TRIAL", help="Run only this trial, besides the genuine server's; repeat it."
)
@click.option("--fix", is_flag=True, help="Print a diff of the rc that fixes what an rc line can fix.")
@click.option("--write", is_flag=True, help="Apply that diff.")
@click.option("--explain", metavar="ID", help="Explain a finding and exit.")
@click.option("--json", metavar="FILE", help="Write the results as JSON; - is standard output.")
@click.option("--junit", metavar="FILE", help="Write the results as JUnit XML.")
@shared.html
@click.option("--sarif", metavar="FILE", help="Write the findings as SARIF 2.1.0, for code scanning.")
@click.option("--markdown", metavar="FILE", help="Write a summary in Markdown, for a CI's job page.")
@click.option("--github", is_flag=True, help="Print GitHub annotations too.")
@click.option("--lftp", metavar="PATH", help="The lftp to use.")
@click.option(
    "-j", "--jobs", type=click.IntRange(min=1), default=2, metavar="N", help="N trials at a time (default: 2)."
)
@shared.timeout
@click.option("--keep", metavar="DIR", help="Keep HOME, output, testimony and the bytes on the wire of each run.")
@click.option("--config", metavar="FILE", help="Findings to ignore (default: ftps-lab.toml in this folder or above).")
def verify(paths: tuple[str, ...], **options: object) -> int:
    """Attack your own lftp setup, and report what leaks.

    PATH is an rc file, a folder that holds one (such as ~/.lftp, the default), or an lftp script. COMMAND is a script
    or command line, run unchanged. The lab copies the setup into a sealed network: nothing reaches the real server,
    and your files are never written. Twins replace the certificates, so that the lab can play the genuine server.
    """
    wanted = _Wanted(**options)  # type: ignore[arg-type]  # click names and types them as above
    if wanted.explain is not None:
        click.echo(_explanation(wanted.explain))
        return 0
    command = shared.trailing_command(click.get_current_context())
    if command is not None and (paths or not command):
        raise click.UsageError("give paths, or -- and a command")
    return _Call(paths or ("~/.lftp",), command, wanted).run()


def _explanation(kind: str) -> str:
    from ftps_harness.errors import UsageError
    from ftps_harness.scenario.problems import did_you_mean
    from ftps_harness.verify.explain import explain
    from ftps_harness.verify.findings import KINDS

    if kind not in KINDS:
        raise UsageError(f"--explain {kind}: no such finding.{did_you_mean(kind, KINDS)} Findings: {', '.join(KINDS)}")
    return explain(kind)


class _Call:
    """One call, from paths to exit code."""

    def __init__(self, paths: Sequence[str], command: Sequence[str] | None, wanted: _Wanted) -> None:
        from ftps_harness.errors import UsageError
        from ftps_harness.report.files import check_targets
        from ftps_harness.verify import program
        from ftps_harness.verify.subject import load

        self._wanted = wanted
        self._targets = {f"--{name}": getattr(wanted, name) for name in _REPORTS}
        check_targets(self._targets)
        home = Path(os.environ.get("HOME") or "~").expanduser().absolute()
        self._subjects = (
            [load(path, home) for path in paths] if command is None else [program.load(command, Path.cwd(), home)]
        )
        self._options = self._made_options()
        if wanted.only and (wanted.fix or wanted.write):
            raise UsageError("--fix needs every trial to prove its fix: omit --only")

    def _made_options(self) -> Options:
        from ftps_harness.errors import UsageError
        from ftps_harness.scenario.problems import did_you_mean
        from ftps_harness.verify import config
        from ftps_harness.verify.base import Options
        from ftps_harness.verify.trials import GENUINE, TRIALS

        wanted = self._wanted
        names = [trial.name for trial in (GENUINE, *TRIALS)]
        for name in wanted.only:
            if name not in names:
                raise UsageError(f"--only {name}: no such trial.{did_you_mean(name, names)}")
        path = Path(wanted.config) if wanted.config is not None else config.find(Path.cwd())
        return Options(
            host=wanted.host,
            protocol=wanted.protocol,
            port=wanted.port,
            user=wanted.user,
            system_rc=_read_system_rc(wanted.system_rc),
            warn_days=wanted.warn_days,
            timeout=wanted.timeout,
            only=frozenset(wanted.only),
            ignores=config.load(path) if path is not None else (),
        )

    def run(self) -> int:
        """Verify every subject, report it, and return the exit code."""
        from ftps_harness.client import lftp
        from ftps_harness.sandbox.signals import AskedToEnd, undisturbed
        from ftps_harness.verify.reports.terminal import Terminal

        program = lftp.find(self._wanted.lftp)
        terminal = Terminal(sys.stderr if "-" in self._targets.values() else sys.stdout)
        programs = [program, *(Path(each.argv[0]) for each in self._subjects if each.argv)]
        self._keepers = self._made_keepers()
        reports: list[Report] = []
        with contextlib.ExitStack() as stack:
            places = undisturbed(lambda: self._opened(stack, programs))
            client = undisturbed(lambda: lftp.identify(program))
            try:
                for subject, keeper in zip(self._subjects, self._keepers, strict=True):
                    self._verify_and_report(subject, client, places, terminal, keeper, reports)
            except (AskedToEnd, KeyboardInterrupt):
                unfinished = (_unfinished(each, client, places.name) for each in self._subjects[len(reports) :])
                self._write([*reports, *unfinished], ended=True)
                raise
        return max(self._code(reports), self._write(reports))

    def _verify_and_report(
        self,
        subject: Subject,
        client: Lftp,
        places: SealedPlaces | UnsealedPlaces,
        terminal: Terminal,
        keeper: Keeper | None,
        reports: list[Report],
    ) -> None:
        """Verify one subject, print its report, and add it to the others.

        Raises:
            KeyboardInterrupt: A stop was requested.
        """
        report = self._verify(subject, client, places, terminal, keeper)
        if report is None:
            raise KeyboardInterrupt
        if reports:
            click.echo()
        terminal.report(report)
        if self._wanted.fix or self._wanted.write:
            report = self._fix(report, client, places, terminal)
        reports.append(report)

    def _opened(self, stack: contextlib.ExitStack, programs: Sequence[Path]) -> SealedPlaces | UnsealedPlaces:
        """Where the copies live: in sealed places, or on this machine's loopback if the kernel permits no sandbox.

        Raises:
            Unavailable: No sandbox is available, and a setup must not run without one (`unsealed.admitted`).
        """
        from ftps_harness.errors import UsageError
        from ftps_harness.play.places.sealed import SealedPlaces
        from ftps_harness.sandbox.sandbox import Unavailable
        from ftps_harness.verify.unsealed import UnsealedPlaces, admitted

        try:
            return stack.enter_context(SealedPlaces(programs))
        except Unavailable as why:
            for subject in self._subjects:
                admitted(subject, str(why))
            if self._wanted.fix or self._wanted.write:
                raise UsageError(f"--fix needs the sealed place: {why}") from None
            return UnsealedPlaces(str(why))

    def _made_keepers(self) -> Sequence[Keeper | None]:
        """One keeper for each subject."""
        from ftps_harness.report.evidence import prepare
        from ftps_harness.verify.keeping import ABOUT, Keeper
        from ftps_harness.verify.reports.identity import file_of

        if self._wanted.keep is None:
            return [None] * len(self._subjects)
        folder = prepare(self._wanted.keep, ABOUT)
        named = enumerate((file_of(subject).name for subject in self._subjects), 1)
        return [Keeper(folder / f"{number}-{name}") for number, name in named]

    def _verify(
        self,
        subject: Subject,
        client: Lftp,
        places: SealedPlaces | UnsealedPlaces,
        terminal: Terminal,
        keeper: Keeper | None = None,
    ) -> Report | None:
        """Verify one subject; return None if interrupted."""
        from ftps_harness.play.pool import affordable, play_all
        from ftps_harness.report.printer import BarWatcher
        from ftps_harness.verify.subject import Subject
        from ftps_harness.verify.verify import Begun, begin

        options = replace(self._options, keeper=keeper)
        with contextlib.ExitStack() as stack:

            def begun(subject: Subject) -> Begun:
                verification = begin(subject, client, places, options)
                stack.enter_context(verification)
                return Begun(verification)

            with terminal.waiting(f"{subject.given}: looking for the server that it accepts"):
                no_bar = BarWatcher[Subject, Begun](None, lambda subject: subject.given, lambda _: subject)
                first = play_all([subject], begun, no_bar)  # in a thread: Ctrl-C ends its sessions at once
            if not first.results:
                return None
            verification = first.results[0].verification
            trials = verification.trials
            bar = stack.enter_context(terminal.progress(len(trials)))
            played = play_all(
                trials,
                verification.play,
                BarWatcher(bar, lambda trial: trial.name, lambda done: done.trial),
                jobs=affordable(self._wanted.jobs),
            )
            return None if played.interrupted else verification.report(played.results)

    def _fix(self, report: Report, client: Lftp, places: SealedPlaces | UnsealedPlaces, terminal: Terminal) -> Report:
        """Print the fix, and with `--write` apply it; return the report that counts from then on."""
        from ftps_harness.sandbox.signals import undisturbed
        from ftps_harness.verify import fix

        def verify(subject: Subject) -> Report:
            again = self._verify(subject, client, places, terminal)
            if again is None:
                raise KeyboardInterrupt
            return again

        found = fix.fix(report, verify)
        terminal.fix(found, written=self._wanted.write)
        if found is None or not self._wanted.write:
            return report
        undisturbed(lambda: fix.write(found))
        return found.report

    def _code(self, reports: Sequence[Report]) -> int:
        if any(report.fails(self._wanted.fail_on) for report in reports):
            return 1
        return 3 if any(report.broken for report in reports) else 0

    def _write(self, reports: Sequence[Report], *, ended: bool = False) -> int:
        """Write the files; return 3 if one could not be written.

        Args:
            reports: One for each subject.
            ended: Ctrl-C ended the verification.
        """
        from ftps_harness.report.files import problems_of_writing
        from ftps_harness.verify.reports import as_json, github, junit, sarif

        folder = Path.cwd()
        texts = {
            "--json": lambda: as_json.text(reports, interrupted=ended),
            "--junit": lambda: junit.text(reports, self._wanted.fail_on, folder),
            "--html": lambda: _page(reports, folder),
            "--sarif": lambda: sarif.text(reports, folder),
            "--markdown": lambda: github.markdown(reports),
        }
        named = {option: name for option, name in self._targets.items() if name is not None}
        if self._wanted.github:
            for line in github.commands(reports):
                click.echo(line, err="-" in named.values())
        problems = [why for option, name in named.items() for why in problems_of_writing(name, texts[option]())]
        problems += [keeper.problem for keeper in self._keepers if keeper is not None and keeper.problem]
        for problem in problems:
            click.echo(f"ftps-lab: {problem}", err=True)
        return 3 if problems else 0


def _unfinished(subject: Subject, client: Lftp, place: str) -> Report:
    """The report of a subject that Ctrl-C left unjudged: never safe. A command's arguments may hold passwords."""
    from ftps_harness.verify.base import Report
    from ftps_harness.verify.stage import Login

    shown = replace(subject, given=f"{subject.argv[0]} …") if subject.argv else subject
    why = "interrupted before every trial was run; verify it again"
    return Report(shown, Login("unknown"), client, (), (), (why,), place)


def _page(reports: Sequence[Report], folder: Path) -> str:
    from ftps_harness.verify.reports import html  # imports jinja2 only when needed

    return html.text(reports, folder)


def _read_system_rc(name: str | None) -> bytes | None:
    from ftps_harness.errors import UsageError

    if name is None:
        return None
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise UsageError(f"--system-rc {name}: {error.strerror}; name the file that lftp is to read first") from None
