"""`ftps-lab matrix`: lftp builds × FTPS servers × scenarios, in containers."""

from __future__ import annotations

import contextlib
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from ftps_harness.cli.run import TIMEOUT, Seconds, problems_of_writing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ftps_harness.matrix.baseline import Baseline, Drift
    from ftps_harness.matrix.containers import Stage
    from ftps_harness.matrix.play import MatrixRun, Pair, PairResult
    from ftps_harness.report.progress import Progress
    from ftps_harness.runner import ScenarioResult

_DEFAULT = ("document",)
"""What is played when nothing is named: every promise of the document."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The options of one call."""

    tags: tuple[str, ...]
    builds: tuple[str, ...]
    servers: tuple[str, ...]
    jobs: int
    timeout: float
    no_controls: bool
    json: str | None
    update_baseline: bool


@click.command()
@click.argument("names", nargs=-1, metavar="[SCENARIO|FILE|FOLDER]...")
@click.option("--client", "builds", multiple=True, metavar="BUILD", help="Only this lftp build; repeat it for more.")
@click.option("--server", "servers", multiple=True, metavar="KIND", help="Only this server; repeat it for more.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Only scenarios with this tag; repeat it for more.")
@click.option(
    "-j", "--jobs", type=click.IntRange(min=1), default=2, metavar="N", help="N pairs at a time (default: 2)."
)
@click.option("--timeout", type=Seconds(), default=TIMEOUT, metavar="S", help="Seconds for each lftp (default: 30).")
@click.option("--no-controls", is_flag=True, help="Leave out what proves that verdicts are about trust. Faster.")
@click.option("--json", metavar="FILE", help="Write all cells as JSON; - is standard output.")
@click.option("--update-baseline", is_flag=True, help="Write today's answers into scenarios/baselines/.")
def matrix(names: tuple[str, ...], **options: object) -> int:
    """Run scenarios over several lftp builds and FTPS servers, each pair in containers of its own.

    Without names: the document's promises. Builds: bullseye, bookworm, trixie, sid, openssl. Servers: lab, vsftpd,
    vsftpd-reuse, proftpd, pure-ftpd. Needs a Docker engine; images are built once. What a build answers otherwise than
    scenarios/baselines/ says is drift, and ends in exit code 1.
    """
    return _Call(names, _Wanted(**options)).run()  # type: ignore[arg-type]  # click names and types them as above


class _Call:
    """One call of `ftps-lab matrix`, from names to exit code."""

    def __init__(self, names: Sequence[str], wanted: _Wanted) -> None:
        from ftps_harness import catalogue
        from ftps_harness.errors import UsageError
        from ftps_harness.matrix.builds import BUILDS, KINDS, chosen
        from ftps_harness.report.files import check_target

        self._wanted = wanted
        self._builds = chosen("--client", wanted.builds, BUILDS)
        self._kinds = chosen("--server", wanted.servers, KINDS)
        if wanted.update_baseline and wanted.no_controls:
            raise UsageError(
                "--update-baseline with --no-controls: an answer without its control proves nothing to keep"
            )
        if wanted.json is not None:
            check_target("--json", wanted.json)
        self._scenarios = catalogue.load_all(catalogue.choose(names or _DEFAULT), wanted.tags)
        self._folder = catalogue.default_folder()
        if wanted.update_baseline and self._folder == catalogue.packaged_folder() and not _is_checkout(self._folder):
            raise UsageError(
                f"--update-baseline: the scenarios in {self._folder} belong to the installed package; "
                "call it in a checkout, or in a folder with scenarios/ of your own"
            )
        self._baselines = self._read_baselines()

    def run(self) -> int:
        """Run everything, report it, and say what it came to."""
        from ftps_harness.matrix.containers import Stage
        from ftps_harness.matrix.play import play
        from ftps_harness.runner import Options

        wanted = self._wanted
        watch = _Watch(sys.stderr if wanted.json == "-" else sys.stdout)
        options = Options(wanted.timeout, controls=not wanted.no_controls)
        with Stage(self._scenarios, watch.say) as stage:
            pairs = self._pairs(stage)
            with watch.watching(pairs, len(self._scenarios)):
                run = play(pairs, self._scenarios, stage.open, options, watch, jobs=wanted.jobs)
        run = stage.completed(run)
        drifts = self._drifts(run)
        watch.report(run, drifts)
        problems = [*self._not_played(run), *self._write(run, drifts)]
        for problem in problems:
            click.echo(f"ftps-lab: {problem}", err=True)
        return max(exit_code(run, () if wanted.update_baseline else drifts), 3 if problems else 0)

    def _pairs(self, stage: Stage) -> list[Pair]:
        """Every build that can be made, against every server; server by server, so that its image is warm."""
        from ftps_harness.matrix.play import Pair

        stage.prepare(self._builds, self._kinds)
        return [Pair(build, kind) for build in self._builds if stage.has(build) for kind in self._kinds]

    def _not_played(self, run: MatrixRun) -> Iterator[str]:
        """What was asked for by name and could not be had; what was not named is left out with a sentence."""
        for build, why in run.left_out:
            if build in self._wanted.builds:
                yield f"--client {build}: there is no image of it: {why}"

    def _read_baselines(self) -> dict[str, Baseline]:
        from ftps_harness.matrix import baseline

        return {build.name: baseline.read(self._folder, build.name) for build in self._builds}

    def _drifts(self, run: MatrixRun) -> list[Drift]:
        """Against the baselines; scenarios of other folders have none."""
        from ftps_harness.matrix import baseline

        return [each for pair in self._ours(run.pairs) for each in baseline.drift(self._baselines[pair.build], pair)]

    def _ours(self, pairs: Iterable[PairResult]) -> list[PairResult]:
        """The pairs with the scenarios that lie in the folder of the baselines."""
        from dataclasses import replace

        folder = self._folder.resolve()

        def here(result: ScenarioResult) -> bool:
            return folder in Path(result.scenario.file).resolve().parents

        return [replace(pair, results=tuple(filter(here, pair.results))) for pair in pairs]

    def _write(self, run: MatrixRun, drifts: Sequence[Drift]) -> list[str]:
        """Write the reports and the baselines; the problems with it, a sentence each."""
        from ftps_harness.matrix import baseline, matrix_json

        problems = []
        if self._wanted.json is not None:
            problems += problems_of_writing(self._wanted.json, matrix_json.text(run, drifts))
        if self._wanted.update_baseline and run.interrupted:
            problems.append("interrupted: the baselines were not written")
        elif self._wanted.update_baseline:
            for build in dict.fromkeys(pair.build for pair in run.pairs):
                ours = self._ours(pair for pair in run.pairs if pair.build == build)
                new = baseline.updated(self._baselines[build], ours)
                baseline.write(new)
                click.echo(f"written: {new.path}", err=self._wanted.json == "-")
        return problems


