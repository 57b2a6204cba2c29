"""`ftps-lab serve` and `doctor`."""

from __future__ import annotations

import click


@click.command()
@click.argument("name", metavar="SCENARIO")
def serve(name: str) -> None:
    """Start a scenario's server and stay."""
    click.echo(name)


@click.command()
def doctor() -> None:
    """Show what is here, and what each missing part costs."""
