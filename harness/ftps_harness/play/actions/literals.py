"""A literal lftp command as a request: every command of its line, and the proof that each succeeded."""

from __future__ import annotations

import posixpath
import re
import secrets as randomness
from typing import TYPE_CHECKING

from ftps_harness.client.lftp import syntax
from ftps_harness.play.actions import meant
from ftps_harness.play.actions.evidence import ClientAction, holds, sha256
from ftps_harness.play.actions.picked import are_there
from ftps_harness.play.actions.reverse import is_reverse, unsent
from ftps_harness.play.actions.scripts import expanded
from ftps_harness.play.actions.transferred import lost
from ftps_harness.verdict.observations import Task
from ftps_lab.testimony import FILES, LISTINGS, UPLOADS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ftps_harness.play.actions.evidence import Evidence
    from ftps_harness.sandbox.secrets import Secrets
    from ftps_lab.testimony import Command, Testimony

_REFUSED = 400
"""The lowest reply code that means failure (RFC 959 section 4.2.1)."""


_LISTS = LISTINGS | {"STAT"}
_REMOVES = frozenset({"DELE", "RMD", "XRMD"})
_ENTERS = frozenset({"CWD", "XCWD"})
_RETRIEVES = frozenset({"RETR"})
_ANY = {
    "mput": UPLOADS,
    "put": UPLOADS,
    "mget": _RETRIEVES,
    "mrm": _REMOVES,
    "mmv": frozenset({"RNFR"}),
    **dict.fromkeys(("ls", "cls", "nlist", "rels", "recls", "renlist", "find", "du", "mirror"), _LISTS),
}
"""lftp command → the FTP commands of which the server must receive at least one (RFC 959 section 4.1)."""

_EACH = {
    **dict.fromkeys(("get", "get1", "pget", "cat", "more", "zcat", "zmore", "bzcat", "bzmore"), _RETRIEVES),
    "rm": _REMOVES,
    "rmdir": _REMOVES,
    "mkdir": frozenset({"MKD", "XMKD"}),
    "mv": frozenset({"RNFR"}),
    "chmod": frozenset({"SITE"}),
}
"""The same, but for each file that the command names."""


class Literal(ClientAction):
    """A literal lftp command: done when all its commands succeeded, a login succeeded, and no transfer was cut short.

    lftp's exit code is that of the last command alone, so we append to each command a mark that is written only if the
    command succeeds. The mark counts unless lftp reports otherwise (a ``put`` whose data channel is refused still
    succeeds). The expected result is unknown, so neither side can hold a result that the other lacks.

    Args:
        name: As the scenario writes it.
        secrets: The run's secrets.
        downloads: The folder for downloads.
        uploads: The folder for uploads.
        marks: The file that receives the marks: not lftp's output, because ``cmd:trace`` prints them there.
        earlier: The commands of the preceding literals.
        last: This is the last request, so it may end lftp.
    """

    def __init__(
        self,
        name: str,
        secrets: Secrets,
        downloads: Path,
        uploads: Path,
        *,
        marks: Path,
        last: bool,
        earlier: Sequence[syntax.Command] = (),
    ) -> None:
        super().__init__(name, secrets, downloads, uploads)
        self._commands = syntax.commands(name)
        self._last = last
        self._earlier = earlier
        self._file = marks
        token = randomness.token_hex(10)
        self._marks = [f"{token}-{number}" for number, each in enumerate(self._commands) if not each.background]

    @property
    def commands(self) -> tuple[syntax.Command, ...]:
        """The commands of its line."""
        return self._commands

    @property
    def runs_programs(self) -> bool:
        """Whether another program may write to lftp's standard error, so that unknown messages may be its own."""
        shells = {"!", "shell", "local"}
        return any(
            each.shell or "|" in (read := syntax.words(each.text)) or shells.intersection(read)
            for each in self._commands
        )

    def command(self) -> str:
        """The command as the scenario writes it, with a mark after each part.

        Each mark is on its own line, because a command that begins with ``!`` extends to the end of its line.
        """
        marks = iter(self._marks)
        lines = []
        for each in self._commands:
            lines += [f"{each.text} &"] if each.background else [each.text, self._mark(next(marks))]
        return "\n".join(lines)

    def typed(self) -> str:
        """As the scenario writes it."""
        return self.name

    def _mark(self, word: str) -> str:
        return f"&& {write(word, self._file)}"

    def proof(self, evidence: Evidence) -> Task:
        """A local file with the name of a served file must hold the same bytes."""
        served = {self._secrets.file_name: self._secrets.content, **self._secrets.tree}
        intact = all(holds(path, sha256(served[path.name])) for path in evidence.written if path.name in served)
        succeeded = not evidence.complaint and self._came_to_an_end(evidence) and not self._refused(evidence)
        transfers = evidence.testimony.transfers
        complete = (
            evidence.testimony.logged_in
            and self._asked_for(evidence)
            and all(t.completed and not t.forged for t in transfers)
        )
        complete = (
            complete
            and not lost(evidence)
            and not unsent(expanded((*self._earlier, *self._commands), evidence), evidence)
        )
        return Task(self.name, None if succeeded and intact else False, succeeded and complete)

    def _asked_for(self, evidence: Evidence) -> bool:
        """Whether the server received the request behind each command: an alias could have replaced the command.

        The commands of a sourced script count like those of the line; those after its ``bye`` never reach the server.

        A transfer resumed with ``-c`` may have nothing left to request, and a URL names another server. A listing may
        come from lftp's cache, so one is enough for all.
        """
        own = (each for each in expanded(self._commands, evidence) if not each.background and not each.shell)
        return all(_is_received(words, evidence) for each in own for words in syntax.simple(each))

    def _came_to_an_end(self, evidence: Evidence) -> bool:
        """Whether each command succeeded; the last one may end lftp, as ``bye`` in a script does."""
        missing = [mark for mark in self._marks if mark not in evidence.marks]
        return not missing or (evidence.left and self._last and missing == self._marks[-1:])

    def _refused(self, evidence: Evidence) -> bool:
        """Whether the server refused what lftp reports as done: ``quote`` and ``site`` succeed whatever the reply."""
        testimony = evidence.testimony
        scripted = (command for text in evidence.scripts for command in syntax.commands(text))
        asked = {command for each in (*self._commands, *scripted) if (command := _as_sent(each.text))}
        return any(_sent(command) in asked and _is_refused(command) for command in testimony.commands) or any(
            _is_refused(command) and not _repeated(command, testimony)
            for command in testimony.commands
            if command.verb in FILES
        )


