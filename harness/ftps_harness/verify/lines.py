"""Which line of an rc is responsible for what was found: the real lftp reads the rc up to each line and says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ftps_harness.client.lftp.settings import parse_settings
from ftps_harness.verify.findings import Where

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.sandbox.home import Home
    from ftps_harness.verify.subject import File

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
"""Finding → the settings that decide it. A setting that no line touches has its default, and no line is responsible."""

_AT_A_TIME: Final = 50
"""Versions of the rc that one lftp reads."""

_SECONDS: Final = 20.0

_STOPPED_SECONDS: Final = 2.0
"""Without an end after so long, lftp hangs."""


@dataclass(slots=True)
class Lines:
    """Asks lftp what the settings are after each line of an rc.

    Args:
        client: lftp, as it is started in the copy.
        home: The copy.
        file: The rc.
    """

    client: Lftp
    home: Home
    file: File

    def responsible(self, findings: Sequence[str]) -> dict[str, Where]:
        """Finding id → the last line that changed one of the settings that decide it.

        Raises:
            HarnessError: lftp cannot be started.
        """
        wanted = {kind: SETTINGS[kind] for kind in findings if kind in SETTINGS}
        lines = self.file.data.splitlines(keepends=True)
        if not wanted or not lines:
            return {}
        names = {name for group in wanted.values() for name in group}
        found = self._changes(lines, names)
        result = {}
        for kind, group in wanted.items():
            numbers = [found[name] for name in group if name in found]
            if numbers:
                number = max(numbers)
                text = lines[number - 1].decode("utf-8", "replace").strip()
                result[kind] = Where(str(self.file.path), number, text)
        return result

    def stopping(self) -> Where | None:
        """The first line that ends lftp or that it never gets past; None where it gets through the whole file."""
        lines = self.file.data.splitlines(keepends=True)
        passed, stopped = 0, len(lines)
        if self._gets_past(lines, stopped):
            return None
        while stopped - passed > 1:
            middle = (passed + stopped) // 2
            if self._gets_past(lines, middle):
                passed = middle
            else:
                stopped = middle
        return Where(str(self.file.path), stopped, lines[stopped - 1].decode("utf-8", "replace").strip())

    def _gets_past(self, lines: Sequence[bytes], count: int) -> bool:
        """Whether lftp goes on after the first so many lines."""
        part, out = self.home.logs / "rc.part", self.home.logs / "rc.settings"
        part.write_bytes(b"".join(lines[:count]))
        out.unlink(missing_ok=True)
        script = f'command source "{self.home.seen(part)}"\ncommand set -a > "{self.home.seen(out)}"'
        self._run(script, _STOPPED_SECONDS)
        return out.is_file() and out.stat().st_size > 0

    def _changes(self, lines: Sequence[bytes], names: set[str]) -> dict[str, int]:
        """Setting → the number of the last line that changed it; only those that differ from the default in the end."""
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

    def _narrowed(self, lines: Sequence[bytes], low: int, high: int, name: str) -> int:
        """The last line between two at which a setting changes."""
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
        self, lines: Sequence[bytes], counts: Sequence[int], names: set[str]
    ) -> dict[int, dict[str, dict[str, str]]]:
        """The settings after the first so many lines, for each count. Each time lftp reads all of them anew."""
        folder = self.home.logs
        states = {}
        for start in range(0, len(counts), _AT_A_TIME):
            some = counts[start : start + _AT_A_TIME]
            script = []
            for count in some:
                part, out = folder / f"rc-{count}.part", folder / f"rc-{count}.settings"
                part.write_bytes(b"".join(lines[:count]))
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

    def _run(self, script: str, timeout: float = _SECONDS) -> None:
        from ftps_harness.client.lftp.binary import environment

        self.client.start(
            [str(self.client.path), "--norc", "-c", script],
            env=environment(self.home, None, self.client.locale),
            cwd=self.home.seen(self.home.home),
            timeout=timeout,
        )
