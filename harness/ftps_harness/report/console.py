"""The console for all output: colours on a terminal, plain text everywhere else."""

from __future__ import annotations

from typing import IO

from rich.console import Console

PLAIN_WIDTH = 80
"""Columns of output that is not a terminal."""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Let `ftps_harness.cli` handle a closed pipe; rich would exit with 1, which means a failed promise."""
        raise BrokenPipeError


def console_for(stream: IO[str]) -> Console:
    """Create a console with colours on a terminal only; rich itself honours NO_COLOR."""
    live = stream.isatty()
    return _Console(
        file=stream,
        # Explicit, because FORCE_COLOR and the like would write terminal codes to a file.
        force_terminal=live,
        width=None if live else PLAIN_WIDTH,
        soft_wrap=True,
        markup=False,
        highlight=False,
        emoji=False,
    )
