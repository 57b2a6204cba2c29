"""The tables of docs/pinning-contract.md: `make contract` writes them from the records, `make check` compares them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ftps_harness.pinning.contract import LEVELS, REQUIREMENTS
from ftps_harness.pinning.document import FAILS, FAILS_WITH_PATH

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ftps_harness.pinning.contract import Level

_BEGIN: Final = "<!-- the requirements: written by `make contract` -->\n"
_END: Final = "<!-- end of the requirements -->\n"


def text(page: str) -> str:
    """Return the page with the requirements from the records; everything else stays.

    Raises:
        ValueError: The page has no markers for them.
    """
    before, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise ValueError(f"the page needs the lines {_BEGIN!r} and {_END!r}")
    tables = "\n".join(line for level in LEVELS for line in _level(level))
    return "\n".join([f"{before}{begin}", tables, *_document(), f"{end}{after}"])


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


def _document() -> Iterator[str]:
    """The requirements that the document's steps meet and fail."""
    yield "## The document's method"
    yield ""
    yield "The document's steps, scripted word for word (`ftps_harness/pinning/document.py`), meet"
    yield f"{_counted(FAILS)}. With one correction, an absolute path in `ssl:ca-file`, they meet"
    yield f"{_counted(FAILS_WITH_PATH)}, and still fail:"
    yield ""
    yield ", ".join(f"`{name}`" for name in FAILS_WITH_PATH) + "."
    yield ""


def _counted(fails: Sequence[str]) -> str:
    kept = [each for each in REQUIREMENTS if each.id not in fails and not each.if_claimed]
    tried = [each for each in REQUIREMENTS if not each.if_claimed]
    counts = (
        f"{sum(each.level == level for each in kept)} of {sum(each.level == level for each in tried)} {level}s"
        for level in LEVELS
    )
    return " and ".join(counts)


def _cell(words: str) -> str:
    return words.replace("|", "\\|")


def main(arguments: Sequence[str]) -> int:
    """Write the page, or with ``--check`` compare it; return 1 if it differs."""
    checking = arguments[:1] == ["--check"]
    file = Path(arguments[-1])
    page = file.read_text("utf-8")
    if not checking:
        file.write_text(text(page), "utf-8")
        return 0
    if page == text(page):
        return 0
    sys.stderr.write(f"{file}: differs from the contract in the code; run `make contract`\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
