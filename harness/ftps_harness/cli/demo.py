"""`ftps-lab demo`: the document, played for an audience."""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ftps_harness.cli import options as shared

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftps_harness.teach.demo.chapters import Chapter
    from ftps_harness.teach.demo.parts import Part

_PACE = 1.0
"""Seconds between two parts of a recording if no pace is given."""


@click.command()
@click.argument("chapters", nargs=-1, metavar="[CHAPTER]...")
@click.option("--auto", is_flag=True, help="Never wait for Enter.")
@click.option(
    "--pace", type=shared.Seconds(), metavar="S", help="Seconds to wait after each part with --auto or --record."
)
@click.option("--record", metavar="FILE", help="Write a recording (asciicast v2).")
@click.option("--transcript", metavar="FILE", help="Write a transcript in Markdown.")
@click.option("--rc", metavar="FILE", help="Play your own rc instead: the server, an interceptor, a downgrade.")
@click.option("--lftp", metavar="PATH", help="The lftp to use.")
def demo(
    chapters: tuple[str, ...],
    auto: bool,
    pace: float | None,
    record: str | None,
    transcript: str | None,
    rc: str | None,
    lftp: str | None,
) -> int:
    """Play the document, chapter by chapter, for real.

    Without CHAPTER, play all of them. Each chapter asks you to predict what happens, types the command, and shows what
    lftp printed, what the server saw and what an eavesdropper saw. All of it comes from that run, in a sealed network.

    Exit codes: 0 the evidence agrees with every chapter; 1 it does not; 2 wrong usage; 3 the lab could not do its work.
    """
    from ftps_harness.report.files import check_targets, problems_of_writing

    targets = {"--record": record, "--transcript": transcript}
    check_targets(targets)
    chosen = _chosen(chapters, rc)
    parts, wrong = _play(chosen, lftp, Audience(auto=auto or not _live(), pace=pace, rows=_rows()))
    texts = {"--record": lambda: _cast(parts, pace), "--transcript": lambda: _markdown(parts)}
    named = {option: name for option, name in targets.items() if name is not None}
    problems = [why for option, name in named.items() for why in problems_of_writing(name, texts[option]())]
    for problem in problems:
        click.echo(f"ftps-lab: {problem}", err=True)
    return 3 if problems else int(bool(wrong))


def _live() -> bool:
    return sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()


def _rows() -> int:
    return shutil.get_terminal_size().lines


def _cast(parts: Sequence[Part], pace: float | None) -> str:
    from ftps_harness.teach.demo import cast

    return cast.text(parts, _PACE if pace is None else pace)


def _markdown(parts: Sequence[Part]) -> str:
    from ftps_harness.teach.demo import markdown

    return markdown.text(parts)


def _chosen(names: Sequence[str], rc: str | None) -> list[Chapter]:
    from ftps_harness.errors import UsageError
    from ftps_harness.scenario.problems import did_you_mean
    from ftps_harness.teach.demo.chapters import CHAPTERS, yours

    known = {chapter.name: chapter for chapter in CHAPTERS}
    for name in names:
        if name not in known:
            raise UsageError(f"no chapter is named {name}.{did_you_mean(name, known)} Chapters: {', '.join(known)}")
    if rc is None:
        return [known[name] for name in names] or list(CHAPTERS)
    try:
        text = Path(rc).expanduser().read_text("utf-8", "surrogateescape")
    except OSError as error:
        raise UsageError(f"--rc {rc}: {error.strerror}; name an rc file, such as ~/.lftp/rc") from None
    return [*(known[name] for name in names), yours(text)]


class Audience:
    """Waits for Enter, or for some seconds, after parts that ask for a pause; nothing scrolls away unseen."""

    def __init__(self, *, auto: bool, pace: float | None, rows: int) -> None:
        """With `auto`, no one presses Enter; `rows` is the height of the terminal."""
        self._auto = auto
        self._pace = pace
        self._rows = rows - 2
        self._shown = 0

    def before(self, part: Part, lines: int) -> None:
        """Wait before the answer, for the audience to judge the evidence, and before a part that no longer fits."""
        if self._shown and (part.kind == "answer" or self._shown + lines > self._rows):
            self._wait()
        self._shown += lines

    def after(self, part: Part) -> None:
        """Wait after a part, if it asks for a pause."""
        if part.pause:
            self._wait()
        if self._pace is not None and (self._auto or not part.pause):
            time.sleep(self._pace)

    def _wait(self) -> None:
        self._shown = 0
        if self._auto:
            return
        with contextlib.suppress(EOFError):
            input("[Enter] ")
        click.echo()


def _play(chapters: Sequence[Chapter], program: str | None, audience: Audience) -> tuple[list[Part], list[str]]:
    from ftps_harness.client import lftp
    from ftps_harness.play.places.sealed import Sealed
    from ftps_harness.report.console import console_for
    from ftps_harness.sandbox.signals import undisturbed
    from ftps_harness.teach.demo import terminal
    from ftps_harness.teach.demo.play import play
    from ftps_harness.teach.demo.stage import Stage

    console = console_for(sys.stdout)
    path = lftp.find(program)
    with contextlib.ExitStack() as stack:
        place = undisturbed(lambda: stack.enter_context(Sealed([path])))
        client = undisturbed(lambda: lftp.identify(path))
        stage = undisturbed(lambda: stack.enter_context(Stage(place, client)))
        playing, shown = play(chapters, stage), []
        while (part := undisturbed(lambda: next(playing, None))) is not None:
            audience.before(part, terminal.height(part, console))
            terminal.show(part, console)
            shown.append(part)
            audience.after(part)
        return shown, stage.wrong
