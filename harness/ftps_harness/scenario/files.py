"""The files that `files` puts into HOME: names that stay inside, and sources such as `cert:genuine + cert:next`."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast, get_args

from ftps_harness.scenario import later, patterns, substitution
from ftps_harness.scenario.model import Source
from ftps_harness.scenario.problems import Problem, dangling, did_you_mean, shown, toml_key
from ftps_harness.scenario.tables import SourceKind

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

    from ftps_harness.scenario.model import Server
    from ftps_harness.scenario.tables import StepTable
    from ftps_harness.words import Folder

_KINDS = get_args(SourceKind)
_FORMS = "Write cert:NAME, key:NAME, chain:NAME, der:NAME, crlf:NAME, text:…, served, or several joined by ' + '"
_JOIN = " + "

_TAKEN: dict[Folder, dict[str, str]] = {
    "lftp": {"rc": "write the rc file with the key rc"},
    "home": {".lftp": "the lab makes that folder for every step"},
    "elsewhere": {},
}
"""Names in a folder that `files` may not use, and why."""


def sources(text: str) -> tuple[Source, ...]:
    """Parse the value of one file.

    `text:` runs to the end of the value, ' + ' included, so it can only come last. Blanks around ' + ' do not count.

    Args:
        text: Such as ``cert:genuine + cert:next``; `check` must have found no problem in it.
    """
    return tuple(Source(cast("SourceKind", kind), value) for kind, value in _parts(text))


def destination(name: str, cwd: Folder) -> tuple[Folder, str]:
    """The target folder of a file, and its name there: ``cwd/NAME`` goes into the folder in which lftp starts."""
    return (cwd, name.removeprefix("cwd/")) if name.startswith("cwd/") else ("lftp", name)


def check(step: StepTable, server: Server, certificates: Iterable[str], key: str) -> Iterator[Problem]:
    """Problems of a step's files.

    Args:
        step: As written.
        server: The one in force.
        certificates: The names of the file's certificates.
        key: The step's key.
    """
    for name, text in step.files.items():
        where = toml_key(f"{key}.files", name)
        yield from (Problem(where, sentence) for sentence in name_faults(name, step.files, step.cwd))
        for kind, value in _parts(text):
            if sentence := _source_fault(kind, value, server, list(certificates)):
                yield Problem(where, sentence)
            elif kind == "text":
                yield from (Problem(where, sentence) for sentence in substitution.check(value, certificates))


def _parts(text: str) -> Iterator[tuple[str, str]]:
    rest: str | None = text
    while rest is not None:
        if rest.lstrip().startswith("text:"):
            yield "text", rest.lstrip().removeprefix("text:")
            return
        part, joint, more = rest.partition(_JOIN)
        kind, _, value = part.strip().partition(":")
        # Only a bare `served` is one: `served:x` stays whole and so is not a valid source.
        yield (part.strip(), "") if kind == "served" else (kind, value)
        rest = more if joint else None


def name_faults(name: str, names: Container[str], cwd: Folder) -> Iterator[str]:
    """Problems of a file's name.

    Args:
        name: The key of `files`.
        names: All keys of `files`.
        cwd: The folder in which lftp starts.
    """
    if not patterns.FILE_NAME.fullmatch(name) or len(name.encode()) > 255:
        yield f'{shown(name)} is not a file name: write a plain name (it goes into ~/.lftp) or "cwd/NAME"'
        return
    folder, plain = destination(name, cwd)
    if plain in _TAKEN[folder]:
        yield f"{shown(plain)} is not allowed here: {_TAKEN[folder][plain]}"
    if name.startswith("cwd/") and folder == "lftp" and plain in names:
        yield f"is the same file as {shown(plain)}, because lftp starts in ~/.lftp here; remove one of them"


def _source_fault(kind: str, value: str, server: Server, certificates: list[str]) -> str | None:
    if kind in later.SOURCE_KINDS:
        return f"{shown(f'{kind}:{value}')} {later.SENTENCE}"
    if kind not in _KINDS:
        near = f' Did you mean "cert:{kind}"?' if kind in certificates else did_you_mean(kind, _KINDS)
        return f"{shown(kind)} is not a source of a file.{near} {_FORMS}"
    if kind == "served":
        return _nothing_served(server)
    return None if kind == "text" or value in certificates else dangling(value, certificates)


def _nothing_served(server: Server) -> str | None:
    if server.protocol == "plain":
        return "served: a plain server shows no certificate to fetch; use cert:NAME, or another protocol"
    if not server.shows_certificate:
        attack = shown(server.attack)
        return (
            f"served: under the attack {attack} the server shows no certificate to fetch; use cert:NAME, or fetch it "
            "in a step before the attack"
        )
    return None
