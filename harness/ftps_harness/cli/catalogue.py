"""`ftps-lab list`, `show` and `new`: looking at scenarios, and writing one."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from ftps_harness.cli import options as shared

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ftps_harness.scenario import Outline

_WIDTH = 80


@click.command("list")
@shared.names
@shared.tags
def list_command(names: tuple[str, ...], tags: tuple[str, ...]) -> None:
    """List the scenarios: id, title and tags."""
    from ftps_harness.scenario.selection import choose, outline_all  # --help does not need it

    outlines = outline_all(choose(names), tags)
    click.echo("\n".join(_listed(outlines)))


def _listed(outlines: Sequence[Outline]) -> Iterator[str]:
    """Two columns that fit 80 characters; an id that is longer than the column gets its own line."""
    from ftps_harness.report.plain import harmless, padded, wrapped

    column = min(36, max(len(each.id) for each in outlines))
    for each in outlines:
        text = harmless(each.title) + (f" ({', '.join(each.tags)})" if each.tags else "")
        name = harmless(each.id)
        if len(name) > column:
            yield name
            name = ""
        for line in wrapped(text, _WIDTH - column - 3):
            yield f"{padded(name, column)}  {line}"
            name = ""


@click.command()
@click.argument("name", metavar="SCENARIO")
def show(name: str) -> None:
    """Show one scenario: why it matters, and its steps."""
    from ftps_harness.report.showing import showing
    from ftps_harness.scenario.selection import choose_one, load_all

    (scenario,) = load_all([choose_one(name)])
    for line in showing(scenario):
        click.echo(click.style(line.text, bold=True) if line.heading else line.text)


@click.command()
@click.argument("name")
def new(name: str) -> None:
    """Write a commented scenario file to start from.

    NAME becomes NAME.scenario.toml; the folder it lies in is its area: mine/backup-rc.
    """
    from ftps_harness.scenario.selection import write_new

    path = write_new(name)
    click.echo(f"wrote {path}\nrun it: ftps-lab run {shlex.quote(str(path))}")
