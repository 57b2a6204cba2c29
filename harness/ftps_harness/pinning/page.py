"""The tables of docs/pinning-contract.md, written from the records: `make contract`, and `make check` compares."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ftps_harness.pinning.contract import LEVELS, REQUIREMENTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ftps_harness.pinning.contract import Level

_BEGIN: Final = "<!-- the requirements: written by `make contract` -->\n"
_END: Final = "<!-- end of the requirements -->\n"


def text(page: str) -> str:
    """The page with the requirements as the records have them; all else stays.

    Raises:
        ValueError: The page has no place for them.
    """
    before, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise ValueError(f"the page needs the lines {_BEGIN!r} and {_END!r}")
    tables = "\n".join(line for level in LEVELS for line in _level(level))
    return f"{before}{begin}\n{tables}\n{end}{after}"


def _level(level: Level) -> Iterator[str]:
    chosen = [each for each in REQUIREMENTS if each.level == level]
    yield f"## {level.capitalize()}"
    yield ""
    yield "| requirement | holds when | because |"
    yield "| --- | --- | --- |"
    for each in chosen:
        claimed = " (If claimed.)" if each.if_claimed else ""
        yield f"| `{each.id}` | {_cell(each.holds)}{claimed} | {_cell(each.reason)} |"
    yield ""


def _cell(words: str) -> str:
    return words.replace("|", "\\|")


def main(arguments: Sequence[str]) -> int:
    """Write the page, or with ``--check`` compare it; 1 if it is another."""
    checking = arguments[:1] == ["--check"]
    file = Path(arguments[-1])
    page = file.read_text("utf-8")
    if not checking:
        file.write_text(text(page), "utf-8")
        return 0
    if page == text(page):
        return 0
    sys.stderr.write(f"{file}: is not what the code says; run `make contract`\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
