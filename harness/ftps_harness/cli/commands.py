"""The group of commands."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

COMMANDS = {
    "run": "run:run",
    "verify": "verify:verify",
    "pin-check": "pin_check:pin_check",
    "pin": "pin:pin",
    "demo": "demo:demo",
    "list": "catalogue:list_command",
    "show": "catalogue:show",
    "new": "catalogue:new",
    "serve": "lab:serve",
    "matrix": "matrix:matrix",
    "doctor": "lab:doctor",
}
"""Each command's module and name, in the order of `--help`; imported when it is asked for."""


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name].split(":")
        command: click.Command = getattr(import_module(f"ftps_harness.cli.{module}"), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            from ftps_harness.scenario.problems import did_you_mean  # imported only after a mistake

            near = did_you_mean(name, COMMANDS)
            raise click.UsageError(f"unknown command {name!r}.{near} Commands: {', '.join(COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)


def _print_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    from importlib import metadata  # slower than everything else that --help needs

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
    client, server and the bytes on the wire agree on. Begin with `ftps-lab doctor`, then `ftps-lab run`.

    Exit codes: 0 as expected; 1 an expectation failed; 2 wrong usage or a bad file; 3 the lab could not do its work;
    130 interrupted.
    """
