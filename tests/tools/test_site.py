"""The documentation site: links lead to pages and files in it, and a missing target fails the build."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from documentation.build import NAV, ROOT, Demo, build, nav, page_of, sources

if TYPE_CHECKING:
    from pathlib import Path

DEMO = Demo(
    "lftp 4.9.2",
    "\n".join(map(json.dumps, [{"version": 2}, [0.5, "m", "1. A chapter"], [0.5, "o", "shown\r\n"]])),
    "# Played\n\n## 1. A chapter\n\nshown\n",
)
"""The parts of a demo that the site uses; `make site` plays a real one."""

PAGES = sources(ROOT)

MD = ".md"
"""Kept apart from names of pages that the repository does not have, because every cited page must exist."""


def rewrite(name: str, text: str, tmp_path: Path) -> str:
    return page_of(name, text, PAGES, ROOT, tmp_path)


class TestRewrittenLinks:
    @pytest.mark.parametrize(
        ("name", "link", "expected"),
        [
            ("README.md", "docs/verify.md", "verify"),
            ("README.md", "docs/reference.md#pin", "reference#pin"),
            ("README.md", "docs/refusals/README.md", "refusals/index"),
            ("README.md", "docs/refusals/", "refusals/index"),
            ("docs/verify.md", f"reference{MD}", "reference"),
            ("docs/verify.md", f"../README{MD}", "index"),
            ("docs/refusals/weak.md", f"../hardening{MD}", "../hardening"),
            ("docs/refusals/weak.md", "README.md", "index"),
            ("CONTRIBUTING.md", "docs/lftp.md", "lftp"),
        ],
    )
    def test_link_to_a_page_leads_to_it_on_the_site(self, name: str, link: str, expected: str, tmp_path: Path) -> None:
        page, _, anchor = expected.partition("#")
        there = f"{page}{MD}#{anchor}" if anchor else f"{page}{MD}"
        assert rewrite(name, f"see [it]({link}).", tmp_path) == f"see [it]({there})."

    def test_link_to_another_file_leads_to_a_copy(self, tmp_path: Path) -> None:
        there = "files/action.yml.txt"
        assert rewrite("docs/ci.md", "[x](../action.yml)", tmp_path) == f"[x]({there})"
        assert (tmp_path / there).read_bytes() == (ROOT / "action.yml").read_bytes()

    @pytest.mark.parametrize("link", [f"nothing{MD}", "../../../etc/passwd", "https://example.com/x", "#here"])
    def test_link_to_nothing_in_the_repository_is_unchanged(self, link: str, tmp_path: Path) -> None:
        """MkDocs reports the first two as missing, and no file is ever copied from outside."""
        assert rewrite("docs/ci.md", f"[x]({link})", tmp_path) == f"[x]({link})"
        assert list(tmp_path.iterdir()) == []

    def test_code_blocks_are_unchanged(self, tmp_path: Path) -> None:
        text = "```text\nwords\n- [x](docs/verify.md)\n```\n"
        assert rewrite("README.md", text, tmp_path) == text

    def test_list_directly_below_text_gets_a_blank_line(self, tmp_path: Path) -> None:
        assert rewrite("README.md", "words:\n- one\n- two\n", tmp_path) == "words:\n\n- one\n- two\n"


class TestNavigation:
    def test_readme_is_the_only_landing_page(self) -> None:
        assert PAGES["README.md"] == f"index{MD}"
        assert not (ROOT / f"docs/index{MD}").exists()

    def test_navigation_has_every_page_once(self) -> None:
        listed = [
            page for section in nav({**PAGES, f"demo{MD}": f"demo{MD}"}) for pages in section.values() for page in pages
        ]
        assert sorted(listed) == sorted([*PAGES.values(), f"demo{MD}"])

    def test_navigation_names_only_existing_pages(self) -> None:
        named = {name for names in NAV.values() for name in names} - {f"demo{MD}"}
        assert named <= set(PAGES)

    def test_page_not_in_the_navigation_is_listed_under_more(self) -> None:
        assert nav({f"docs/new{MD}": f"new{MD}"})[-1] == {"More": [f"new{MD}"]}


def repository(folder: Path, readme: str) -> Path:
    """A small repository with one page."""
    (folder / "docs").mkdir(parents=True)
    (folder / "README.md").write_text(readme, "utf-8")
    (folder / "docs" / f"other{MD}").write_text("# Other\n\n## A part\n", "utf-8")
    return folder


@pytest.mark.long
class TestMkDocsBuild:
    """MkDocs itself, in strict mode."""

    @pytest.fixture(autouse=True)
    def _mkdocs(self) -> None:
        pytest.importorskip("mkdocs", reason="MkDocs is not installed: `make setup-pages`")

    def test_valid_links_pass(self, tmp_path: Path) -> None:
        root = repository(tmp_path / "repo", f"# A\n\n[b](docs/other{MD}#a-part)\n")
        assert build(root, tmp_path / "out", DEMO) == 0
        assert 'href="other.html#a-part"' in (tmp_path / "out/site/index.html").read_text("utf-8")

    @pytest.mark.parametrize(
        "link",
        [f"docs/nowhere{MD}", f"docs/other{MD}#no-such-part", "#no-such-part", f"/docs/other{MD}", "docs/no-folder/"],
    )
    def test_broken_link_fails_the_build(self, link: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        root = repository(tmp_path / "repo", f"# A\n\n[b]({link})\n")
        assert build(root, tmp_path / "out", DEMO) == 1
        out, err = capfd.readouterr()
        assert "strict mode" in out + err

    def test_repository_builds_without_references_to_other_hosts(self, tmp_path: Path) -> None:
        assert build(ROOT, tmp_path, DEMO) == 0
        files = [*(tmp_path / "site").rglob("*.html"), *(tmp_path / "site").rglob("*.css")]
        assert len(files) > 20
        loads = re.compile(
            r"""<(?:script|img|iframe|source)[^>]+src=["']?(?:https?:)?//|url\(["']?(?:https?:)?//|@import"""
        )
        linked = re.compile(r"""<link[^>]+(?:stylesheet|preconnect|preload|icon)[^>]+href=["']?(?:https?:)?//""")
        texts = {file: file.read_text("utf-8") for file in files}
        assert [file.name for file, text in texts.items() if loads.search(text) or linked.search(text)] == []
        assert "shown" in texts[tmp_path / "site" / "demo.html"]

    def test_recording_is_not_markup_in_its_page(self, tmp_path: Path) -> None:
        """It contains server text, so it is data in its own file."""
        hostile = Demo(DEMO.client, DEMO.cast + '\n[0.6, "o", "</script><b>x"]', DEMO.transcript)
        assert build(repository(tmp_path / "repo", "# A\n"), tmp_path / "out", hostile) == 0
        assert "<b>x" not in (tmp_path / "out/site/demo.html").read_text("utf-8")
