"""The pinned state, and its change to another one: both files, rc and pins, change, or neither."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ftps_harness.errors import HarnessError
from ftps_harness.pinning.tool import block, pins, places, writing
from ftps_harness.pinning.tool.certificate import facts
from ftps_harness.pinning.tool.writing import Replacement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from cryptography import x509

    from ftps_harness.pinning.tool.block import Block, ByFingerprint, Rc
    from ftps_harness.pinning.tool.certificate import Facts
    from ftps_harness.pinning.tool.pins import Pin
    from ftps_harness.pinning.tool.places import Places
    from ftps_harness.pinning.tool.target import Target


@dataclass(frozen=True, slots=True)
class State:
    """The pinned hosts.

    Attributes:
        files: Hosts pinned by certificate.
        fingerprints: Hosts pinned by fingerprint.
    """

    files: tuple[Pin, ...]
    fingerprints: tuple[ByFingerprint, ...]

    @property
    def targets(self) -> list[Target]:
        """Every pinned host."""
        return sorted([*(each.target for each in self.files), *(each.target for each in self.fingerprints)])

    def of(self, target: Target) -> tuple[str, Facts] | None:
        """How a host and port are pinned, and the known facts about the certificate."""
        for pin in self.files:
            if _same(pin.target, target):
                return "file", facts(pin.certificate)
        for entry in self.fingerprints:
            if _same(entry.target, target):
                return "fingerprint", entry.facts
        return None

    def without(self, target: Target) -> State:
        """The state without one host and port."""
        return State(
            tuple(each for each in self.files if not _same(each.target, target)),
            tuple(each for each in self.fingerprints if not _same(each.target, target)),
        )

    def with_pin(self, target: Target, certificate: x509.Certificate, by: str) -> State:
        """The state with a host pinned, replacing an older pin of it."""
        rest = self.without(target)
        if by == "file":
            return replace(rest, files=(*rest.files, pins.Pin(target, certificate)))
        entry = block.ByFingerprint(target, facts(certificate))
        return replace(rest, fingerprints=(*rest.fingerprints, entry))

    def block(self, ca_file: bytes) -> Block:
        """Our lines in the rc."""
        return block.Block(
            ca_file if self.files else b"", frozenset(each.host for each in self.targets), self.fingerprints
        )


def _same(one: Target, other: Target) -> bool:
    return (one.host, one.port) == (other.host, other.port)


@dataclass(frozen=True, slots=True)
class Stored:
    """The state on disk.

    Attributes:
        places: Where the files are.
        rc_file: The rc itself, with links resolved.
        pins_file: The file of pins itself, with links resolved.
        rc_data: The rc's bytes; None if it does not exist.
        pins_data: The bytes of the file of pins; None if it does not exist.
        rc: The rc around our lines.
        state: The state that both files describe.
    """

    places: Places
    rc_file: Path
    pins_file: Path
    rc_data: bytes | None
    pins_data: bytes | None
    rc: Rc
    state: State

    @property
    def rc_name(self) -> str:
        """The rc's name in messages."""
        return self.places.shown(self.places.rc)

    @property
    def ca_file(self) -> bytes:
        """The path of the pins in the rc: absolute, so that lftp finds it from any folder."""
        return os.fsencode(self.places.pins)

    def require_unedited(self) -> None:
        """Compare the files with what we would have written.

        Raises:
            Edited: A file was edited.
        """
        block.require_unedited(self.rc, self.rc_name)
        said = self.rc.block
        if not self.rc.text:
            return  # pinned but not in effect: after a killed run, or with an rc from a backup
        line = self.rc.before.count(b"\n") + 1
        where = f"{self.rc_name}, line {line}"
        pins_name = self.places.shown(self.places.pins)
        if missing := {each.target.host for each in self.state.files} - said.hosts:
            raise block.Edited(f"{where}: the lines of `ftps-lab pin` do not name {', '.join(sorted(missing))}")
        if said.ca_file and said.ca_file != self.ca_file:
            raise block.Edited(f"{where}: the lines of `ftps-lab pin` name a file other than {pins_name}")
        if said.ca_file and not self.state.files:
            raise block.Edited(f"{where}: the lines of `ftps-lab pin` name {pins_name}, which does not exist")
        if self.state.files and not said.ca_file:
            raise block.Edited(f"{where}: the lines of `ftps-lab pin` do not name {pins_name}")

    def rc_with(self, state: State, ca_file: bytes) -> bytes:
        """The rc for a state."""
        return self.rc.with_block(state.block(ca_file))


