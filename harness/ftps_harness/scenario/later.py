"""Keys of a later version: refused by name, never accepted and ignored.

The change that implements a key deletes its row here and adds the key to `tables`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from ftps_harness.scenario.problems import Problem, shown, toml_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SENTENCE = "needs a later version of ftps-lab; remove it"


def _lists_something(value: object) -> bool:
    return isinstance(value, list) and value != []


_SERVER_KEYS: dict[str, Callable[[object], bool]] = {
    "revoked": _lists_something,
}
"""Keys of a server table → whether this value needs an unimplemented feature."""

SOURCE_KINDS = frozenset({"crl"})
"""Sources of files (`crl:NAME`) that need an unimplemented feature."""


class Pruned(NamedTuple):
    """A file's data without keys of later versions, and the problems that these keys cause."""

    data: dict[str, Any]
    problems: list[Problem]


def prune(data: dict[str, Any]) -> Pruned:
    """Remove the keys of later versions from parsed TOML; the input data is not changed."""
    data = dict(data)
    problems: list[Problem] = []
    if isinstance(server := data.get("server"), dict):
        problems += _of_server(server, "server")
        data["server"] = _without(server)
    if isinstance(steps := data.get("step"), list):
        steps = list(steps)
        for index, step in enumerate(steps):
            if isinstance(step, dict) and isinstance(change := step.get("server"), dict):
                problems += _of_server(change, f"step[{index + 1}].server")
                steps[index] = {**step, "server": _without(change)}
                if change and not steps[index]["server"]:
                    del steps[index]["server"]  # else it would also be reported as empty
        data["step"] = steps
    return Pruned(data, problems)


def _of_server(server: dict[str, Any], key: str) -> Iterator[Problem]:
    for name, value in server.items():
        if name in _SERVER_KEYS and _SERVER_KEYS[name](value):
            yield Problem(toml_key(key, name), f"{name} = {shown(value)} {SENTENCE}")


def _without(server: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in server.items() if not (name in _SERVER_KEYS and _SERVER_KEYS[name](value))}
