"""Files that are unreadable, not text or not TOML; finding files; placeholders."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from ftps_harness.errors import UsageError
from ftps_harness.scenario import (
    Outline,
    ScenarioError,
    catalogue,
    id_of,
    load,
    outline,
    parse,
    placeholders,
    relative_seconds,
    substitute,
)
from ftps_harness.scenario.template import scenario_template

if TYPE_CHECKING:
    from pathlib import Path

TEXT = scenario_template("x")


def scenario_file(folder: Path, name: str = "case.scenario.toml", content: str | bytes = TEXT) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def error_of(path: Path) -> str:
    """The message about a file, without its name; `load` and `outline` give the same."""
    with pytest.raises(ScenarioError) as caught:
        load(path)
    with pytest.raises(ScenarioError) as outlined:
        outline(path)
    assert str(caught.value) == str(outlined.value)
    assert caught.value.key == ""
    assert str(caught.value) == f"{path}: {caught.value.sentence}"
    return caught.value.sentence


def test_id_is_folder_and_file_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The form on the command line does not matter; an explicit id wins."""
    path = scenario_file(tmp_path / "document")
    assert load(path).id == "document/case"
    assert load(path).file == str(path)
    assert load(path, "a/b").id == "a/b"
    monkeypatch.chdir(path.parent)
    assert id_of(type(path)("case.scenario.toml")) == "document/case"


def test_outline_equals_the_scenario(tmp_path: Path) -> None:
    """It is read faster."""
    path = scenario_file(tmp_path / "mine")
    scenario = load(path)
    assert outline(path) == Outline(
        id="mine/case",
        file=str(path),
        title=scenario.title,
        tags=scenario.tags,
        claim=None,
        steps=tuple(step.title for step in scenario.steps),
    )


def test_outline_refuses_unknown_keys_types_and_later_versions(tmp_path: Path) -> None:
    """Only `load` checks names that refer to nothing."""
    for line in ("tls = 5", "tsl = []", "revoked = ['x']"):
        path = scenario_file(tmp_path, content=TEXT.replace("[server]\n", f"[server]\n{line}\n"))
        with pytest.raises(ScenarioError, match=r"server\.\w+: "):
            outline(path)
    for line, key in (("user = '\\n'", "user"), ("password = ''", "password"), ("host = 'a b'", "host")):
        step = TEXT.replace("[[step]]\n", "[[step]]\n" + line.replace("'", '"') + "\n", 1)
        with pytest.raises(ScenarioError, match=rf"case\.scenario\.toml: step\[1\]\.{key}: "):
            outline(scenario_file(tmp_path, content=step))
    dangling = scenario_file(tmp_path, content=TEXT.replace("[server]\n", "[server]\nchain = ['x']\n"))
    assert outline(dangling).tags == ("mine",)
    with pytest.raises(ScenarioError, match=r"server\.chain: "):
        load(dangling)


def test_missing_file_is_an_error(tmp_path: Path) -> None:
    assert error_of(tmp_path / "no.scenario.toml") == "cannot be read: No such file or directory"
    path = scenario_file(tmp_path) / "no.scenario.toml"
    assert error_of(path) == "cannot be read: Not a directory"


def test_file_name_without_the_suffix_is_an_error(tmp_path: Path) -> None:
    assert ".scenario.toml" in error_of(scenario_file(tmp_path, "case.toml"))


def test_folder_or_fifo_is_an_error(tmp_path: Path) -> None:
    """Reading a FIFO would wait for ever."""
    folder = tmp_path / "x.scenario.toml"
    folder.mkdir()
    assert "is a folder" in error_of(folder)
    fifo = tmp_path / "y.scenario.toml"
    os.mkfifo(fifo)
    assert "not a regular file" in error_of(fifo)


