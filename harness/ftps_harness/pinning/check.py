"""Check a tool against the contract: one requirement at a time, each in its own place."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from ftps_harness.errors import HarnessError, sentence
from ftps_harness.pinning.certificates import own
from ftps_harness.pinning.contract import CONTRACT, LEVELS
from ftps_harness.pinning.rig import Hopeless, NotClaimed, Rig, spec_of
from ftps_lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.pinning.command import PinningTool
    from ftps_harness.pinning.contract import Level, Requirement
    from ftps_harness.pinning.record import Failure
    from ftps_harness.play.places.sealed import SealedPlaces
    from ftps_harness.words import Folder

NOT_TRIED: Final = "not tried: the tool does not pin an ordinary server"

_FOLDERS: Final[tuple[Folder, ...]] = ("home", "lftp")
"""Working directories to look for a pin from: the document's relative path works in one of them only."""

Status = Literal["pass", "fail", "not-claimed", "error"]


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one requirement.

    Attributes:
        status: ``error`` means that the lab could not decide.
        why: A sentence if the status is not ``pass``.
        seconds: Duration of the check.
        failures: The expectations that do not hold.
        again: The command line that checks only this requirement.
        stale: The requirement holds although the tool does not claim it.
    """

    requirement: Requirement
    status: Status
    why: str = ""
    seconds: float = 0.0
    failures: tuple[Failure, ...] = ()
    again: str = ""
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """The result of checking a tool against the contract.

    Attributes:
        command: The tool's command line, including placeholders.
        results: In the order of the contract.
        problem: Why this harness cannot judge tools on this machine (`planted`); empty if it can.
        notes: Missing parts of the tool's commands, a sentence each (`PinningTool.notes`).
        interrupted: Ctrl-C ended the run before every requirement was checked.
    """

    command: tuple[str, ...]
    results: tuple[Result, ...]
    problem: str = ""
    contract: str = CONTRACT
    notes: tuple[str, ...] = ()
    interrupted: bool = False

    def count(self, level: Level, status: Status) -> int:
        """The number of requirements of a level with a status."""
        return sum(each.requirement.level == level and each.status == status for each in self.results)

    @property
    def untried(self) -> bool:
        """Whether nothing was checked because the tool does not pin an ordinary server."""
        return bool(self.results) and all(each.why == NOT_TRIED for each in self.results)

    @property
    def broken(self) -> bool:
        """Whether the lab could not judge the tool, or one of the requirements."""
        return bool(self.problem) or any(each.status == "error" for each in self.results)

    def fails(self, *, strict: bool) -> bool:
        """Whether a must (with `strict`, also a should) does not hold, or an unclaimed requirement holds."""
        levels = LEVELS if strict else LEVELS[:1]
        return any(self.count(level, "fail") for level in levels) or any(each.stale for each in self.results)


@dataclass(frozen=True, slots=True)
class Checker:
    """Checks requirements.

    Attributes:
        tool: The tool under test.
        client: The lftp to judge with.
        places: Where to run.
        timeout: Time limit of one run of the tool, in seconds.
        not_claimed: Requirement → why the tool does not claim it (`config`).
        again: The command line of this call, without ``--only``.
        keep: Where to keep every HOME, in one folder per requirement; None to keep none.
        quick: As for `Rig`.
    """

    tool: PinningTool
    client: Lftp
    places: SealedPlaces
    timeout: float
    not_claimed: Mapping[str, str]
    again: str = ""
    keep: Path | None = None
    quick: bool = False

    def begin(self) -> tuple[Failure, ...]:
        """Check that the tool pins an ordinary server at all: a tool that does nothing would meet half of the contract.

        Returns:
            Why not; empty if it does.

        Raises:
            LabError: A server failed.
            HarnessError: The tool or lftp cannot be started.
        """
        with self.places.lend() as place, Rig(place, self.client, self.tool, self.timeout) as rig:
            certificate = own()
            with contextlib.suppress(Hopeless):
                home = rig.pinned(certificate)
                came_to = [rig.meet(home, spec_of(certificate), run=("list",), cwd=cwd).verdict for cwd in _FOLDERS]
                rig.expect(
                    "accepted" in came_to,
                    "lftp lists files on the genuine server, from at least one working directory",
                    came_to[0],
                )
            return tuple(rig.log.failures)

    def untried(self, requirement: Requirement, failures: tuple[Failure, ...]) -> Result:
        """The result of a requirement if the tool does not pin at all."""
        return Result(requirement, "fail", NOT_TRIED, failures=failures)

    def play(self, requirement: Requirement) -> Result:
        """Check one requirement; an error affects only this one."""
        began = time.monotonic()
        again = self.again.replace("{only}", f"--only {requirement.id}", 1)
        result = Result(requirement, "error", again=again)
        try:
            with self.places.lend() as place, Rig(place, self.client, self.tool, self.timeout, quick=self.quick) as rig:
                try:
                    with contextlib.suppress(Hopeless):
                        requirement.run(rig)
                    result = self._judged(result, rig)
                except NotClaimed as why:
                    status: Status = "not-claimed" if requirement.if_claimed else "fail"
                    result = replace(result, status=status, why=str(why))
                finally:
                    if self.keep is not None:
                        rig.keep(self.keep / requirement.id)
        except (HarnessError, LabError) as error:
            result = replace(result, status="error", why=str(error))
        except Exception as error:  # noqa: BLE001 - the other requirements continue
            result = replace(result, status="error", why=sentence(error))
        return replace(result, seconds=time.monotonic() - began)

    def _judged(self, result: Result, rig: Rig) -> Result:
        failures, reason = tuple(rig.log.failures), self.not_claimed.get(result.requirement.id)
        if not rig.log.expectations:
            return replace(
                result, status="error", why="the check tested nothing; please report this as a bug in ftps-lab"
            )
        if reason is not None and failures:
            return replace(result, status="not-claimed", why=reason, failures=failures)
        if reason is not None:
            stale = f"the requirement holds, but [not-claimed] lists it ({reason}): remove that entry"
            return replace(result, status="fail", why=stale, stale=True)
        if failures:
            first = failures[0]
            return replace(
                result, status="fail", why=f"expected: {first.expected}; seen: {first.seen}", failures=failures
            )
        return replace(result, status="pass")


def ordered(results: Sequence[Result], requirements: Sequence[Requirement]) -> tuple[Result, ...]:
    """Results in the order of the contract."""
    order = {each.id: number for number, each in enumerate(requirements)}
    return tuple(sorted(results, key=lambda each: order[each.requirement.id]))
