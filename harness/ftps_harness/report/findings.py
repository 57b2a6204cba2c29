"""The findings of `ftps-lab doctor`, for people."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

from rich.text import Text

from ftps_harness.doctor import works
from ftps_harness.report.console import PLAIN_WIDTH, console_for
from ftps_harness.report.plain import harmless, wrapped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftps_harness.doctor import Finding

_STATES = {"ok": "green", "note": "yellow", "missing": "bold red"}
_STATE = max(map(len, _STATES))
_GAP = "  "


def print_findings(stream: IO[str], findings: Sequence[Finding]) -> None:
    """Print the findings of `ftps-lab doctor`, part by part, and whether the main job works."""
    console = console_for(stream)
    width = max(len(finding.part) for finding in findings)
    indent = " " * (_STATE + width + 2 * len(_GAP))
    for finding in findings:
        state = Text(finding.state.ljust(_STATE), _STATES[finding.state])
        detail = wrapped(harmless(finding.detail), PLAIN_WIDTH - 1 - len(indent))
        console.print(Text.assemble(state, _GAP, (finding.part.ljust(width), "bold"), _GAP, detail[0]))
        for line in (*detail[1:], *_note("costs", finding.cost, indent), *_note("to do", finding.cure, indent)):
            console.print(Text(indent + line))
    console.print()
    if works(findings):
        console.print(Text("`ftps-lab run` can do its work here", "bold green"))
    else:
        console.print(Text("`ftps-lab run` cannot do its work here; see what is missing above", "bold red"))


def _note(label: str, text: str, indent: str) -> list[str]:
    return wrapped(f"{label}: {text}", PLAIN_WIDTH - 1 - len(indent)) if text else []
