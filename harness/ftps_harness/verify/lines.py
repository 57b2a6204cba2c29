"""Finds the line of an rc that is responsible for a finding, by having the real lftp read the rc up to each line."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from ftps_harness.client.lftp.settings import parse_settings
from ftps_harness.verify import sources
from ftps_harness.verify.findings import Where

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.sandbox.home import Home
    from ftps_harness.sandbox.process import Finished
    from ftps_harness.verify.subject import File, Subject

SETTINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "no-verification": ("ssl:verify-certificate",),
    "wrong-name-accepted": ("ssl:check-hostname", "ssl:verify-certificate"),
    "expired-accepted": ("ssl:verify-certificate",),
    "tls-not-required": ("ftp:ssl-force", "ftp:ssl-allow"),
    "login-in-clear": ("ftp:ssl-allow", "ftp:proxy"),
    "data-in-clear": ("ftp:ssl-protect-data", "ftp:ssl-protect-list", "ftps:initial-prot", "ftp:ssl-allow"),
    "control-in-clear": ("ftp:ssl-use-ccc",),
    "password-before-verification": ("ftp:sync-mode", "ftp:skey-allow"),
    "genuine-refused": ("ssl:ca-file",),
    "pin-depends-on-folder": ("ssl:ca-file",),
    "anonymous-in-clear": ("ftp:ssl-allow-anonymous",),
    "leads-elsewhere": ("ftp:proxy", "dns:name"),
}
"""Finding → the settings that decide it. If no line sets any, its default applies and no line is responsible."""

_AT_A_TIME: Final = 50
"""The number of versions of the rc that one lftp process reads."""

_SECONDS: Final = 20.0

_STOPPED_SECONDS: Final = 2.0
"""If lftp has not ended after this many seconds, it hangs."""


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of a file that lftp reads, including its line ending."""

    file: File
    number: int
    data: bytes

    @property
    def text(self) -> str:
        return self.data.decode("utf-8", "replace").strip()

    @property
    def where(self) -> Where:
        return Where(str(self.file.path), self.number, self.text)