def exit_code(run: MatrixRun, drifts: Sequence[Drift]) -> int:
    """As for ``ftps-lab run`` (DESIGN.md 6); an answer that drifted is an expectation that failed."""
    if run.interrupted:
        return 130
    counts = [pair.counts for pair in run.pairs]
    if not counts or any(count["error"] or not count["pass"] + count["fail"] for count in counts):
        return 3
    return 1 if drifts or any(count["fail"] for count in counts) else 0


class _Watch:
    """Prints what happens; told by several threads."""

    def __init__(self, stream: TextIO) -> None:
        from ftps_harness.report.console import console_for

        self._console = console_for(stream)
        self._live = stream.isatty() and not self._console.is_dumb_terminal
        self._width = min(self._console.width, 110) - 3
        self._lock = threading.Lock()
        self._bar: Progress | None = None
        self._total = 0
        self._ended = 0

    @contextlib.contextmanager
    def watching(self, pairs: Sequence[Pair], scenarios: int) -> Iterator[None]:
        """Say what is to come, and on a live terminal show a bar while it does."""
        from ftps_harness.report.plain import plural
        from ftps_harness.report.progress import Progress

        self._total = len(pairs)
        builds, kinds = ({getattr(pair, axis).name for pair in pairs} for axis in ("build", "kind"))
        told = (plural(len(builds), "lftp build"), plural(len(kinds), "server"), plural(scenarios, "scenario"))
        self.say(f"{' × '.join(told)}: {plural(len(pairs) * scenarios, 'cell')}", "bold")
        if not self._live:
            yield
            return
        with Progress(self._console, len(pairs) * scenarios) as self._bar:
            yield
        self._bar = None

    def say(self, line: str, style: str = "") -> None:
        """Print a line."""
        from rich.text import Text

        with self._lock:
            self._console.print(Text(line, style))

    def began(self, pair: Pair) -> None:
        """A pair's containers are started."""
        if self._bar is not None:
            with self._lock:
                self._bar.started(f"{pair.build.name} × {pair.kind.name}")

    def played(self, pair: Pair, result: ScenarioResult) -> None:
        """A scenario that failed is told at once: the whole takes minutes."""
        if self._bar is not None:
            with self._lock:
                self._bar.advance()
        if result.status in {"fail", "error"}:
            self.say(f"  {result.status}: {result.scenario.id} on {pair.build.name} × {pair.kind.name}", "red")

    def ended(self, result: PairResult) -> None:
        """A pair has ended."""
        from ftps_harness.matrix.table import pair_line

        if self._bar is not None:
            with self._lock:
                self._bar.ended(f"{result.build} × {result.kind}")
        self._ended += 1
        style = "" if result.status == "pass" else "bold red"
        self.say(f"{self._ended:>3}/{self._total}  {pair_line(result)}", style)

    def report(self, run: MatrixRun, drifts: Sequence[Drift]) -> None:
        """Everything, when all pairs have ended."""
        from ftps_harness.matrix import table
        from ftps_harness.report.plain import plural

        width = self._width
        sections = (
            ("builds and servers", table.builds(run)),
            ("skipped", table.skipped(run, width)),
            ("claims that hold otherwise here (docs/claims.md)", table.promises(run, width)),
            ("answered differently", table.difference_lines(run, width)),
            ("failed", table.failures(run, width)),
            ("drift: other than scenarios/baselines/ says", table.drift_lines(drifts, width)),
            ("cells", table.cells(run, width)),
        )
        for title, lines in sections:
            for number, line in enumerate(lines):
                if number == 0:
                    self.say("")
                    self.say(title, "bold")
                self.say(f"  {line}")
        self.say("")
        if run.interrupted:
            self.say(f"interrupted: {len(run.pairs)} of {plural(self._total, 'pair')} played", "bold yellow")
        self.say(table.summary(run, drifts), "bold green" if exit_code(run, drifts) == 0 else "bold red")


def _is_checkout(folder: Path) -> bool:
    return (folder.resolve().parent / "pyproject.toml").is_file()
