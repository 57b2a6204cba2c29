"""Which lftp commands reach a server, and which are not allowed in `run`."""

from __future__ import annotations

import pytest

from ftps_harness.scenario.runs import check, connects

CONNECTING = [
    "list",
    "get",
    "put",
    "mirror",
    "ls",
    "open localhost; ls",
    "open ftp://u:p@localhost:2121/dir",
    "open -e ls localhost",
    "set net:timeout 5 && cd d",
    "echo x || nlist",
    "(cat f)",
    "command ls",
    "eval 'ls -l'",
    "repeat -c 1 ls",
    "lftp -c ls",
    "echo 'a;b'; du",
    "nl",
    "my-alias",
    "ls | grep x",
    "cd d # echo",
    "source -e echo ls",
]

IDLE = [
    "open localhost",
    "open -u user,secret -p 2121 localhost",
    "open ftp://u:p@localhost:2121",
    "connect localhost",
    "set net:timeout 5",
    "se net:timeout 5",
    "lcd /tmp",
    "lc /tmp",
    "!ls; ls",
    "! ls",
    "# ls",
    "echo ls",
    "echo x | cat",
    "echo 'x; ls'",
    'echo "x; ls" \\; ls',
    "close",
    "user u p",
    "alias x ls",
    "bookmark list",
    "debug 5",
    "help ls",
    "history",
    "sleep 1",
    "wait",
    "pwd",
    "command echo ls",
    "eval",
    "lftp",
    ";",
]


@pytest.mark.parametrize("item", CONNECTING)
def test_connecting_command_may_be_the_only_one(item: str) -> None:
    assert connects(item)
    assert list(check((item,), "run")) == []


@pytest.mark.parametrize("item", IDLE)
def test_idle_command_needs_a_connecting_one_beside_it(item: str) -> None:
    assert not connects(item)
    (problem,) = check((item,), "step[1].run")
    assert problem.key == "step[1].run"
    assert "never connects" in problem.sentence
    assert list(check((item, "list"), "run")) == []


@pytest.mark.parametrize(
    ("item", "part"),
    [
        ("ls; exit", "ends lftp"),
        ("ex", "ends lftp"),
        ("quit", "ends lftp"),
        ("bye", "ends lftp"),
        ("ls && kill all", "stops the jobs that the lab watches"),
        ("queue ls", "background"),
        ("ls &", "background"),
        ("get x & ls", "background"),
        ("suspend", "time limit"),
        ("attach 1", "another lftp"),
        ("ls\nls", "line end"),
        ("ls\x1b[2J", "control character"),
        ("", "is empty"),
        (" \t", "is empty"),
        ("List", 'Did you mean "list"?'),
        (" get", 'Did you mean "get"?'),
    ],
)
def test_forbidden_command_is_reported_with_its_place(item: str, part: str) -> None:
    """The place in the list counts from 1."""
    (problem,) = check(("list", item), "step[1].run")
    assert problem.key == "step[1].run[2]"
    assert part in problem.sentence


@pytest.mark.parametrize("item", ["ls && ls", "cat 'a & b'", "cat a\\&b", "ls | sort & true", 'get "exit"'])
def test_only_a_single_unquoted_ampersand_backgrounds(item: str) -> None:
    """Not `&&`, nor in quotes; after a pipe's shell command, `&` is lftp's again."""
    background = item.endswith("& true")
    assert bool(list(check((item,), "run"))) is background


def test_empty_run_is_an_error() -> None:
    (problem,) = check((), "step[1].run")
    assert problem.key == "step[1].run"
    assert "would run nothing" in problem.sentence
