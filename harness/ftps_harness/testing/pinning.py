"""The fixture `pin_tool`: `ftps-lab pin-check` in a test, one requirement of the contract at a time."""

from __future__ import annotations

import contextlib
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import pytest

from ftps_harness.errors import UsageError
from ftps_harness.testing.arguments import hidden

if TYPE_CHECKING:
    from pathlib import Path

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.pinning.check import Checker, Result
    from ftps_harness.pinning.contract import Level, Requirement
    from ftps_harness.pinning.rig import Failure

__tracebackhide__ = hidden

_SECONDS = 30.0
"""That one run of the tool may take, as the command has it."""


class ToolUnderTest:
    """The tool of ``--pin-tool``, where it is run, and what planted tools say of this harness. `close` ends it.

    Args:
        command: The option's value: a command with placeholders, as a shell would read it.
        client: The lftp that judges.
        folder: Where relative paths begin; the file pin-check.toml is looked for here and above.

    Raises:
        UsageError: The command, or the file, means nothing.
        Unavailable: The kernel permits no sealed place.
        HarnessError: The lab cannot do its work, or does not tell planted tools apart.
    """

    def __init__(self, command: str, client: Lftp, folder: Path) -> None:
        from ftps_harness.errors import HarnessError
        from ftps_harness.pinning import config, planted
        from ftps_harness.pinning.check import Checker
        from ftps_harness.pinning.command import load
        from ftps_harness.play.places.sealed import SealedPlaces
        from ftps_harness.sandbox.signals import undisturbed

        path = config.find(folder)
        said = config.load(path) if path is not None else config.Config()
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise UsageError(f"--pin-tool {command}: {error}; write it as you would in a shell") from None
        if not words:
            raise UsageError('--pin-tool: give the tool\'s command, such as "./pin.sh {host} {port}"')
        tool = load(words, said.repin, said.with_fingerprint, folder)
        with contextlib.ExitStack() as stack:
            tools = stack.enter_context(planted.Planted())
            enter, programs = stack.enter_context, [client.path, *tool.programs, tools.program]
            places = undisturbed(lambda: enter(SealedPlaces(programs)))
            if problem := undisturbed(lambda: planted.self_check(tools, client, places, 2)):
                raise HarnessError(problem)
            self._checker = Checker(tool, client, places, _SECONDS, said.not_claimed)
            self._unable: tuple[Failure, ...] = undisturbed(self._checker.begin)
            self._stack = stack.pop_all()

    def try_(self, requirement: Requirement) -> Result:
        """What comes of one requirement."""
        checker: Checker = self._checker
        return checker.untried(requirement, self._unable) if self._unable else checker.play(requirement)

    def close(self) -> None:
        """End it."""
        self._stack.close()


@dataclass(frozen=True, slots=True)
class PinToolRequirement:
    """One requirement of the contract, and the tool of ``--pin-tool``.

    Attributes:
        id: The requirement's.
        level: ``must`` or ``should``.
    """

    id: str
    level: Level
    _requirement: Requirement
    _tool: ToolUnderTest

    def check(self) -> Self:
        """Fail with the evidence unless the tool keeps the requirement.

        What the tool does not claim is skipped; a should that does not hold is an expected failure.

        Raises:
            AssertionError: It does not, or the lab could not tell.
        """
        __tracebackhide__ = True
        from ftps_harness.pinning.reports.junit import evidence

        result = self._tool.try_(self._requirement)
        if result.status == "not-claimed":
            pytest.skip(f"not claimed: {result.why}")
        if result.status == "fail" and self.level == "should":
            pytest.xfail(result.why)
        if result.status != "pass":
            raise AssertionError("\n".join([f"{self.id}: {result.why}", *evidence(result)]))
        return self

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.id}>"
