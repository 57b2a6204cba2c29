"""Content of a page, read as a browser would; and text that would break out if it were not escaped."""

from __future__ import annotations

from html.parser import HTMLParser

EVIL = (
    '</script></style></title></pre><img src=x onerror="alert(1)"><svg/onload=alert(1)>\x00\x1b[2J\u202e\u2066{{ 7*7 }}'
)
"""Closes every element that can hold text, opens some that run code, and has a NUL, an escape and two bidi controls."""


class Outline(HTMLParser):
    """A page's elements, attributes and text, and whether each opened element was closed."""

    INLINE = frozenset({"span", "strong", "code", "a", "kbd", "ins", "del", "label"})
    VOID = frozenset({"meta", "link", "input", "br", "hr", "img"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.ids: list[str] = []
        self.text: list[str] = []
        self.unbalanced: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        self.unbalanced += self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._apart(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self._apart(tag)
        if self._open and self._open[-1] == tag:
            self._open.pop()
        else:
            self.unbalanced.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        if not self._open or self._open[-1] not in {"script", "style"}:
            self.text.append(data)

    def _apart(self, tag: str) -> None:
        """Put a block on lines of its own."""
        if tag not in self.INLINE:
            self.text.append(" ")

    @property
    def said(self) -> str:
        """All text that a reader sees, with runs of blanks as one."""
        return " ".join("".join(self.text).split())


def check_harmless(text: str) -> Outline:
    """Fail unless a page with `EVIL` in it shows it as text, loads nothing and has unique ids."""
    outline = Outline(text)
    assert outline.unbalanced == []
    assert "img" not in outline.tags
    assert outline.tags.count("script") == outline.tags.count("style") == outline.tags.count("title") == 1
    assert [name for _, name, _ in outline.attributes if name.startswith("on")] == []
    named = [value for _, name, value in outline.attributes if name in {"src", "href", "action", "data", "srcset"}]
    assert [value for value in named if not value.startswith(("#", "data:,"))] == []
    assert [letter for letter in text if not letter.isprintable() and letter != "\n"] == []
    assert '</script></style></title></pre><img src=x onerror="alert(1)">' in outline.said
    assert "\\x00\\x1b[2J\\u202e\\u2066{{ 7*7 }}" in outline.said
    assert len(outline.ids) == len(set(outline.ids))
    return outline
