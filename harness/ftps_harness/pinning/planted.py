"""Planted tools, one correct and the others with one flaw each, which every run checks first.

A harness that misses a planted flaw proves nothing about the tool under test, so the run ends with exit code 3. Each
flawed tool is the correct one with a single change, so only that change can be the cause of its failure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from ftps_harness.pinning.check import Checker
from ftps_harness.pinning.command import PinningTool
from ftps_harness.pinning.contract import by_id
from ftps_harness.play.pool import play_all
from ftps_lab.temporary import Folder, wanted_place

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.pinning.check import Result
    from ftps_harness.pinning.contract import Requirement
    from ftps_harness.play.places.sealed import SealedPlaces

_SECONDS: Final = 10.0
"""Time limit of one run of a planted tool, in seconds; it normally takes 50 ms."""

RIGHT: Final = r"""#!/bin/sh
set -eu
umask 077
host=$1 port=$2 home=$HOME
pem=$(echo QUIT | timeout 5 openssl s_client -starttls ftp -connect "$host:$port" -servername "$host" 2>/dev/null |
    openssl x509)
printf '%s\n' "$pem" | openssl x509 -noout -fingerprint -sha256
mkdir -p "$home/.lftp"
pins=$home/.lftp/pins.crt
rc=$(readlink -f "$home/.lftp/rc")
[ ! -e "$rc" ] || [ -w "$rc" ] || { echo "$rc is read-only" >&2; exit 3; }
line="set ssl:ca-file \"$pins\""
known=$(grep -xF -A99 "# $host" "$pins" 2>/dev/null | sed -n '2,/END/p')
if [ "$known" != "$pem" ]; then
    [ -z "$known" ] || { echo "the certificate of $host has changed" >&2; exit 1; }
    { cat "$pins" 2>/dev/null || :; printf '# %s\n%s\n' "$host" "$pem"; } >"$pins.new"
    mv "$pins.new" "$pins"
fi
if ! grep -qxF "$line" "$rc" 2>/dev/null; then
    { cat "$rc" 2>/dev/null || :; printf '%s\n' "$line"; } >"$rc.new"
    mv "$rc.new" "$rc"
fi
"""
"""A correct tool as far as `WRONG` is concerned; it ignores everything else."""


@dataclass(frozen=True, slots=True)
class Flaw:
    """One change that turns the correct tool into a flawed one.

    Attributes:
        breaks: The requirement that it breaks.
        old: The text to replace, once.
        new: Its replacement.
    """

    breaks: str
    old: str
    new: str

    @property
    def tool(self) -> str:
        """The flawed tool's text."""
        assert RIGHT.count(self.old) == 1, f"{self.old!r} must appear exactly once in the correct tool"
        return RIGHT.replace(self.old, self.new)


WRONG: Final = (
    Flaw("impostor-refused", """line="set ssl:ca-file""", """line="set ssl:verify-certificate no; set ssl:cert-file"""),
    Flaw("connects", r"\"$pins\"", "pins.crt"),
    Flaw("name-check-on", "set ssl:ca-file", "set ssl:check-hostname no; set ssl:ca-file"),
    Flaw("change-refused", "exit 1; }", "}"),
    Flaw("fingerprint-shown", "-fingerprint -sha256", "-fingerprint -sha1"),
    Flaw("rc-preserved", """cat "$rc" 2>""", """grep -v '^#' "$rc" 2>"""),
    Flaw("idempotent", "if ! grep -qxF", "if true || grep -qxF"),
    Flaw("two-hosts", """cat "$pins" 2>/dev/null || :;""", ":;"),
    Flaw("links-kept", """rc=$(readlink -f "$home/.lftp/rc")""", "rc=$home/.lftp/rc"),
    Flaw("private-files", "umask 077", "umask 0"),
    Flaw("no-leftovers", """mkdir -p "$home/.lftp\"""", """mkdir -p "$home/.lftp"; printf '%s' "$pem" >/tmp/pem"""),
)


@dataclass(frozen=True, slots=True)
class Case:
    """One planted tool, one requirement, and the result that must follow."""

    tool: PinningTool
    requirement: Requirement
    breaks: bool

    @property
    def id(self) -> str:
        """The name used in messages."""
        return f"{'the tool that breaks' if self.breaks else 'the correct tool, which meets'} {self.requirement.id}"

    def problem(self, result: Result) -> str:
        """How this harness misjudged the planted tool; empty if it did not."""
        if result.status == ("fail" if self.breaks else "pass"):
            return ""
        why = f" ({result.why})" if result.why else ""
        return f"{self.id}: {result.status}{why}"


class Planted:
    """The planted tools on disk. A context manager.

    Attributes:
        path: Their folder.
        cases: Each flawed tool with the requirement that it breaks, and the correct tool with all of these.

    Raises:
        HarnessError: They cannot be written.
    """

    def __init__(self) -> None:
        self._folder = Folder("planted", wanted_place())
        self.path: Path = self._folder.path
        self.cases: Sequence[Case] = tuple(self._cases())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.close()

    @property
    def program(self) -> Path:
        """One of the tools: a sandbox that shows it shows all of them."""
        return self.path / "right"

    def _cases(self) -> Iterator[Case]:
        right = self._written("right", RIGHT)
        for flaw in WRONG:
            requirement = by_id(flaw.breaks)
            assert requirement is not None, f"unknown requirement {flaw.breaks}"
            yield Case(self._written(flaw.breaks, flaw.tool), requirement, breaks=True)
            yield Case(right, requirement, breaks=False)

    def _written(self, name: str, text: str) -> PinningTool:
        path = self.path / name
        path.write_text(text, "utf-8")
        path.chmod(0o700)
        return PinningTool((str(path), "{host}", "{port}"))


def self_check(planted: Planted, client: Lftp, places: SealedPlaces, jobs: int) -> str:
    """Check the planted tools against the requirements that they break.

    Args:
        planted: The tools.
        client: The lftp to judge with.
        places: Where to run; they must show the planted tools' folder.
        jobs: The number of parallel checks.

    Returns:
        Why this harness cannot judge a tool on this machine, as a sentence; empty if it judged all tools correctly.

    Raises:
        HarnessError: Nothing can be run.
        KeyboardInterrupt: The user pressed Ctrl-C.
    """

    def play(case: Case) -> Judged:
        checker = Checker(case.tool, client, places, _SECONDS, {}, quick=True)
        return Judged(case.problem(checker.play(case.requirement)))

    played = play_all(planted.cases, play, _Silent(), jobs=jobs)
    if played.interrupted:
        raise KeyboardInterrupt
    wrong = [each.problem for each in played.results if each.problem]
    if not wrong:
        return ""
    return f"ftps-lab misjudged its own planted tools on this machine, so it did not check the tool: {'; '.join(wrong)}"


@dataclass(frozen=True, slots=True)
class Judged:
    """The result of one planted tool in the form that the worker pool expects."""

    problem: str
    status: str = "pass"


class _Silent:
    """Reports nothing about the planted tools."""

    def started(self, case: Case) -> None:
        """Ignore the start."""

    def finished(self, judged: Judged) -> None:
        """Ignore the end."""
