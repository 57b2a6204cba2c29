"""A running program in a sandbox: starting it, reading its output, ending it, and collecting its file changes."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import time
from typing import TYPE_CHECKING, Self

from ftps_harness.errors import HarnessError
from ftps_harness.sandbox import process
from ftps_harness.sandbox.changes import Call, Changes, Found

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

END_SECONDS = 5.0
"""Time limit for everything inside to end once killed; the kernel needs milliseconds."""

_ENDED = b'{"ended": true}\n'


class Running:
    """A program that is about to start inside, and then runs; leaving the context ends it and closes everything.

    It waits for `begin` with everything ready: while another program runs, the kernel makes its namespaces and mounts.
    """

    def __init__(self, send: Callable[[bytes, Sequence[int]], None], order: Mapping[str, object]) -> None:
        with contextlib.ExitStack() as stack, contextlib.ExitStack() as theirs:
            file = theirs.enter_context(os.fdopen(os.memfd_create("order"), "wb"))
            file.write(json.dumps(order).encode("utf-8", "surrogateescape"))
            file.flush()
            file.seek(0)
            self._ours: list[int] = []
            ends = []
            for _ in range(3):  # stdout, stderr, and how it ended
                reading, writing = os.pipe()
                stack.callback(os.close, reading)
                theirs.callback(os.close, writing)
                os.set_blocking(reading, False)
                self._ours.append(reading)
                ends.append(writing)
            leash, self._leash = os.pipe()
            theirs.callback(os.close, leash)
            stack.callback(self._let_go)
            waiting, self._start = os.pipe()
            theirs.callback(os.close, waiting)
            stack.callback(os.close, self._start)
            self._kept = [process.Kept(), process.Kept(), process.Kept()]
            send(b"R", [file.fileno(), *ends, leash, waiting])
            self._stack = stack.pop_all()
        self._argv = order["argv"]
        self._counts = order["interrupt"] is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._let_go()
        self._wait(time.monotonic() + END_SECONDS, interruptible=False)
        self._stack.close()

    def begin(self) -> None:
        """Start the program."""
        self._began = time.monotonic()
        with contextlib.suppress(BrokenPipeError):  # it could not be made ready: `finish` says why
            os.write(self._start, b"\0")

    def finish(self, timeout: float) -> process.Finished:
        """After `begin`: wait until it and everything that it started have ended; kill them at the time limit."""
        timed_out = not self._wait(self._began + timeout, interruptible=True)
        if timed_out:
            self._let_go()
            if not self._wait(time.monotonic() + END_SECONDS, interruptible=False):
                raise HarnessError("a program in the sandbox is still running although it was killed")
        code = self._code(timed_out=timed_out)
        return process.Finished(
            exit_code=code if code is not None and code >= 0 else None,
            signal=-code if code is not None and code < 0 else None,
            timed_out=timed_out,
            seconds=time.monotonic() - self._began,
            stdout=self._kept[0].data,
            stderr=self._kept[1].data,
            truncated=self._kept[0].truncated or self._kept[1].truncated,
            changes=self._changes() if self._counts else None,
        )

    def _changes(self) -> Changes:
        """Its file changes, as reported by the first process of its namespace."""
        said = [json.loads(line) for line in self._kept[2].data.splitlines()]
        calls = tuple(Call(each["call"], each["path"], each["effect"]) for each in said if "call" in each)
        found = tuple(Found(each["sought"], each["program"]) for each in said if "sought" in each)
        total = next((each for each in said if "counted" in each), {"counted": len(calls), "started": 0, "unseen": 0})
        return Changes(calls, total["counted"], total["started"], found, total["unseen"])

    def _code(self, *, timed_out: bool) -> int | None:
        """The program's exit code, negative for a signal; None if we killed it."""
        assert isinstance(self._argv, list)
        code: int | None = None
        ended = False
        for line in self._kept[2].data.splitlines():
            said = json.loads(line)
            if "error" in said:
                where = f" ({said['where']})" if said["where"] else ""
                raise HarnessError(f"cannot start {self._argv[0]}: {said['error']}{where}")
            code = said.get("code", code)
            ended |= "ended" in said
        if (code is None and not timed_out) or not ended:
            raise HarnessError(f"the sandbox ended while {self._argv[0]} was running in it")
        return code

    def _has_ended(self) -> bool:
        """Whether all its processes have ended and all its output has been read."""
        if not all(kept.ended for kept in self._kept[:2]):
            return False
        return self._kept[2].ended or self._kept[2].data.endswith(_ENDED)

    def _let_go(self) -> None:
        """Close the leash, which ends the program's namespace; repeatable."""
        if self._leash >= 0:
            os.close(self._leash)
            self._leash = -1

    def _wait(self, deadline: float, *, interruptible: bool) -> bool:
        """Read until everything has ended; False if the deadline came first."""
        interruption = process.INTERRUPTION.get() if interruptible else None
        with selectors.DefaultSelector() as selector:
            for which, descriptor in enumerate(self._ours):
                if not self._kept[which].ended:
                    selector.register(descriptor, selectors.EVENT_READ, which)
            if interruption is not None:
                selector.register(interruption, selectors.EVENT_READ)
            while not self._has_ended():
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                for key, _ in selector.select(left):
                    if key.data is None:
                        raise process.Interrupted("interrupted")
                    if self._kept[key.data].take_all(self._ours[key.data]):
                        selector.unregister(key.fd)
        return True
