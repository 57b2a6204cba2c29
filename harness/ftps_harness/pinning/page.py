"""docs/pinning-contract.md, written from the contract's records: `make contract`, and `make check` holds it to them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ftps_harness.pinning.contract import CONTRACT, LEVELS, REQUIREMENTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ftps_harness.pinning.contract import Level

_HEAD: Final = f"""\
# The contract for pinning tools, version {CONTRACT}

A pinning tool does what the document does by hand: it fetches a server's certificate, stores it, and writes the lines
of lftp's rc. This page lists what such a tool must keep to. It is written from the code (`make contract`); a
requirement never changes within a version.

```console
ftps-lab pin-check -- ./pin.sh {{host}} {{port}}
ftps-lab pin-check --repin './pin.sh --replace {{host}} {{port}}' --only repin -- ./pin.sh {{host}} {{port}}
ftps-lab pin-check --list
```

The judge is what the tool wrote, not what it says: it runs in the place [sealed](reference.md#places) with a HOME of
its own, the environment that cron gives (PATH, SHELL, LOGNAME and HOME), no terminal and the end of input on standard
input. Then the real lftp, with what the tool left in HOME, meets the genuine server and impostors. Options, exit codes
and the JSON are in [reference.md](reference.md#the-command).

## What a tool says of itself

`pin-check.toml`, in the current folder or above:

```toml
repin = "./pin.sh --replace {{host}} {{port}}"
with-fingerprint = "./pin.sh --expect {{sha256}} {{host}} {{port}}"

[not-claimed]
ipv6 = "our servers have names"
```

What is not claimed is tried all the same, and shown with its reason; it fails nothing. An entry for a requirement that
holds fails: remove it.
"""


def text() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *(line for level in LEVELS for line in _level(level))]) + "\n"


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
    if not checking:
        file.write_text(text(), "utf-8")
        return 0
    if file.read_text("utf-8") == text():
        return 0
    sys.stderr.write(f"{file}: is not what the code says; run `make contract`\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
