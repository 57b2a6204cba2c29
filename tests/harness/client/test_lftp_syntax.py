"""A line is split into commands as lftp splits it; the real lftp confirms it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ftps_harness.client.lftp import run, syntax
from ftps_harness.sandbox.home import Home

if TYPE_CHECKING:
    from ftps_harness.client.lftp import Lftp

LINES = {
    "echo a; echo b": ["echo a", "echo b"],
    "echo 'a;b' \"c;d\"; echo e\\;f": ["echo 'a;b' \"c;d\"", "echo e\\;f"],
    "echo a && echo b || echo c; echo d": ["echo a && echo b || echo c", "echo d"],
    "(echo a; echo ')' ); echo b": ["(echo a; echo ')' )", "echo b"],
    "echo a | cat; echo b": ["echo a | cat", "echo b"],
    "!echo a; echo b": ["!echo a; echo b"],
    "echo a\n# echo b; echo c\necho d": ["echo a", "echo d"],
    "echo a;; ;echo b ;": ["echo a", "echo b"],
    "echo \"a'b\"; echo 'c\"d'; echo e": ['echo "a\'b"', "echo 'c\"d'", "echo e"],
    "echo a # b; echo c": ["echo a # b", "echo c"],
}


@pytest.mark.parametrize("line", LINES)
def test_line_is_split_as_lftp_does(each_lftp: Lftp, line: str) -> None:
    """The pieces, executed one by one, print the same as the line."""
    pieces = [command.text for command in syntax.commands(line)]
    assert pieces == LINES[line]
    with Home() as home:
        whole = run(each_lftp, home, script=[line], timeout=10, log=False).stdout
        parts = run(each_lftp, home, script=pieces, timeout=10, log=False).stdout
    assert whole == parts != b""


def test_background_command_is_marked() -> None:
    first, second = syntax.commands("put a & put b && ls")
    assert (first.text, first.background) == ("put a", True)
    assert (second.text, second.background) == ("put b && ls", False)


@pytest.mark.parametrize("line", ["!true", "ls && !true", "ls; !true"])
def test_shell_command_is_marked(line: str) -> None:
    assert syntax.commands(line)[-1].shell
    assert not syntax.commands("echo !")[-1].shell


@pytest.mark.parametrize("line", ["", " ", "# remark", ";", "'open", "a \\", "(a"])
def test_malformed_lines_are_read_without_an_error(line: str) -> None:
    assert all(command.text for command in syntax.commands(line))
    syntax.words(line)


def test_words_are_split_as_lftp_does(each_lftp: Lftp) -> None:
    line = r"""echo a "b c" 'd "e' f\ g "h\"i" "" j"k"l"""
    with Home() as home:
        printed = run(each_lftp, home, script=[line], timeout=10, log=False).stdout.decode()
    assert " ".join(syntax.words(line)[1:]) + "\n" == printed
    assert syntax.words("ls >x|y") == ["ls", ">", "x", "|", "y"]


@pytest.mark.parametrize(
    ("text", "simple"),
    [
        ("put a -o 'b c'", [["put", "a", "-o", "b c"]]),
        ("command put a", [["put", "a"]]),
        ("(cd x; put a)", [["cd", "x"], ["put", "a"]]),
        ("(cd x; (put a)) && ls > f", [["cd", "x"], ["put", "a"], ["ls"]]),
        ("cd x && put 'a && b' || put c", [["cd", "x"], ["put", "a && b"]]),
        ("mirro -R x", [["mirror", "-R", "x"]]),
        ("pu a", [["put", "a"]]),
        ("m a", [["m", "a"]]),
        ("", []),
    ],
)
def test_simple_lists_the_commands_that_surely_run(text: str, simple: list[list[str]]) -> None:
    assert syntax.simple(syntax.Command(text)) == simple
