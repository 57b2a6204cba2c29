"""The command `ftps-lab`: thin shells over functions that others can call too.

`main` is light, so that Ctrl-C prints a sentence from the first moment; `ftps_harness.cli.commands` has the commands.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from ftps_harness.sandbox import signals

if TYPE_CHECKING:
    from collections.abc import Sequence

EXPECTED, UNEXPECTED, USAGE, UNABLE, INTERRUPTED = 0, 1, 2, 3, 130
"""The exit codes (docs/reference.md, "Exit codes")."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit with its code.

    Args:
        arguments: None for those of the process.
    """
    sys.exit(call(arguments))


def call(arguments: Sequence[str] | None = None) -> int:
    """Run a command: its exit code, every failure a sentence on standard error."""
    _prepare_streams()
    try:
        with signals.interrupting():
            code = _command(arguments)
            sys.stdout.flush()
    except (signals.AskedToEnd, KeyboardInterrupt):
        return _say("interrupted", INTERRUPTED)
    except BrokenPipeError:  # the reader closed the pipe, as in `ftps-lab list | head -1`
        _drop_output()
        return EXPECTED
    except OSError as error:
        _drop_output()
        return _say(_of_the_system(error), UNABLE)
    return code


def _of_the_system(error: OSError) -> str:
    try:
        Path.cwd()
    except OSError:
        return "the current folder no longer exists: change to another one and try again"
    from ftps_harness.errors import exhausted

    return exhausted(error) or f"{error.filename or 'standard output'}: {error.strerror or error}"


def _command(arguments: Sequence[str] | None) -> int:
    """Run a command; the type of its error says whose fault it is."""
    import click  # after the signals are in place

    from ftps_harness.cli.commands import commands
    from ftps_harness.errors import HarnessError, UsageError, sentence
    from ftps_lab.errors import LabError

    try:
        return commands.main(arguments, prog_name="ftps-lab", standalone_mode=False) or EXPECTED
    except click.ClickException as error:
        error.show()
        return USAGE
    except click.Abort:
        raise KeyboardInterrupt from None
    except SystemExit:  # click's own reaction to a broken pipe
        raise BrokenPipeError from None
    except UsageError as error:
        return _say(str(error), USAGE)
    except (HarnessError, LabError) as error:
        return _say(str(error), UNABLE)
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001 - each becomes a sentence
        return _say(sentence(error), UNABLE)


def _say(sentence: str, code: int) -> int:
    from ftps_harness.report.plain import harmless

    with contextlib.suppress(OSError):
        sys.stderr.write(f"ftps-lab: {harmless(sentence)}\n")
        sys.stderr.flush()
    return code


def _prepare_streams() -> None:
    """Make the streams accept any text: a closed one discards it, one with another encoding gets escapes."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - lives as long as the process
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _drop_output() -> None:
    """Discard standard output, which has no reader: buffered text must not raise when Python ends."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
