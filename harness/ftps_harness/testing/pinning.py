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
    from ftps_harness.pinning.record import Failure

__tracebackhide__ = hidden

_SECONDS = 30.0
"""Time limit of one run of the tool, in seconds; the same as the command's."""


class ToolUnderTest:
    """The tool of ``--pin-tool``, its places, and the result of checking planted tools. `close` ends the places.

    Args:
        command: The option's value: a command with placeholders, in shell syntax.
        client: The lftp to judge with.
        folder: The base of relative paths; pin-check.toml is searched here and in the parent folders.

    Raises:
        UsageError: The command or the file is invalid.
        Unavailable: The kernel permits no sealed place.
        HarnessError: The lab cannot do its work, or misjudges planted tools.
    """

    def __init__(self, command: str, client: Lftp, folder: Path) -> None:
        from ftps_harness.errors import HarnessError
        from ftps_harness.pinning import config, planted
        from ftps_harness.pinning.check import Checker
        from ftps_harness.pinning.command import load
        from ftps_harness.play.places.sealed import SealedPlaces
        from ftps_harness.sandbox.signals import deferring

        path = config.find(folder)
        said = config.load(path) if path is not None else config.Config()
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise UsageError(f"--pin-tool {command}: {error}; quote it as in a shell") from None
        if not words:
            raise UsageError('--pin-tool: give the tool\'s command, such as "./pin.sh {host} {port}"')
        tool = load(words, said.repin, said.with_fingerprint, folder)
        with contextlib.ExitStack() as stack:
            tools = stack.enter_context(planted.Planted())
            enter, programs = stack.enter_context, [client.path, *tool.programs, tools.program]
            places = deferring(lambda: enter(SealedPlaces(programs)))  # the stack ends it
            if problem := deferring(lambda: planted.self_check(tools, client, places, 2)):
                raise HarnessError(problem)
            self._checker = Checker(tool, client, places, _SECONDS, said.not_claimed)
            self._unable: tuple[Failure, ...] = deferring(self._checker.begin)
            self._stack = stack.pop_all()

    def try_(self, requirement: Requirement) -> Result:
        """Check one requirement."""
        checker: Checker = self._checker
        return checker.untried(requirement, self._unable) if self._unable else checker.play(requirement)

    def close(self) -> None:
        """End the places."""
        self._stack.close()


@dataclass(frozen=True, slots=True)
class PinToolRequirement:
    """One requirement of the contract, and the tool of ``--pin-tool``.

    Attributes:
        id: The requirement's id.
        level: ``must`` or ``should``.
    """

    id: str
    level: Level
    _requirement: Requirement
    _tool: ToolUnderTest

    def check(self) -> Self:
        """Fail with the evidence unless the tool meets the requirement.

        A requirement that the tool does not claim is skipped; a should that does not hold is an expected failure.

        Raises:
            AssertionError: The tool does not meet it, or the lab could not decide.
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