def _is_received(words: Sequence[str], evidence: Evidence) -> bool:
    testimony = evidence.testimony
    name, *rest = words
    if any("://" in word or word.startswith(("file:", "-c")) for word in rest):
        return True
    if name == "mirror" and not are_there(rest, evidence):
        return False
    if name == "rm" and _removes_folder_if_any(rest):
        return all(_names_file(file, _REMOVES | _ENTERS, testimony) for file in _files(name, rest))
    if name in _ANY and not (name == "mirror" and is_reverse(rest)):
        verbs = {command.verb for command in testimony.commands} | {transfer.verb for transfer in testimony.transfers}
        return not verbs.isdisjoint(_ANY[name])
    return all(_names_file(file, _EACH[name], testimony) for file in _files(name, rest)) if name in _EACH else True


def _removes_folder_if_any(words: Sequence[str]) -> bool:
    """``rm -rf``: lftp enters the folder to list it, and asks for nothing else if there is none (4.9.2)."""
    return {"r", "f"}.issubset(letter for word in words if word[:1] == "-" != word[1:2] for letter in word)


def _files(name: str, words: Sequence[str]) -> list[str]:
    """The server-side names of the files in a command of `_EACH`; empty for a file that a pattern matches."""
    if name in {"get", "get1", "pget"}:
        named = [source for source, _, _ in meant.named(words, many=False) or [("", None, "")]]
    else:
        named = [word for word in words if not word.startswith("-")]
        named = {"mv": named[:1], "chmod": named[1:]}.get(name, named)
    return ["" if re.search(r"[*?\[]", each) else posixpath.basename(each.rstrip("/")) for each in named]


def _names_file(file: str, verbs: frozenset[str], testimony: Testimony) -> bool:
    """Whether the server received one of these commands for a file; for any file if the name is unknown."""
    received = [command.argument.rstrip("/") for command in testimony.commands if command.verb in verbs]
    return any(not file or posixpath.basename(each) == file or each.endswith(f" {file}") for each in received)


def write(word: str, file: Path) -> str:
    """Return the lftp command that appends a line to a file."""
    quoted = str(file).replace("\\", "\\\\").replace('"', '\\"')
    return f'command echo {word} >> "{quoted}"'


def _as_sent(command: str) -> str:
    """The FTP command that lftp's ``quote`` or ``site`` sends; empty for other commands."""
    read = syntax.words(command)
    verb = read[0].lower() if read else ""
    if len(verb) > 1 and "quote".startswith(verb):
        return " ".join(read[1:]).strip().lower()
    return " ".join(["site", *read[1:]]).strip().lower() if verb == "site" else ""


def _sent(command: Command) -> str:
    return f"{command.verb} {command.argument}".strip().lower()


def _is_refused(command: Command) -> bool:
    return command.reply is not None and command.reply >= _REFUSED


def _repeated(refused: Command, testimony: Testimony) -> bool:
    """Whether lftp repeated the command and it was accepted: lftp retries, and logs in again to do so."""
    return any(
        _sent(command) == _sent(refused) and not _is_refused(command)
        for command in testimony.commands[testimony.commands.index(refused) :]
    )
