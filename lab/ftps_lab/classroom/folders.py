"""The files that the hosts serve: one folder per learner, restored between lessons."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Final

from ftps_lab import disk
from ftps_lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

FILES: Final = {
    "welcome.txt": "You have reached {address}.\n\nOr have you? Any server can send this text.\n",
    "backup/monday.txt": "Monday's backup.\n",
    "backup/tuesday.txt": "Tuesday's backup, with everyone's salary.\n",
}

_ORDERED = "reset-{number}.order"
_DONE = "{host}.reset"
_ANSWER_SECONDS = 15.0


def fill(folder: Path, address: str) -> None:
    """Restore a learner's folder to its initial state: everything in it is removed, and the original files return.

    Raises:
        LabError: The folder cannot be written to.
    """
    with writing(folder):
        if folder.exists():
            for path in list(folder.iterdir()):
                disk.remove(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        for name, text in FILES.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text.format(address=address), "utf-8")


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Write below a path that compose.yaml mounts.

    Raises:
        LabError: It cannot be written to.
    """
    try:
        yield
    except OSError as error:
        raise LabError(
            f"cannot write {path}: {error.strerror}; use compose.yaml, which mounts a writable folder there"
        ) from error


def order_reset(staff: Path, who: Sequence[str]) -> int:
    """Order every host to restore these learners' folders; returns the order's number.

    Raises:
        OSError: The order cannot be written.
    """
    number = last_order(staff) + 1
    draft = staff / f".order-{number}"
    draft.write_text("\n".join(who), "utf-8")
    draft.chmod(0o640)
    draft.rename(staff / _ORDERED.format(number=number))
    return number


def last_order(staff: Path) -> int:
    """The number of the last order; 0 if there has been none."""
    return max((int(path.name.split("-")[1].split(".")[0]) for path in staff.glob("reset-*.order")), default=0)


def ordered(staff: Path, number: int) -> list[str]:
    """The learners that an order names."""
    return (staff / _ORDERED.format(number=number)).read_text("utf-8").split()


def done(staff: Path, host: str, number: int) -> None:
    """Note that the host has carried out an order."""
    (staff / _DONE.format(host=host)).write_text(str(number), "utf-8")


def wait_until_done(staff: Path, hosts: Iterable[str], number: int, *, seconds: float = _ANSWER_SECONDS) -> None:
    """Wait until every host has carried out an order.

    Args:
        staff: The folder with the orders.
        hosts: The hosts' names.
        number: The order's number.
        seconds: How long to wait.

    Raises:
        LabError: A host has not carried it out in time.
    """
    deadline = time.monotonic() + seconds
    late = list(hosts)
    while late := [host for host in late if _carried_out(staff, host) < number]:
        if time.monotonic() > deadline:
            raise LabError(
                f"these hosts have not restored the folders: {', '.join(late)}; check them with docker compose ps, "
                f"then reset again"
            )
        time.sleep(0.1)


def _carried_out(staff: Path, host: str) -> int:
    try:
        return int((staff / _DONE.format(host=host)).read_text("utf-8") or 0)
    except FileNotFoundError:
        return 0
