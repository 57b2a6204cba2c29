"""The command's work: fetch, compare, prepare the files, ask lftp, write, ask again."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ftps_harness.pinning.tool import block, certificate, effect, places, state, words, writing
from ftps_harness.pinning.tool.asking import Asker, Nameless
from ftps_harness.pinning.tool.fetch import fetch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from ftps_harness.pinning.tool.asking import Settings
    from ftps_harness.pinning.tool.certificate import Facts
    from ftps_harness.pinning.tool.fetch import Fetched
    from ftps_harness.pinning.tool.places import Places
    from ftps_harness.pinning.tool.state import Change, State, Stored
    from ftps_harness.pinning.tool.target import Target

_OURS: Final = (effect.VERIFY, effect.CA_FILE, *block.PROTECTED)


class Refused(Exception):  # noqa: N818 - an answer, not an error
    """The command refuses, for a reason of one or more sentences; exit code 1."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """How to pin a host.

    Attributes:
        by: ``file`` or ``fingerprint``.
        expect: The expected SHA-256 fingerprint, upper case with colons; empty for any.
        replace: Allow replacing an older pin.
        dry_run: Only show what would change; write nothing.
    """

    by: str = "file"
    expect: str = ""
    replace: bool = False
    dry_run: bool = False


@dataclass(slots=True)
class PinningTool:
    """Pins certificates for one user.

    Args:
        program: lftp.
        say: Prints a line.
        timeout: Time limit in seconds for the connection, and for each other slow step.
    """

    program: Path
    say: Callable[[str], None]
    timeout: float
    places: Places = field(init=False)
    _asker: Asker = field(init=False)

    def __post_init__(self) -> None:
        self.places = places.find(os.environ)
        self._asker = Asker(self.program, self.places, os.environ, max(self.timeout, 10.0))

    # --- pinning ---------------------------------------------------------------------------------------------------

    def pin(self, target: Target, wanted: Wanted) -> None:
        """Pin the certificate that a server presents.

        Raises:
            Refused: It must not be pinned as it is.
            HarnessError, OSError: It cannot be pinned.
        """
        fetched = fetch(target, self.timeout)
        target = fetched.target
        known = certificate.facts(fetched.leaf)
        self._say(words.shown(target, fetched))
        if wanted.expect and wanted.expect != known.sha256:
            raise Refused(
                f"The server's certificate is not the expected one. Nothing was written.\n  expected  {wanted.expect}\n"
                f"  shown     {known.sha256}"
            )
        self._require_usable(target, fetched, wanted)
        with self._locked():
            stored = self._load()
            self._require_pinnable(stored, target, known, wanted)
            old = stored.state.of(target)
            new = stored.state if old == (wanted.by, known) else stored.state.with_pin(target, fetched.leaf, wanted.by)
            changed = self._changed(stored, new, replace=wanted.replace, dry_run=wanted.dry_run)
        if lost := stored.rc.block.hosts - {each.host for each in new.targets}:
            self.say(f"No longer pinned, because the pin was missing: {', '.join(sorted(lost))}. Pin again.")
        if wanted.dry_run:
            return
        self.say(f"Pinned {target} by {wanted.by}." if changed else f"{target} was already pinned; nothing changed.")
        if changed:
            rc, file = self.places.shown(self.places.rc), self.places.shown(self.places.pins)
            self._say(words.meaning(target, wanted.by, rc, file))
            self._say(words.remarks(fetched.chain, wanted.by))
            if not wanted.expect:
                self.say(words.compare(target))

    def _require_usable(self, target: Target, fetched: Fetched, wanted: Wanted) -> None:
        if fetched.signed and certificate.may_not_sign(fetched.leaf) and not self._asker.uses_openssl():
            raise Refused(
                "lftp built with GnuTLS, like this one, aborts the handshake with this certificate: its key usage "
                "lacks digitalSignature. Nothing was written. The server needs another certificate"
            )
        why = certificate.refusals(fetched.leaf, target)
        if not why:
            return
        sentences = "; ".join(why)
        if wanted.by == "file":
            raise Refused(
                f"lftp would refuse this certificate even if it were pinned: {sentences}. Nothing was written. The "
                f"server needs another certificate"
            )
        self.say(f"Note: {sentences}. Pinned by fingerprint, lftp accepts it anyway.")

    def _require_pinnable(self, stored: Stored, target: Target, known: Facts, wanted: Wanted) -> None:
        if not wanted.replace:
            try:
                stored.require_unedited()
            except block.Edited as error:
                raise Refused(f"{error}. Nothing was written. Check them; --replace rewrites them") from error
        old = stored.state.of(target)
        if old is not None and old != (wanted.by, known) and not wanted.replace:
            raise Refused("\n".join(words.change(target, old[1], known, old[0], wanted.by)))

    def _changed(self, stored: Stored, new: State, *, replace: bool, dry_run: bool) -> bool:
        """Make a change, or only show it; return whether there is one."""
        change = state.Change(stored, new)
        if change.nothing:
            self._require_effect(self._asker.as_it_is().settings(effect.NAMES), new, os.fsdecode(stored.ca_file))
            return False
        self._require_writable()
        self._rehearse(change, replace=replace)
        if dry_run:
            self._say(words.diff(change))
            return True
        change.carry_out(lambda: self._prove(change))
        return True

    def _require_writable(self) -> None:
        for path in (self.places.rc, self.places.pins):
            places.require_writable(self.places, path)

    def _rehearse(self, change: Change, *, replace: bool) -> None:
        """Ask lftp how it would read the new files, before they are written."""
        stored = change.stored
        before = self._asker.with_rc(stored.rc.before + stored.rc.after)
        with Nameless(change.pins or b"") as file:
            after = self._asker.with_rc(stored.rc_with(change.state, file.path.encode()), [file])
            self._require_effect(after.settings(effect.NAMES), change.state, file.path)
        theirs = before.settings([effect.CA_FILE]).get(effect.CA_FILE, {}).get("", "")
        if change.state.files and theirs and not stored.rc.block.ca_file and not replace:
            found = effect.Opposing(effect.CA_FILE, "", theirs, "")
            raise Refused(
                f"{effect.where(found, self.places) or 'the rc'}: ssl:ca-file is already {theirs}. lftp has one such "
                f"file for all hosts, so the pins in it would stop working. Nothing was written. Pin its hosts with "
                f"this command too, or use --by fingerprint; --replace drops those pins"
            )
        state.require_same_elsewhere(before.text, after.text, _OURS, stored.rc_name)

    def _prove(self, change: Change) -> None:
        """Ask lftp how it reads the written files; a wrong answer undoes everything."""
        self._require_effect(
            self._asker.as_it_is().settings(effect.NAMES), change.state, os.fsdecode(change.stored.ca_file)
        )

    def _require_effect(self, settings: Settings, new: State, ca_file: str) -> None:
        found = effect.opposing(settings, new.targets, ca_file if new.files else "") if new.targets else []
        missing = [
            each.target
            for each in new.fingerprints
            if settings.get(effect.VERIFY, {}).get(each.facts.sha1, "yes") != "no"
        ]
        if not found and not missing:
            return
        lines = ["With the current rc, a pin would not protect. Nothing was written."]
        for each in found:
            where = effect.where(each, self.places)
            lines.append(f"  {where + ': ' if where else ''}{each.words}")
        lines += [f"  lftp does not use the fingerprint of {each}" for each in missing]
        lines.append("Remove these settings (also from files that the rc sources), then pin again.")
        raise Refused("\n".join(lines))

    # --- the other modes -------------------------------------------------------------------------------------------

    def remove(self, target: Target, *, replace: bool, dry_run: bool) -> None:
        """Remove a host's pin.

        Raises:
            Refused: It is not pinned, or our lines were edited.
            HarnessError, OSError: It cannot be removed.
        """
        with self._locked():
            stored = self._load()
            if stored.state.of(target) is None:
                raise Refused(f"{target} is not pinned")
            if not replace:
                try:
                    stored.require_unedited()
                except block.Edited as error:
                    raise Refused(f"{error}. Nothing was written. Check them; --replace rewrites them") from error
            change = state.Change(stored, stored.state.without(target))
            self._require_writable()
            if dry_run:
                self._say(words.diff(change))
                return
            change.carry_out(lambda: None)
        self.say(f"{target} is no longer pinned.")
        if not change.state.files and stored.state.files:
            self.say("ssl:ca-file is no longer set: lftp uses the system's trust store again.")

    def check(self, target: Target) -> None:
        """Check that the server still presents the pinned certificate, and that it is still valid.

        Raises:
            Refused: It is not.
            HarnessError, OSError: The server cannot be reached.
        """
        stored = self._load()
        pinned = stored.state.of(target)
        if pinned is None:
            raise Refused(f"{target} is not pinned")
        fetched = fetch(target, self.timeout)
        known = certificate.facts(fetched.leaf)
        if known.sha256 != pinned[1].sha256:
            raise Refused("\n".join(words.change(target, pinned[1], known, *(pinned[0],) * 2)))
        if why := certificate.refusals(fetched.leaf, target) if pinned[0] == "file" else []:
            raise Refused(
                f"{target}: the server presents the pinned certificate, but lftp refuses it: {'; '.join(why)}"
            )
        if known.expired:
            raise Refused(f"{target}: the server presents the pinned certificate, but it has expired")
        try:
            stored.require_unedited()
        except block.Edited as error:
            raise Refused(str(error)) from error
        self._require_effect(self._asker.as_it_is().settings(effect.NAMES), stored.state, os.fsdecode(stored.ca_file))
        self.say(f"{target}: the server presents the pinned certificate, {words.days(known)}.")
        self.say(f"  SHA-256   {known.sha256}")

    def list_(self) -> None:
        """Show every pin: host, port, way, fingerprint, days left.

        Raises:
            Refused: lftp does not use them.
            HarnessError, OSError: The files cannot be read.
        """
        stored = self._load()
        for target in stored.state.targets:
            pinned = stored.state.of(target)
            assert pinned is not None  # it is one of the pinned hosts
            self.say(f"{target}  {target.protocol}  by {pinned[0]}  {pinned[1].sha256}  {words.days(pinned[1])}")
        if not stored.state.targets:
            self.say("Nothing is pinned.")
        elif stored.state.files and not stored.rc.text:
            raise Refused(f"{stored.rc_name} does not name these pins, so lftp does not use them. Pin again")
        try:
            stored.require_unedited()
        except block.Edited as error:
            raise Refused(str(error)) from error

    def _load(self) -> Stored:
        try:
            return state.load(self.places)
        except block.Edited as error:
            raise Refused(f"{error}. Nothing was written. Correct them, or remove all of these lines") from error

    def _locked(self) -> AbstractContextManager[None]:
        # Several users may share LFTP_HOME; otherwise lock HOME, which exists before ~/.lftp does.
        folder = self.places.folder if os.environ.get("LFTP_HOME") else self.places.home
        return writing.lock(folder, self.timeout)

    def _say(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.say(line)
