"""Every page, section, file and scenario that the repository cites exists."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]

PAGE = re.compile(r"(?<![\w./-])(?:\.\./)*(?:[\w.-]+/)*[\w-]+\.md\b")
FILE = re.compile(r"(?<![\w./-])(?:docs|harness|lab|tests|tools)/[\w./-]+\.(?:json|py|sh|toml|yaml)\b")
SECTION = re.compile(r'([\w./-]+\.md),\s+(?:# )?"([^"\n]+)"')
ANCHOR = re.compile(r"\]\(([\w./-]*)#([\w-]+)\)")
SCENARIO = re.compile(r"`((?:attack|document)/[a-z0-9-]+)`")


def missing_citations(text: str, path: Path) -> Iterator[str]:
    """The citations in a text whose target does not exist.

    A page is resolved from the text's own folder and from the root, so that links in Markdown and names in code both
    work; a section is one of its headings.
    """
    for name in sorted({*PAGE.findall(text), *FILE.findall(text)}):
        if _file(name, path) is None:
            yield name
    for name, heading in SECTION.findall(text):
        if (page := _file(name, path)) is not None and heading not in headings(page):
            yield f'{name}, "{heading}"'
    if path.suffix == ".md":
        for name, anchor in ANCHOR.findall(text):
            page = path if name == "" else _file(name, path)
            if page is None or anchor not in map(_anchor, headings(page)):
                yield f"{name}#{anchor}"
        yield from (name for name in SCENARIO.findall(text) if not (ROOT / f"scenarios/{name}.scenario.toml").exists())


def _file(name: str, path: Path) -> Path | None:
    return next((found for folder in (path.parent, ROOT) if (found := folder / name).is_file()), None)


def headings(page: Path) -> list[str]:
    """The headings of a page, at every level."""
    return re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)


def _anchor(heading: str) -> str:
    """The anchor of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def tracked() -> Iterator[tuple[Path, str]]:
    """The text files that git tracks."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, listed.decode().split("\0")):
        path = ROOT / name
        try:
            yield path, path.read_text("utf-8")
        except (UnicodeDecodeError, FileNotFoundError):  # not text; or deleted but not yet committed
            continue


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout: git does not track its files")
def test_every_cited_target_exists() -> None:
    texts = dict(tracked())
    assert ROOT / "docs/reference.md" in texts
    found = {str(path.relative_to(ROOT)): sorted(missing_citations(text, path)) for path, text in texts.items()}
    assert {path: names for path, names in found.items() if names} == {}


CODE, DOCS = "lab/ftps_lab/wire/tap.py", "docs/matrix.md"


@pytest.mark.parametrize(
    ("where", "text", "cited"),
    [
        (CODE, "measured (NOTES.{} 5)", "NOTES.{}"),
        (CODE, "fixed in `../shared/NOTES.{}`", "../shared/NOTES.{}"),
        (DOCS, "see [notes](NOTES.{})", "NOTES.{}"),
        (CODE, 'as docs/lftp.{}, "Weather" has it', 'docs/lftp.{}, "Weather"'),
        (CODE, 'as docs/lftp.{},\n    "Weather" has it', 'docs/lftp.{}, "Weather"'),
        (DOCS, "[here](lftp.{}#weather)", "lftp.{}#weather"),
        (CODE, "proved by tests/lab/{}test_weather.py", "tests/lab/{}test_weather.py"),
        (DOCS, "see `document/{}weather`", "document/{}weather"),
    ],
)
def test_citation_without_a_target_is_reported(where: str, text: str, cited: str) -> None:
    """In each form that the repository uses; `{}` hides it from the test above."""
    hidden = "md" if "/{}" not in text else ""
    assert list(missing_citations(text.replace("{}", hidden), ROOT / where)) == [cited.replace("{}", hidden)]


def test_citations_with_a_target_are_accepted() -> None:
    """A section, a link to a neighbouring page, an anchor, a scenario, a file and a page in the root."""
    link = "[a]({}), [b]({}#the-rc)".format("claims" + ".md", "lftp" + ".md")
    text = f'docs/lftp.md, "Builds", {link}, `document/expired`, tests/conftest.py, README.md'
    assert list(missing_citations(text, ROOT / DOCS)) == []
