"""docs/glossary.md explains each term that the other pages assume, exactly once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[3] / "docs"
GLOSSARY_PAGE = DOCS.parent / "docs/glossary.md"
GLOSSARY = GLOSSARY_PAGE.read_text("utf-8")
WORDS = (
    "testimony",
    "witness",
    "impostor",
    "twin",
    "pin",
    "control (run)",
    "place",
    "interceptor",
    "downgrade",
    "STARTTLS stripping",
    "trust store",
    "TOFU",
    "leaf",
    "issuer",
    "SAN",
    "EKU",
    "close_notify",
    "explicit FTPS",
    "implicit FTPS",
    "AUTH",
    "PROT",
    "control channel",
    "data channel",
    "finding",
    "trial",
)


@pytest.mark.parametrize("word", WORDS)
def test_each_term_has_exactly_one_row(word: str) -> None:
    rows = [line for line in GLOSSARY.splitlines() if line.startswith(f"| {word} | ")]
    assert len(rows) == 1
    assert re.fullmatch(r"\| [^|]+ \| .+\. \|", rows[0]), "one or two sentences"


def test_glossary_names_the_document() -> None:
    assert "LFTP FTPS and Certificate Verification" in GLOSSARY


@pytest.mark.parametrize("page", ["README.md", "docs/reference.md"])
def test_page_links_to_the_glossary(page: str) -> None:
    assert f"{GLOSSARY_PAGE.name})" in (DOCS.parent / page).read_text("utf-8")
