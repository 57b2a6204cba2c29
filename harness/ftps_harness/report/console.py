"""The one console that everything is printed on: colours on a terminal only, plain text everywhere else."""

from __future__ import annotations

from typing import IO

from rich.console import Console

PLAIN_WIDTH = 80
"""Columns of what is no terminal."""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Who reads no more is dealt with in `ftps_harness.cli`; rich itself would exit with 1, a failed promise."""
        raise BrokenPipeError


def console_for(stream: IO[str]) -> Console:
    """Colours on a terminal only; rich itself honours NO_COLOR."""
    live = stream.isatty()
    return _Console(
        file=stream,
        # Said in full: FORCE_COLOR and the like would send to a file what a terminal wants.
        force_terminal=live,
        width=None if live else PLAIN_WIDTH,
        soft_wrap=True,
        markup=False,
        highlight=False,
        emoji=False,
    )
