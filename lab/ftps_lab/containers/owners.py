"""The owner of a container or network, stored in its labels, and whether that owner is still alive.

The start time distinguishes a process from a later one with the same process ID. An owner on another machine, or whose
processes cannot be seen from here, counts as alive: leaving something alone costs less than removing it wrongly.
"""

from __future__ import annotations

import os
import platform
import uuid
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LABEL_RUN = "org.ftps-lab.run"
"""On every container and network: the run it belongs to."""

_LABELS = {
    "host": "org.ftps-lab.owner.host",
    "boot": "org.ftps-lab.owner.boot",
    "space": "org.ftps-lab.owner.pid-namespace",
    "pid": "org.ftps-lab.owner.pid",
    "started": "org.ftps-lab.owner.started",
}


@dataclass(frozen=True, slots=True)
class Owner:
    """A process on a machine.

    Attributes:
        host: The machine.
        boot: When that machine booted; another value means that it was restarted.
        space: The namespace of its process ID (pid_namespaces(7)).
        pid: Its process ID.
        started: When it started, in the kernel's ticks since boot; empty if unknown.
    """

    host: str
    boot: str
    space: str
    pid: int
    started: str

    @classmethod
    def me(cls) -> Owner:
        """This process."""
        pid = os.getpid()
        return cls(*_machine(), pid, start_of(pid) or "")

    @classmethod
    def of(cls, labels: Mapping[str, str]) -> Owner | None:
        """The owner that labels name; None if they name none."""
        values = {field: labels.get(label, "") for field, label in _LABELS.items()}
        if not values["host"] or not values["pid"].isdecimal():
            return None
        return cls(values["host"], values["boot"], values["space"], int(values["pid"]), values["started"])

    @property
    def labels(self) -> dict[str, str]:
        """The owner as a container's labels."""
        return {label: str(getattr(self, field)) for field, label in _LABELS.items()}

    def is_dead(self) -> bool:
        """Whether it is known to have ended: False also if this machine cannot know."""
        host, boot, space = _machine()
        if self.host != host:
            return False
        if self.boot != boot:
            return bool(self.boot and boot)
        return self.space == space and start_of(self.pid) != self.started


def new_run() -> str:
    """A new run's name."""
    return uuid.uuid4().hex[:12]


def start_of(pid: int) -> str | None:
    """When a process started (proc(5), field 22 of stat); empty if the system does not say, None if it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return "" if not Path("/proc/self/stat").exists() and _exists(pid) else None
    # The second field, the name, is in parentheses and may contain anything, including parentheses.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in {"Z", "X"} else fields[19]


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@cache
def _machine() -> tuple[str, str, str]:
    """This machine, its boot, and the namespace of its process IDs."""
    host = _first_line("/etc/machine-id") or platform.node()
    try:
        space = str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:
        space = ""
    return host, _first_line("/proc/sys/kernel/random/boot_id"), space


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text("utf-8", "replace").strip()
    except OSError:
        return ""
