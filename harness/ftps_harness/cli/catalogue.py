"""`ftps-lab list`, `show` and `new`: looking at scenarios, and writing one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ftps_harness.scenario import Outline

_WIDTH = 80


@click.command("list")
@click.argument("names", nargs=-1, metavar="[SCENARIO|FILE|FOLDER]...")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Only scenarios with this tag; repeat it for more.")
def list_command(names: tuple[str, ...], tags: tuple[str, ...]) -> None:
    """List the scenarios: id, title and tags."""
    from ftps_harness.catalogue import choose, outline_all  # noqa: PLC0415 - --help needs nothing of it

    outlines = outline_all(choose(names), tags)
    click.echo("\n".join(_listed(outlines)))


def _listed(outlines: Sequence[Outline]) -> Iterator[str]:
    """Two columns that fit 80 characters; an id that is longer than the column has a line of its own."""
    from ftps_harness.report.plain import harmless, padded, wrapped  # noqa: PLC0415

    column = min(36, max(len(each.id) for each in outlines))
    for each in outlines:
        told = harmless(each.title) + (f" ({', '.join(each.tags)})" if each.tags else "")
        lines = wrapped(told, _WIDTH - column - 3)
        name = harmless(each.id)
        if len(name) > column:
            yield name
            name = ""
        for line in lines:
            yield f"{padded(name, column)}  {line}"
            name = ""


@click.command()
@click.argument("name", metavar="SCENARIO")
def show(name: str) -> None:
    """Show one scenario: why it matters, and its steps."""
    click.echo(name)


@click.command()
@click.argument("name")
def new(name: str) -> None:
    """Write a commented scenario file to start from."""
    click.echo(name)
