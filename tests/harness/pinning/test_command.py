"""The tool's command lines: which parts are replaced, what is found in them, and what is refused with a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ftps_harness.errors import UsageError
from ftps_harness.pinning.command import load
from ftps_harness.pinning.config import Config
from ftps_harness.pinning.config import load as load_config

if TYPE_CHECKING:
    from pathlib import Path

VALUES = {"host": "h", "port": "21", "home": "/h", "lftp": "/l", "sha256": "AA:BB"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pin.sh").write_text("#!/bin/sh\n")
    (tmp_path / "pin.sh").chmod(0o755)
    (tmp_path / "note").write_text("")
    return tmp_path


def test_placeholders_are_replaced_and_file_paths_made_absolute(folder: Path) -> None:
    tool = load(
        ["./pin.sh", "{host}:{port}", "note", "-o", "${HOME}", "{a,b}"], "./pin.sh --replace {host}", None, folder
    )
    script = str(folder / "pin.sh")
    assert tool.words("pin", VALUES) == (script, "h:21", str(folder / "note"), "-o", "${HOME}", "{a,b}")
    assert tool.words("repin", VALUES) == (script, "--replace", "h")
    assert tool.words("fingerprint", VALUES) == ()
    assert tool.programs == (folder / "pin.sh", folder / "note")


def test_placeholder_in_a_value_is_not_replaced(folder: Path) -> None:
    tool = load(["./pin.sh", "{host}"], None, None, folder)
    assert tool.words("pin", {**VALUES, "host": "{port}"})[1] == "{port}"


def test_missing_placeholder_is_a_note(folder: Path) -> None:
    tool = load(["./pin.sh", "{host}"], "./pin.sh --replace {port}", None, folder)
    assert tool.notes == (
        "the command lacks {port}, so the tool always uses its own port; put {port} where it expects the port",
        "--repin lacks {host}, so the tool always uses its own host; put {host} where it expects the host",
    )
    assert load(["./pin.sh", "{host}:{port}"], None, None, folder).notes == ()


@pytest.mark.parametrize(
    ("command", "repin", "fingerprint", "said"),
    [
        (["./pin.sh"], None, None, "lacks {host}"),
        (["./none.sh", "{host}"], None, None, "./none.sh: no such file"),
        (["none-at-all", "{host}"], None, None, "no such program on PATH"),
        (["./note", "{host}"], None, None, "not executable"),
        (["./pin.sh", "{host}", "{hots}"], None, None, "unknown placeholder {hots}; use {host}"),
        (["./pin.sh", "{host}"], "./pin.sh 'x", None, "--repin"),
        (["./pin.sh", "{host}"], None, "./pin.sh {host}", "lacks {sha256}"),
    ],
)
def test_bad_command_is_a_usage_error(
    command: list[str], repin: str | None, fingerprint: str | None, said: str, folder: Path
) -> None:
    with pytest.raises(UsageError) as error:
        load(command, repin, fingerprint, folder)
    assert said in str(error.value)


def test_config_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "pin-check.toml"
    path.write_text('repin = "./p -r {host}"\n[not-claimed]\nrepin = " no way to "\n')
    assert load_config(path) == Config("./p -r {host}", None, {"repin": "no way to"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("repim = 1\n", "unknown key 'repim'. Did you mean"),
        ("repin = 1\n", "repin must be a command in quotes"),
        ("[not-claimed]\nconects = 'x'\n", "unknown requirement 'conects'. Did you mean"),
        ("[not-claimed]\nconnects = ' '\n", "the reason must not be empty"),
        ("not-claimed = 1\n", "must be a table"),
        ("x", "is not TOML"),
        ("x = " + "[" * 100_000, "its brackets are nested too deeply"),
    ],
)
def test_bad_config_file_is_a_usage_error(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "pin-check.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as error:
        load_config(path)
    assert str(path) in str(error.value)
    assert said in str(error.value)
