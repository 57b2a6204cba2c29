"""The pages of docs/refusals/, written from the recordings, the dialects' tables and `refusals`: `make refusals`.

`make check` compares. A real build printed each message on a page (tests/recordings), and the page names the builds;
messages that are only in the tables are listed separately, with their source.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ftps_harness.client.messages import words
from ftps_harness.client.messages.tables import CERTIFICATE, CLASSES, STATUS_SENTENCES
from ftps_harness.scenario.tables import DIALECTS
from ftps_harness.teach.refusals import REFUSALS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ftps_harness.client.messages import Word
    from ftps_harness.client.messages.tables import Row
    from ftps_harness.scenario.tables import Reason
    from ftps_harness.teach.refusals import Refusal

_NOTE: Final = "<!-- written by `make refusals` from tests/recordings and the code's tables: change those instead -->\n"
_MORE: Final = (
    "All reasons: [refusals](docs/refusals/README.md). How a verdict is made: [reference](docs/reference.md#verdicts)."
)
_SEVERAL: Final = """\
Of several problems lftp reports the first, or one text with several sentences. A build's dialect is found by probing
it, not by its version ([reference](docs/reference.md#dialects))."""
_VERIFICATION: Final = "Certificate verification: "
_INDEX: Final = "README.md"
_FINGERPRINT: Final = re.compile(r" \((?:[0-9A-F]{2}:){19}[0-9A-F]{2}\)")
_MESSAGE: Final = re.compile(r"(?:[\w.-]+: (?:FILE: )?)?(?:Fatal error: |ERROR: )?(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Said:
    """The message of one build in one recorded case.

    Attributes:
        build: Version and TLS library.
        dialect: The dialect of the build.
        case: The case's name.
        what: The case in words.
        line: lftp's first refusal, verbatim but without trailing blanks; empty if lftp did not refuse.
        reasons: The reasons that the tables assign to it.
        instead: What happened if lftp did not refuse.
    """

    build: str
    dialect: str
    case: str
    what: str
    line: str
    reasons: frozenset[str]
    instead: str

    @property
    def message(self) -> str:
        """The message without the command before it and the fingerprint after it."""
        found = _MESSAGE.fullmatch(_FINGERPRINT.sub("", self.line))
        return found[1].strip() if found else ""


def read(folder: Path) -> list[Said]:
    """Read all recordings, build by build.

    Raises:
        ValueError: There are no recordings in the folder.
    """
    files = sorted(folder.glob("lftp-*.json"))
    if not files:
        raise ValueError(f"{folder}: no recordings (lftp-*.json)")
    recordings = [json.loads(file.read_text("utf-8")) for file in files]
    return [_said(recording["lftp"], case) for recording in recordings for case in recording["cases"]]


def pages(recorded: Sequence[Said]) -> dict[str, str]:
    """All pages: file name → text."""
    found = {f"{reason}.md": _page(reason, refusal, recorded) for reason, refusal in REFUSALS.items()}
    return {name: _linked(text) for name, text in {_INDEX: _index(recorded), **found}.items()}


def _linked(page: str) -> str:
    """Change the page's links, written relative to the root, to be relative to the folder of the pages."""
    return page.replace("](docs/refusals/", "](").replace("](docs/", "](../")


def _said(lftp: Mapping[str, str], case: Mapping[str, Any]) -> Said:
    spoken = words(case["stderr"].encode(), "\n".join(case["log"]).encode(), lftp["dialect"])
    refusals = [word for word in spoken if word.kind == "reason"]
    line = refusals[0].text if refusals else ""
    return Said(
        f"lftp {lftp['version']} with {lftp['tls']}",
        lftp["dialect"],
        case["case"],
        case["what"],
        # The sentences of `status` end with a blank before the fingerprint.
        re.sub(r" +", " ", line).rstrip(),
        refusals[0].reasons if refusals else frozenset(),
        _instead(case, spoken),
    )


def _instead(case: Mapping[str, Any], spoken: Sequence[Word]) -> str:
    if case["signal"] is not None:
        return f"lftp crashes (signal {case['signal']})"
    return "no refusal" if not spoken else "no refusal; " + "; ".join(f"`{word.text}`" for word in spoken)


def _page(reason: Reason, refusal: Refusal, recorded: Sequence[Said]) -> str:
    parts = [
        [f"# {refusal.title}", "", _NOTE, f"Reason in reports and scenarios: `{reason}`."],
        ["## What lftp prints", "", *_quoted(reason, refusal, recorded)],
        ["## Why", "", refusal.why],
        ["## What to do", "", refusal.to_do],
        ["## What not to do", "", refusal.not_to_do],
        _see(refusal),
        _others(reason, refusal, recorded),
        _unmeasured(reason, recorded),
        [_MORE],
    ]
    return "\n\n".join("\n".join(part).strip() for part in parts if part) + "\n"


def _quoted(reason: Reason, refusal: Refusal, recorded: Sequence[Said]) -> Iterator[str]:
    """The main case in full: the output of each group of builds."""
    case = [said for said in recorded if said.case == refusal.case]
    yield f"Recorded case: {case[0].what}."
    for dialect in DIALECTS:
        for said, builds in _alike([each for each in case if each.dialect == dialect]):
            yield ""
            yield f"{_listed(builds)}, dialect `{dialect}`{_for_another(said, reason)}:"
            yield ""
            yield f"```text\n{said.line}\n```" if said.line else f"> {said.instead}"


def _others(reason: Reason, refusal: Refusal, recorded: Sequence[Said]) -> list[str]:
    """A table of the other cases in which a build gives this reason."""
    cases = dict.fromkeys(said.case for said in recorded if reason in said.reasons and said.case != refusal.case)
    if not cases:
        return []
    rows = [_row([said for said in recorded if said.case == case], reason) for case in cases]
    return ["## In other situations", "", f"| situation | {' | '.join(DIALECTS)} |", "| --- |" + " --- |" * 3, *rows]


def _row(case: Sequence[Said], reason: Reason) -> str:
    cells = []
    for dialect in DIALECTS:
        groups = _alike([each for each in case if each.dialect == dialect])
        messages = [
            f"`{said.message.removeprefix(_VERIFICATION)}`{_for_another(said, reason)}" if said.line else said.instead
            for said, _ in groups
        ]
        cells.append("<br>".join(dict.fromkeys(messages)))
    return f"| {case[0].what} | {' | '.join(each.replace('|', chr(92) + '|') for each in cells)} |"


def _unmeasured(reason: Reason, recorded: Sequence[Said]) -> list[str]:
    """The rows of the tables without a recorded example."""
    messages = [said.message.removeprefix(_VERIFICATION) for said in recorded if said.line]
    rows = [
        f"| {dialect} | `{_cell(row.text)}` | {row.source} |"
        for dialect, row in _rows()
        if reason in row.meaning and not any(_holds(row, message) for message in messages)
    ]
    if not rows:
        return []
    return [
        "## Known, but not recorded",
        "",
        "Messages that are in the tables but in no recording, as regular expressions:",
        "",
        "| dialect | text | source |",
        "| --- | --- | --- |",
        *dict.fromkeys(rows),
    ]


def _rows() -> Iterator[tuple[str, Row]]:
    for dialect, rows in CERTIFICATE.items():
        yield from ((dialect, row) for row in rows)
    yield from (("status", row) for row in STATUS_SENTENCES)
    for kinds in CLASSES.values():
        yield from (("all", row) for row in kinds.get("reason", ()))


def _holds(row: Row, message: str) -> bool:
    """Whether the message is an example of the row: as a whole, after its class, or as one of several sentences."""
    sentences = [f"{sentence}. " for sentence in message.rstrip(". ").split(". ")]
    return any(map(row.matches, [message, message.partition(": ")[2], *sentences]))


def _see(refusal: Refusal) -> list[str]:
    if not refusal.scenarios:
        return []
    runs = [f"ftps-lab run {name}" for name in refusal.scenarios]
    return ["## See it happen", "", "```sh", *runs, "```", "", f"Or by hand: `ftps-lab serve {refusal.scenarios[0]}`."]


def _index(recorded: Sequence[Said]) -> str:
    parts = [
        [
            "# Why lftp refuses",
            "",
            _NOTE,
            "One page for each reason: what lftp prints, why, what to do, and what not to do.",
        ],
        ["| reason | in words |", "| --- | --- |", *_reasons()],
        [
            "## By message",
            "",
            "What lftp printed, on the builds that were recorded, without the certificate's fingerprint:",
        ],
        ["| lftp prints | dialects | look at |", "| --- | --- | --- |", *_by_message(recorded)],
        [_SEVERAL],
    ]
    return "\n\n".join("\n".join(part).strip() for part in parts) + "\n"


def _reasons() -> Iterator[str]:
    for reason, refusal in REFUSALS.items():
        yield f"| [`{reason}`]({reason}.md) | {refusal.title} |"


def _by_message(recorded: Sequence[Said]) -> Iterator[str]:
    found: dict[str, tuple[set[str], frozenset[str]]] = {}
    for said in recorded:
        if said.line:
            found.setdefault(said.message, (set(), said.reasons))[0].add(said.dialect)
    for message, (dialects, reasons) in sorted(found.items()):
        listed = ", ".join(dialect for dialect in DIALECTS if dialect in dialects)
        yield f"| `{_cell(message)}` | {listed} | {_links(reasons)} |"


def _alike(said: Sequence[Said]) -> list[tuple[Said, list[str]]]:
    """Group the builds that printed the same message, apart from the fingerprint."""
    found: dict[tuple[str, str], tuple[Said, list[str]]] = {}
    for each in said:
        key = (each.message, "" if each.line else each.instead)
        found.setdefault(key, (each, []))[1].append(each.build)
    return list(found.values())


def _for_another(said: Said, reason: Reason) -> str:
    """A link to the reason given instead of the page's own, or in addition to it."""
    others = said.reasons - {reason}
    if not others:
        return ""
    return f" (reason {'also ' if reason in said.reasons else ''}{_links(others)})"


def _links(reasons: frozenset[str]) -> str:
    return ", ".join(f"[`{each}`]({each}.md)" for each in REFUSALS if each in reasons)


def _listed(builds: Sequence[str]) -> str:
    return builds[0] if len(builds) == 1 else f"{', '.join(builds[:-1])} and {builds[-1]}"


def _cell(words: str) -> str:
    return words.replace("|", "\\|")


def main(arguments: Sequence[str]) -> int:
    """``[--check] RECORDINGS FOLDER``: write or compare the pages; return 1 if one differs, is missing or left over."""
    checking = arguments[:1] == ["--check"]
    recordings, folder = map(Path, arguments[-2:])
    wanted = pages(read(recordings))
    there = {file.name: file.read_text("utf-8") for file in folder.glob("*.md")}
    if not checking:
        folder.mkdir(exist_ok=True)
        for name, text in wanted.items():
            (folder / name).write_text(text, "utf-8")
        for name in there.keys() - wanted.keys():
            (folder / name).unlink()
        return 0
    wrong = [name for name in sorted({*wanted, *there}) if wanted.get(name) != there.get(name)]
    for name in wrong:
        sys.stderr.write(f"{folder / name} is out of date; run `make refusals`\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
