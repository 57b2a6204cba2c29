"""What several commands take: names of scenarios, and options that mean the same for each."""

from __future__ import annotations

import contextlib
import math
import os
import sys

import click

_LONGEST = 86_400.0
"""Maximum time limit of one step, in seconds."""


class Seconds(click.ParamType[float]):
    """A number of seconds."""

    name = "seconds"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """A number of seconds above 0."""
        try:
            seconds = float(str(value))
        except ValueError:
            seconds = math.nan
        if not 0 < seconds <= _LONGEST:  # false for NaN too
            self.fail(f"{value!r}: must be greater than 0 and at most {_LONGEST:.0f} seconds", param, ctx)
        return seconds


_TRAILING_COMMAND = "ftps_harness.cli.options.trailing_command"
"""The key of the command in click's context."""


class WithCommand(click.Command):
    """Keeps everything after ``--`` unchanged: a command with its own options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep everything after ``--`` for `trailing_command`."""
        if "--" in args:
            at = args.index("--")
            ctx.meta[_TRAILING_COMMAND] = tuple(args[at + 1 :])
            args = args[:at]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """The usage line, with the command at its end."""
        return [*super().collect_usage_pieces(ctx), "[-- COMMAND...]"]


def trailing_command(ctx: click.Context) -> tuple[str, ...] | None:
    """The command after ``--``; None without ``--``."""
    found: tuple[str, ...] | None = ctx.meta.get(_TRAILING_COMMAND)
    return found


def report_closed_pipe(unwritten: str = "") -> None:
    """Say that the output pipe was closed; what is still buffered for it must not raise when Python ends.

    Args:
        unwritten: What else is missing because of it, to end the sentence.
    """
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    with contextlib.suppress(OSError):
        click.echo(f"ftps-lab: stopped: the output pipe was closed{unwritten}", err=True)


TIMEOUT = 30.0
"""Default time limit of one lftp run, in seconds."""

names = click.argument("names", nargs=-1, metavar="[SCENARIO|FILE|FOLDER]...")

tags = click.option(
    "--tag", "tags", multiple=True, metavar="TAG", help="Only scenarios with this tag; repeat it for more."
)

timeout = click.option(
    "--timeout",
    type=Seconds(),
    default=TIMEOUT,
    metavar="S",
    help=f"Seconds for each lftp run (default: {TIMEOUT:g}).",
)

html = click.option("--html", metavar="FILE", help="Write one page for a browser, usable offline.")

no_controls = click.option(
    "--no-controls", is_flag=True, help="Skip the control runs (faster; verdicts are unconfirmed)."
)