def test_unreadable_file_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is simulated, because root can read everything."""
    path = scenario_file(tmp_path)

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(type(path), "open", refuse)
    assert error_of(path) == "cannot be read: Permission denied"


def test_file_larger_than_1_mb_is_an_error(tmp_path: Path) -> None:
    """Exactly one megabyte is read."""
    assert load(scenario_file(tmp_path, content=TEXT.encode().ljust(1_000_000, b"\n"))).title == "X"
    assert "larger than 1 MB" in error_of(scenario_file(tmp_path, content=TEXT.encode().ljust(1_000_001, b"\n")))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"schema = 1\ntitle = 'caf\xe9'", "is not UTF-8 (line 2); save it as UTF-8"),
        (b"\xff\xfes\x00", "is not UTF-8 (line 1); save it as UTF-8"),
        (b"\xef\xbb\xbfschema = 1", "begins with a byte-order mark; save it as UTF-8 without one"),
        (b"schema = 1\ntitle 'x'", "is not TOML: line 2, column 7: expected '=' after a key in a key/value pair"),
        (
            b"schema = 1\ntitle = my server\n",
            "is not TOML: line 2, column 9: invalid value (text is written in quotes)",
        ),
        (b"schema = 1\nschema = 2\n", "is not TOML: line 2, column 11: cannot overwrite a value"),
        (b"schema = 1\ntitle = 'x", 'is not TOML: at the end of the file: expected "\'"'),
        (b"\x89PNG\r\n", "is not UTF-8 (line 1); save it as UTF-8"),
        (
            b"x = " + b"[" * 100_000,
            "is not usable as TOML: a number in it is too long, or its brackets are nested too deeply",
        ),
        (
            b"x = " + b"1" * 5000,
            "is not usable as TOML: a number in it is too long, or its brackets are nested too deeply",
        ),
    ],
    ids=["latin-1", "utf-16", "bom", "no-equals", "no-quotes", "twice", "open-string", "binary", "deep", "long-number"],
)
def test_invalid_text_or_toml_is_an_error_with_its_place(tmp_path: Path, content: bytes, sentence: str) -> None:
    assert error_of(scenario_file(tmp_path, content=content)) == sentence


def test_empty_file_lacks_every_required_key(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError) as caught:
        load(scenario_file(tmp_path, content=""))
    assert [problem.key for problem in caught.value.problems] == ["schema", "title", "why", "server", "step"]


def test_crlf_file_is_read(tmp_path: Path) -> None:
    path = scenario_file(tmp_path, content=TEXT.replace("\n", "\r\n"))
    assert (
        load(path).steps[1].rc
        == 'set ssl:ca-file "{lftp}/mycert.crt"\nset ftp:ssl-force yes\nset ftp:ssl-protect-data yes\n'
    )


def test_catalogue_is_sorted_by_id(tmp_path: Path) -> None:
    """At any depth, without hidden and installed files and files with other names."""
    for name in ("b/2", "b/1", "a/z", "deep/down/c/1", ".git/x", "site-packages/y/z", "b/.hidden"):
        area, _, case = name.rpartition("/")
        scenario_file(tmp_path / area, f"{case}.scenario.toml")
    scenario_file(tmp_path / "a", "notes.toml")
    found = catalogue(tmp_path)
    assert list(found) == ["a/z", "b/1", "b/2", "c/1"]
    assert found["c/1"] == tmp_path / "deep/down/c/1.scenario.toml"


def test_catalogue_follows_no_links_to_folders(tmp_path: Path) -> None:
    """A link back up would never end."""
    scenario_file(tmp_path / "a")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    assert list(catalogue(tmp_path)) == ["a/case"]


def test_duplicate_id_is_a_usage_error(tmp_path: Path) -> None:
    """Reports could not tell the two apart."""
    scenario_file(tmp_path / "x" / "a")
    scenario_file(tmp_path / "y" / "a")
    with pytest.raises(
        UsageError, match=r"y/a/case.scenario.toml and .*x/a/case.scenario.toml have the same id, a/case"
    ):
        catalogue(tmp_path)


def test_missing_catalogue_folder_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no cannot be read: No such file"):
        catalogue(tmp_path / "no")
    assert catalogue(tmp_path) == {}


RC = 'set ssl:ca-file "{lftp}/x" # {host} {host}:{port}\nset a/{sha1:a-b} {sha256:a-b} {sha1:c} {{lftp}} {{x:y}}'
OTHER_BRACES = '{} {a,b} {1} { port } ${port} ${HOME} {"a":1} {a-b} {port {sha1:\n} {{a b}} {print $1}'


def test_placeholders_are_found_once_in_order() -> None:
    assert placeholders(RC) == ("lftp", "host", "port", "sha1:a-b", "sha256:a-b", "sha1:c")
    assert placeholders(OTHER_BRACES) == ()
    assert placeholders("{LFTP} {x:y} {sha1}") == ("LFTP", "x:y", "sha1")


def test_only_placeholders_are_replaced() -> None:
    """Other braces stay, and inserted text is not searched again."""
    values = {"lftp": "/h/.lftp", "host": "{port}", "port": "21", "sha1:a-b": "AA", "sha256:a-b": "BB", "sha1:c": "CC"}
    assert substitute(RC, values) == ('set ssl:ca-file "/h/.lftp/x" # {port} {port}:21\nset a/AA BB CC {lftp} {x:y}')
    assert substitute(OTHER_BRACES, {}) == OTHER_BRACES


def test_placeholder_without_a_value_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        substitute("{port}", {})


@pytest.mark.parametrize(("text", "seconds"), [("+366d", 366 * 86400), ("-90m", -5400), ("+2h", 7200), ("-1s", -1)])
def test_relative_time_is_converted_to_seconds(text: str, seconds: int) -> None:
    assert relative_seconds(text) == seconds


def test_parse_opens_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file's name is used in errors only."""
    monkeypatch.setattr("builtins.open", None)
    assert parse(TEXT, "/no/such.scenario.toml", "a/b").file == "/no/such.scenario.toml"