@dataclass(slots=True)
class Lines:
    """Asks lftp for the settings after each line of the files that it reads.

    Args:
        client: lftp, as started in the copy.
        home: The copy.
        subject: The subject under test.
    """

    client: Lftp
    home: Home
    subject: Subject

    def responsible(self, findings: Sequence[str]) -> dict[str, Where]:
        """Finding id → the last line that changed a deciding setting, which may be in a sourced file.

        Raises:
            HarnessError: lftp cannot be started.
        """
        wanted = {kind: SETTINGS[kind] for kind in findings if kind in SETTINGS}
        lines = self._all_lines()
        if not wanted or not lines:
            return {}
        found = self._changes(lines, {name for group in wanted.values() for name in group})
        result = {}
        for kind, group in wanted.items():
            if numbers := [found[name] for name in group if name in found]:
                result[kind] = self._innermost(lines, max(numbers), partial(self._last_change, names=set(group)))
        return result

    def stopping(self) -> Where | None:
        """The first line that ends lftp or at which it hangs; None if lftp reads everything."""
        lines = self._all_lines()
        search = partial(self._first, fits=lambda part, count: not self._gets_past(part, count))
        number = search(lines)
        return None if number is None else self._innermost(lines, number, search)

    def complaining(self, said: Sequence[str]) -> Iterator[Where | None]:
        """The line at which lftp prints each of these complaints; None if it does not print it while reading.

        Args:
            said: The lines of its standard error, in order, without blanks at their ends.

        Raises:
            HarnessError: lftp cannot be started.
        """
        lines = self._all_lines()
        heard = functools.cache(self._says)  # searches for different complaints read the same beginnings
        for number, words in enumerate(said, 1):
            yield self._prints(lines, words, said[:number].count(words), heard)

    def _prints(
        self, lines: Sequence[_Line], words: str, nth: int, heard: Callable[[bytes], Sequence[str]]
    ) -> Where | None:
        """The line at which lftp prints these words for the nth time."""
        search = partial(self._first, fits=lambda part, count: heard(_joined(part, count)).count(words) >= nth)
        number = search(lines)
        return None if number is None else self._innermost(lines, number, search)

    def _all_lines(self) -> list[_Line]:
        return [line for file in sources.start_files(self.subject) for line in _lines_of(file)]

    def _innermost(self, lines: Sequence[_Line], number: int, search: Callable[[Sequence[_Line]], int | None]) -> Where:
        """Locate a line; if it sources a file, locate the line in that file.

        Args:
            lines: What lftp reads.
            number: The position of the line, counted from 1.
            search: Finds the line among lines.
        """
        while True:
            file = sources.sourced_by(lines[number - 1].text, self.subject)
            if file is None or any(line.file.path == file.path for line in lines):  # a file may source itself
                break
            inner = [*lines[: number - 1], *_lines_of(file)]
            again = search(inner)
            if again is None or again < number:
                break
            lines, number = inner, again
        return lines[number - 1].where

    def _last_change(self, lines: Sequence[_Line], names: set[str]) -> int | None:
        return max(self._changes(lines, names).values(), default=None)

    @staticmethod
    def _first(lines: Sequence[_Line], fits: Callable[[Sequence[_Line], int], bool]) -> int | None:
        """The smallest number of lines, read from the beginning, that fits; None if even all of them do not fit."""
        low, high = 0, len(lines)
        if not fits(lines, high):
            return None
        while high - low > 1:
            middle = (low + high) // 2
            if fits(lines, middle):
                high = middle
            else:
                low = middle
        return high

    def _says(self, rc: bytes) -> list[str]:
        """The lines on standard error while lftp reads an rc."""
        part = self.home.logs / "rc.part"
        part.write_bytes(rc)
        done = self._run(f'command source "{self.home.seen(part)}"', _STOPPED_SECONDS)
        return [line.strip() for line in done.stderr.decode("utf-8", "replace").splitlines()]

    def _gets_past(self, lines: Sequence[_Line], count: int) -> bool:
        """Whether lftp continues after the first `count` lines."""
        part, out = self.home.logs / "rc.part", self.home.logs / "rc.settings"
        part.write_bytes(_joined(lines, count))
        out.unlink(missing_ok=True)
        script = f'command source "{self.home.seen(part)}"\ncommand set -a > "{self.home.seen(out)}"'
        self._run(script, _STOPPED_SECONDS)
        return out.is_file() and out.stat().st_size > 0

    def _changes(self, lines: Sequence[_Line], names: set[str]) -> dict[str, int]:
        """Setting → the number of the last line that changed it, if its final value differs from the default."""
        low, high = 0, len(lines)
        states = self._states(lines, sorted({low, high, *range(0, high, max(1, high // _AT_A_TIME))}), names)
        found: dict[str, int] = {}
        for name in names:
            marks = sorted(states)
            final = states[marks[-1]].get(name)
            if final == states[marks[0]].get(name):
                continue
            at = max(i for i in range(1, len(marks)) if states[marks[i]].get(name) != states[marks[i - 1]].get(name))
            found[name] = self._narrowed(lines, marks[at - 1], marks[at], name)
        return found

    def _narrowed(self, lines: Sequence[_Line], low: int, high: int, name: str) -> int:
        """The last line between two lines at which a setting changes."""
        while high - low > 1:
            step = max(1, (high - low) // _AT_A_TIME)
            states = self._states(lines, sorted({low, high, *range(low, high, step)}), {name})
            marks = sorted(states)
            changed = [i for i in range(1, len(marks)) if states[marks[i]].get(name) != states[marks[i - 1]].get(name)]
            if not changed:
                return high
            low, high = marks[changed[-1] - 1], marks[changed[-1]]
        return high

    def _states(
        self, lines: Sequence[_Line], counts: Sequence[int], names: set[str]
    ) -> dict[int, dict[str, dict[str, str]]]:
        """The settings after the first `count` lines, for each count. lftp rereads all of these lines each time."""
        folder = self.home.logs
        states = {}
        for start in range(0, len(counts), _AT_A_TIME):
            some = counts[start : start + _AT_A_TIME]
            script = []
            for count in some:
                part, out = folder / f"rc-{count}.part", folder / f"rc-{count}.settings"
                part.write_bytes(_joined(lines, count))
                script += [
                    f'command source "{self.home.seen(part)}"',
                    f'command set -a > "{self.home.seen(out)}"',
                ]
            self._run("\n".join(script))
            for count in some:
                out = folder / f"rc-{count}.settings"
                text = out.read_text("utf-8", "surrogateescape") if out.is_file() else ""
                states[count] = parse_settings(text, names)
                out.unlink(missing_ok=True)
                (folder / f"rc-{count}.part").unlink()
        return states

    def _run(self, script: str, timeout: float = _SECONDS) -> Finished:
        from ftps_harness.client.lftp.binary import environment

        return self.client.start(
            [str(self.client.path), "--norc", "-c", script],
            env=environment(self.home, None, self.client.locale),
            cwd=self.home.seen(self.home.home),
            timeout=timeout,
        )


def _joined(lines: Sequence[_Line], count: int) -> bytes:
    """The first `count` lines as one rc."""
    return b"".join(line.data for line in lines[:count])


def _lines_of(file: File) -> Iterator[_Line]:
    """The file's lines; the last gets a line ending, so that the next file's first line is not joined to it."""
    for number, data in enumerate(file.data.splitlines(keepends=True), 1):
        yield _Line(file, number, data if data.endswith((b"\n", b"\r")) else data + b"\n")
