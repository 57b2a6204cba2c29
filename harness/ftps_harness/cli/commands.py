"""The group of commands, and the refusal of what belongs to later versions."""

from __future__ import annotations

from typing import Any

import click

from ftps_harness.cli.catalogue import list_command, new, show
from ftps_harness.cli.lab import doctor, serve
from ftps_harness.cli.run import run

LATER = {
    "demo": "the narrated demonstration",
    "verify": "proving your own rc against the attacks",
    "pin": "the reference pinning tool",
    "pin-check": "the contract for pinning tools",
    "matrix": "lftp builds and FTPS servers in containers",
}
"""Commands of later versions: refused by name, never accepted and ignored."""


class _Commands(click.Group):
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] in LATER:
            raise click.UsageError(f"{args[0]} ({LATER[args[0]]}) comes with a later version of ftps-lab", ctx)
        return super().resolve_command(ctx, args)


def _print_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click's
    if not wanted or ctx.resilient_parsing:
        return
    from importlib import metadata  # noqa: PLC0415 - slower than everything else that --help needs

    try:
        version = metadata.version("ftps-lab")
    except metadata.PackageNotFoundError:
        version = "(not installed)"
    click.echo(f"ftps-lab {version}")
    ctx.exit()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Show the version."
)
def commands() -> Any:
    """Prove, with the real lftp and real FTPS servers, what certificate trust does and does not protect.

    Every promise is a scenario: servers with exactly one thing wrong, lftp with a real rc file, and a verdict that
    client, server and the bytes on the wire agree upon. Begin with `ftps-lab doctor`, then `ftps-lab run`.

    Exit codes: 0 as expected; 1 an expectation failed; 2 wrong usage or a bad file; 3 the lab could not do its work;
    130 interrupted.
    """


for command in (run, list_command, show, new, serve, doctor):
    commands.add_command(command)
