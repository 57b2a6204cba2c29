"""`ftps-lab matrix`: lftp builds × FTPS servers × scenarios, in containers."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ftps_harness.cli import options as shared

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ftps_harness.matrix.baseline import Baseline, Drift
    from ftps_harness.matrix.containers import Stage
    from ftps_harness.matrix.play import MatrixRun, Pair, PairResult
    from ftps_harness.play.runner import ScenarioResult
    from ftps_harness.report.evidence import Keeper

_DEFAULT = ("document",)
"""The default scenarios: every promise of the document."""


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
    html: str | None
    keep: str | None
    update_baseline: bool
    verbose: bool


@click.command()
@shared.names
@click.option("--client", "builds", multiple=True, metavar="BUILD", help="Only this lftp build; repeat it for more.")
@click.option("--server", "servers", multiple=True, metavar="KIND", help="Only this server; repeat it for more.")
@shared.tags
@click.option(
    "-j", "--jobs", type=click.IntRange(min=1), default=2, metavar="N", help="N pairs at a time (default: 2)."
)
@shared.timeout
@shared.no_controls
@click.option("--json", metavar="FILE", help="Write all cells as JSON; - is standard output.")
@shared.html
@click.option("--keep", metavar="DIR", help="Keep all evidence, below DIR/BUILD/SERVER: logs, testimony, wire.")
@click.option("--update-baseline", is_flag=True, help="Write today's answers into scenarios/baselines/.")
@click.option("-v", "--verbose", is_flag=True, help="Also show steps in which only lftp's wording differs.")
def matrix(names: tuple[str, ...], **options: object) -> int:
    """Run scenarios over lftp builds and FTPS servers, in containers.

    Each pair of a build and a server runs in its own containers. Without names: the document's promises. Needs a
    Docker engine; images are built once.

    Builds: bullseye, bookworm, trixie, sid, openssl. Servers: lab, vsftpd, vsftpd-reuse, proftpd, pure-ftpd.

    An answer that differs from scenarios/baselines/ is drift, and the exit code is 1.
    """
    return _Call(names, _Wanted(**options)).run()  # type: ignore[arg-type]  # click names and types them as above


class _Call:
    """One call of `ftps-lab matrix`, from names to exit code."""

    def __init__(self, names: Sequence[str], wanted: _Wanted) -> None:
        from ftps_harness.errors import UsageError
        from ftps_harness.matrix.builds import BUILDS, KINDS, chosen
        from ftps_harness.report.evidence import prepare
        from ftps_harness.report.files import check_targets
        from ftps_harness.scenario import selection

        self._wanted = wanted
        self._builds = chosen("--client", wanted.builds, BUILDS)
        self._kinds = chosen("--server", wanted.servers, KINDS)
        if wanted.update_baseline and wanted.no_controls:
            raise UsageError(
                "--update-baseline with --no-controls: an answer without its control proves nothing, so it must not "
                "become a baseline"
            )
        check_targets({"--json": wanted.json, "--html": wanted.html})
        selected = selection.choose(names or _DEFAULT)
        self._again = {each.id: each.again for each in selected}
        self._scenarios = selection.load_all(selected, wanted.tags)
        self._folder = selection.default_folder()
        if wanted.update_baseline and self._folder == selection.packaged_folder() and not _is_checkout(self._folder):
            raise UsageError(
                f"--update-baseline: the scenarios in {self._folder} belong to the installed package; "
                "call it in a checkout, or in a folder with its own scenarios/"
            )
        self._baselines = self._read_baselines()
        self._kept = None if wanted.keep is None else prepare(wanted.keep)

    def run(self) -> int:
        """Run everything, report it, and return the exit code."""
        try:
            return self._run()
        except BrokenPipeError:
            shared.report_closed_pipe()
            return 3

    def _run(self) -> int:
        from ftps_harness.matrix.containers import Stage
        from ftps_harness.matrix.play import exit_code, play
        from ftps_harness.matrix.terminal import Terminal
        from ftps_harness.play.runner import Options
        from ftps_harness.sandbox.signals import undisturbed

        wanted = self._wanted
        terminal = Terminal(sys.stderr if "-" in {wanted.json, wanted.html} else sys.stdout, words=wanted.verbose)
        with Stage(self._scenarios, terminal.say) as stage:
            pairs = self._pairs(stage)
            keepers = self._keepers(pairs)

            def options(pair: Pair) -> Options:
                keep = keepers[pair].keep if keepers else None
                return Options(wanted.timeout, controls=not wanted.no_controls, keep=keep)

            with terminal.watching(pairs, len(self._scenarios)):
                run = play(pairs, self._scenarios, stage.open, options, terminal, jobs=wanted.jobs)
            run = stage.completed(run)
            drifts = self._drifts(run)
            # Written first: a terminal that is gone, or a second Ctrl-C, must not lose the results.
            problems = [*self._not_played(run), *undisturbed(lambda: self._write(run, drifts))]
        terminal.report(run, drifts)
        problems += [run.problem] if run.problem else []
        problems += self._nothing_played(run)
        problems += [keeper.problem for keeper in keepers.values() if keeper.problem]
        for problem in problems:
            click.echo(f"ftps-lab: {problem}", err=True)
        code = max(exit_code(run, () if wanted.update_baseline else drifts), 3 if problems else 0)
        terminal.exit(code)
        return code

    def _pairs(self, stage: Stage) -> list[Pair]:
        """Every build that is available, against every server; server by server, so that its image is warm."""
        from ftps_harness.matrix.play import Pair

        stage.prepare(self._builds, self._kinds)
        return [Pair(build, kind) for build in self._builds if stage.has(build) for kind in self._kinds]

    def _keepers(self, pairs: Iterable[Pair]) -> dict[Pair, Keeper]:
        """One keeper for each pair, if evidence is kept."""
        from ftps_harness.report.evidence import Keeper

        if self._kept is None:
            return {}
        return {pair: Keeper(self._kept / pair.build.name / pair.kind.name) for pair in pairs}

    def _not_played(self, run: MatrixRun) -> Iterator[str]:
        """The builds and servers that were named but unavailable; those not named are skipped with a note."""
        for build, why in run.left_out:
            if build in self._wanted.builds:
                yield f"--client {build}: its image is not available: {why}"

    @staticmethod
    def _nothing_played(run: MatrixRun) -> Iterator[str]:
        """Pairs in which every scenario was skipped: they prove nothing, and give exit code 3."""
        for pair in run.pairs:
            if pair.results and all(result.status == "skip" for result in pair.results):
                why = "; ".join(dict.fromkeys(result.why for result in pair.results))
                yield f"{pair.build} × {pair.kind} proves nothing: every scenario was skipped there: {why}"

    def _read_baselines(self) -> dict[str, Baseline]:
        from ftps_harness.matrix import baseline

        return {build.name: baseline.read(self._folder, build.name) for build in self._builds}

    def _drifts(self, run: MatrixRun) -> list[Drift]:
        """Compare with the baselines; scenarios of other folders have no baseline."""
        from ftps_harness.matrix import baseline

        return [each for pair in self._ours(run.pairs) for each in baseline.drift(self._baselines[pair.build], pair)]

    def _ours(self, pairs: Iterable[PairResult]) -> list[PairResult]:
        """The pairs with only the scenarios that the baselines cover."""
        from dataclasses import replace

        folder = self._folder.resolve()

        def here(result: ScenarioResult) -> bool:
            return folder in Path(result.scenario.file).resolve().parents

        return [replace(pair, results=tuple(filter(here, pair.results))) for pair in pairs]

    def _write(self, run: MatrixRun, drifts: Sequence[Drift]) -> list[str]:
        """Write the reports and the baselines; return the problems, a sentence each."""
        from ftps_harness.matrix import baseline, matrix_json
        from ftps_harness.report.files import problems_of_writing

        problems = []
        if self._wanted.json is not None:
            problems += problems_of_writing(self._wanted.json, matrix_json.text(run, drifts))
        if self._wanted.html is not None:
            from ftps_harness.matrix import html  # imports jinja2 only when needed

            problems += problems_of_writing(self._wanted.html, html.text(run, drifts, self._again))
        if self._wanted.update_baseline and run.interrupted:
            problems.append("interrupted: the baselines were not written")
        elif self._wanted.update_baseline:
            for build in dict.fromkeys(pair.build for pair in run.pairs):
                ours = self._ours(pair for pair in run.pairs if pair.build == build)
                new = baseline.updated(self._baselines[build], ours)
                baseline.write(new)
                click.echo(f"written: {new.path}", err="-" in {self._wanted.json, self._wanted.html})
        return problems


def _is_checkout(folder: Path) -> bool:
    return (folder.resolve().parent / "pyproject.toml").is_file()