def load(where: Places) -> Stored:
    """Read the pinned state.

    Raises:
        HarnessError: A file cannot be read, or was edited.
    """
    rc_file, pins_file = places.target_of(where, where.rc), places.target_of(where, where.pins)
    rc_data, pins_data = writing.read(rc_file), writing.read(pins_file)
    rc = block.split(rc_data or b"", where.shown(where.rc))
    files = pins.parse(pins_data or b"", where.shown(where.pins))
    return Stored(where, rc_file, pins_file, rc_data, pins_data, rc, State(files, rc.block.fingerprints))


@dataclass(frozen=True, slots=True)
class Change:
    """The change from the state on disk to another one.

    Attributes:
        stored: The current state.
        state: The new state.
    """

    stored: Stored
    state: State

    @property
    def rc(self) -> bytes | None:
        """The new rc; None to have no rc."""
        new = self.stored.rc_with(self.state, self.stored.ca_file)
        ours_alone = not new and bool(self.stored.rc.text) and not self.stored.places.rc.is_symlink()
        return None if ours_alone or (not new and self.stored.rc_data is None) else new

    @property
    def pins(self) -> bytes | None:
        """The new file of pins; None to have no file."""
        return pins.render(self.state.files) or None

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to change."""
        return (self.rc, self.pins) == (self.stored.rc_data, self.stored.pins_data)

    def carry_out(self, proof: Callable[[], None]) -> None:
        """Write both files, then prove their effect; on any error, restore both.

        Each file is replaced in one step. Between the two steps, lftp is never less strict than before or after: the
        pins exist before the rc names them, TLS is required for a new host before it is pinned, and a removed pin
        disappears before its other lines do.

        Raises:
            OSError, HarnessError: The change failed.
        """
        stored = self.stored
        for path in (stored.places.rc, stored.places.pins):
            places.require_writable(stored.places, path)
        with writing.made(stored.places.folder), contextlib.ExitStack() as stack:
            steps = []
            for path, old, new in self._in_order():
                if old != new:
                    undo = (path, old)
                    steps.append((stack.enter_context(Replacement(path, new)), undo))
            done: list[tuple[Path, bytes | None]] = []
            try:
                for step, undo in steps:
                    done.append(undo)
                    step.take_place()
                proof()
            except BaseException:
                for path, old in reversed(done):
                    with Replacement(path, old) as back:
                        back.take_place()
                raise
            if self.pins is None and stored.places.pins.is_symlink():
                stored.places.pins.unlink()

    def _in_order(self) -> Iterable[tuple[Path, bytes | None, bytes | None]]:
        stored = self.stored
        rc = (stored.rc_file, stored.rc_data, self.rc)
        certificates = (stored.pins_file, stored.pins_data, self.pins)
        if self.pins is None:
            return rc, certificates  # the rc stops naming it, then it is removed
        first_time = not stored.rc.block.ca_file
        fewer = {each.target for each in self.state.files} < {each.target for each in stored.state.files}
        return (certificates, rc) if first_time or fewer else (rc, certificates)


def require_same_elsewhere(before: str, after: str, names: Iterable[str], rc: str) -> None:
    """Check that all other settings of the rc stay unchanged.

    Raises:
        HarnessError: A setting changes: our lines are not independent of the others.
    """
    wanted = tuple(f"set {name}" for name in names)
    changed = set(before.splitlines()) ^ set(after.splitlines())
    others = sorted(line for line in changed if not line.startswith(wanted))
    if others:
        raise HarnessError(
            f"{rc}: appending lines would change how lftp reads the existing ones ({others[0]}). Correct its last "
            f"line: it may end with a backslash"
        )
