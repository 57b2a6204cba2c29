"""Links, modes, leftovers, odd paths: checks a tool's handling of the files around its pin."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ftps_harness.errors import HarnessError
from ftps_harness.pinning import passwords
from ftps_harness.pinning.certificates import HOST, own, twin
from ftps_harness.sandbox.changes import Interrupt
from ftps_harness.verdict.needles import Passwords

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftps_harness.pinning.command import How
    from ftps_harness.pinning.record import Ran
    from ftps_harness.pinning.rig import Rig
    from ftps_harness.sandbox.home import Home
    from ftps_lab.certificates import Certificate
    from ftps_lab.testimony import Testimony
    from ftps_lab.wire import Traffic

_LEFTOVER: Final = re.compile(
    r"(~|\.(bak|backup|old|orig|tmp|temp|new|swp|swo|part|lock|lck)(\.\w+)?)$|(^|/)(tmp\.|\.#|#)[^/]*$|\.tmp\.",
    re.IGNORECASE,
)
"""Typical names of temporary files, backups and locks."""

_SECRET: Final = "correct-horse-battery"  # noqa: S105 - not a real password
_FORMS: Final = Passwords.of([_SECRET], public=[HOST])
_HEAD: Final = 1 << 11
"""Bytes of each stream in which pieces of the password are searched for."""


def links_kept(rig: Rig) -> None:
    """Try an rc that is a link, a pin that is a link, and a read-only rc."""
    old, new = own(), own()
    home = rig.home({"dotfiles/lftp": b"# mine\n"})
    home.dot_lftp.mkdir(mode=0o700)
    (home.dot_lftp / "rc").symlink_to("../dotfiles/lftp")
    rig.serve(old)
    ran = rig.pin(home)
    rig.expect(ran.ok, "exit code 0 when the rc is a symbolic link", ran.ended)
    _is_link(rig, ran, "~/.lftp/rc")
    rig.expect(
        "~/dotfiles/lftp" in ran.before.changed(ran.after),
        "the tool writes to the link's target",
        "~/dotfiles/lftp is unchanged",
    )
    rig.protects(home, old, called="the genuine server, when the rc is a link")
    for _ in rig.cases(("a read-only rc",)):
        home = rig.home({".lftp/rc": b"# mine\n"})
        (home.dot_lftp / "rc").chmod(0o444)
        ran = rig.pin(home)
        same = ran.before.entries["~/.lftp/rc"].state == ran.after.entries["~/.lftp/rc"].state
        seen = f"{ran.ended}; the rc {'is unchanged' if same else 'was changed'}"
        rig.expect(
            not ran.ok and same, "a read-only rc is reported with a non-zero exit code, and stays unchanged", seen
        )
    if rig.tool.repin:
        _pin_that_is_a_link(rig, rig.pinned(old), new)


def _pin_that_is_a_link(rig: Rig, home: Home, new: Certificate) -> None:
    """Replace each file that holds the certificate with a link to it; then let the tool replace the pin."""
    files = [path for path, data in rig.snapshot(home).files().items() if b"BEGIN CERTIFICATE" in data]
    (home.home / "dotfiles").mkdir()
    for number, path in enumerate(files):
        pin = home.home / path.removeprefix("~/")
        pin.rename(home.home / "dotfiles" / f"pin-{number}")
        pin.symlink_to(f"{'../' * (len(pin.relative_to(home.home).parts) - 1)}dotfiles/pin-{number}")
    rig.serve(new)
    ran = rig.pin(home, how="repin")
    if not ran.ok:
        rig.expect(
            bool(ran.output.strip()), "a message that says why the linked pin is not replaced", "it printed nothing"
        )
        return
    for path in files:
        if path in ran.after.entries:  # a tool may name its files after their content
            _is_link(rig, ran, path)
    rig.protects(home, new, called="the server with its new certificate, when the pin is a link")


def _is_link(rig: Rig, ran: Ran, path: str) -> None:
    entry = ran.after.entries.get(path)
    kind = entry.kind if entry is not None else "gone"
    rig.expect(kind == "link", f"{path} is still a symbolic link", f"it is {kind}")


def private_files(rig: Rig) -> None:
    """Check new files, and an rc with each of several modes."""
    certificate = own()
    home = rig.pinned(certificate)
    for path, entry in rig.snapshot(home).entries.items():
        if entry.kind in {"file", "folder"} and path.startswith("~/"):
            rig.expect(not entry.mode & 0o077, f"only the owner can access the new {path}", f"mode {entry.mode:04o}")
    for mode in rig.cases((0o600, 0o640, 0o644)):
        home = rig.home({".lftp/rc": b"# mine\n"})
        (home.dot_lftp / "rc").chmod(mode)
        rig.serve(certificate)
        ran = rig.pin(home)
        entry = ran.after.entries["~/.lftp/rc"]
        rig.expect(
            entry.mode | mode == mode, f"an rc with mode {mode:04o} gains no permissions", f"mode {entry.mode:04o}"
        )


def no_leftovers(rig: Rig) -> None:
    """Check after a run that pins, one that changes nothing, one that refuses, and one that replaces a pin."""
    certificate, new = own(), own()
    home = rig.pinned(certificate, {".lftp/rc": b"# mine\n"})
    first = rig.snapshot(home)
    _nothing_left(rig, rig.log.last, "that pins")
    for what, shown in rig.cases(
        (("a second run", certificate), ("a run with a changed certificate", twin(certificate)))
    ):
        rig.serve(shown)
        ran = rig.pin(home)
        left = sorted(set(ran.after.entries) - set(first.entries))
        rig.expect(not left, f"no new file after {what}", ", ".join(left))
        _nothing_left(rig, ran, what)
    if rig.tool.repin:
        rig.serve(new)
        _nothing_left(rig, rig.pin(home, how="repin"), "that replaces a pin")


def _nothing_left(rig: Rig, ran: Ran | None, what: str) -> None:
    assert ran is not None  # it has run
    new = [
        path for path in ran.before.changed(ran.after) if path not in ran.before.entries and path in ran.after.entries
    ]
    left = [
        path
        for path in new
        if not path.startswith("~/") or (ran.after.entries[path].kind == "file" and _is_leftover(path, ran))
    ]
    rig.expect(not left, f"no temporary file, backup or lock after a run {what}", ", ".join(left))


def _is_leftover(path: str, ran: Ran) -> bool:
    return _LEFTOVER.search(path) is not None or not ran.after.entries[path].data


def home_respected(rig: Rig) -> None:
    """Start the tool in another folder, in ~/.lftp, and in a read-only folder."""
    certificate = own()
    for where in ("elsewhere", "~/.lftp", "/"):
        home = rig.home()
        if where == "~/.lftp":
            home.dot_lftp.mkdir(mode=0o700)
        folders = {"elsewhere": home.seen(home.elsewhere), "~/.lftp": home.seen(home.dot_lftp), "/": Path("/")}
        rig.serve(certificate)
        ran = rig.pin(home, cwd=folders[where])
        rig.expect(ran.ok, f"exit code 0 when started in {where}", ran.ended)
        outside = [path for path in ran.before.changed(ran.after) if not path.startswith("~/")]
        rig.expect(not outside, "nothing is written outside HOME", ", ".join(outside))
        rig.protects(home, certificate, called=f"the genuine server, when the tool was started in {where}")


def odd_paths(rig: Rig) -> None:
    """Try HOMEs whose paths have non-ASCII characters, a blank, and quotes."""
    certificate = own()
    for path, must_work in (("/home/jürgen-Ω", True), ("/home/back up", False), ('/home/o\'neil "x"', False)):
        home = rig.home()
        home.shown = {path: "home"}
        rig.serve(certificate)
        ran = rig.pin(home)
        if must_work or ran.ok:
            rig.expect(ran.ok, f"exit code 0 with HOME={path}", ran.ended)
            rig.protects(home, certificate, called=f"the genuine server, with HOME={path}")
        else:
            rig.expect(bool(ran.output.strip()), f"a message that says why not, with HOME={path}", "it printed nothing")
            rig.expect(ran.untouched, "the tool writes nothing where lftp would not read it", ran.changed)


def no_secrets(rig: Rig) -> None:
    """Put a password for this host into HOME, and record logins on the server.

    A tool never logs in, so it needs no password. Every user of the machine can read a password in a program's
    arguments (ps).
    """
    certificate = own()
    seeds = {
        ".netrc": f"machine {HOST} login me password {_SECRET}\n".encode(),
        ".lftp/bookmarks": f"backup ftp://me:{_SECRET}@{HOST}/\n".encode(),
    }
    home = rig.home(seeds)
    for name in seeds:
        (home.home / name).chmod(0o600)
    rig.serve(certificate)
    _keeps_secrets(rig, _watched(rig, home), "the first run")
    rig.serve(twin(certificate))
    _keeps_secrets(rig, _watched(rig, home), "a run with a changed certificate")
    if rig.tool.repin:
        rig.serve(own())
        _keeps_secrets(rig, _watched(rig, home, how="repin"), "a run that replaces the pin", may_log_in=True)


def _watched(rig: Rig, home: Home, how: How = "pin") -> Ran:
    """Run the tool while all that it sends is recorded, and the kernel records started programs and their arguments."""
    rig.session.server.record()
    rig.place.watch()
    watch = Interrupt(sought=passwords.expressions(_SECRET))
    return rig.pin(home, how=how, start=rig.place.interrupting(home, watch))


def _keeps_secrets(rig: Rig, ran: Ran, what: str, *, may_log_in: bool = False) -> None:
    testimony = rig.session.server.finish().testimony
    logins = [f"{each.user} with a password" for each in testimony.credentials]
    if not may_log_in:  # a user who replaces a pin has checked the certificate
        rig.expect(not logins, f"no login before the certificate is compared: {what}", ", ".join(logins))
        sent = [*_sent(testimony, rig.place.traffic())]
        leaked = any(map(_FORMS.found_in, sent)) or _FORMS.found_in_pieces(each[:_HEAD] for each in sent)
        rig.expect(not leaked, f"no password is sent: {what}", "the password from HOME was sent, perhaps encoded")
    rig.expect(
        not _FORMS.found_in(ran.output),
        f"no password in the output: {what}",
        "the output has the password from HOME, perhaps encoded",
    )
    rig.expect(
        b"PRIVATE KEY" not in ran.output, f"no private key in the output: {what}", "the output has a private key"
    )
    shown = _among_arguments(ran)
    rig.expect(not shown, f"no password or private key among the arguments of a program: {what}", "; ".join(shown))
    changed = set(ran.before.changed(ran.after))
    files = {path: data for path, data in ran.after.files("").items() if path in changed}
    with_secret = [path for path, data in files.items() if _FORMS.found_in(data)]
    rig.expect(not with_secret, f"no password in what was written: {what}", ", ".join(with_secret))
    with_key = [path for path, data in files.items() if _is_private_key(data)]
    rig.expect(not with_key, f"no private key in what was written: {what}", ", ".join(with_key))


def _sent(testimony: Testimony, traffic: Traffic | None) -> Iterator[bytes]:
    """What the tool sent to anyone: the commands that the server received, and every stream, in clear or in TLS."""
    for command in testimony.commands:
        yield f"{command.verb} {command.argument}".encode("utf-8", "surrogateescape")
    for flow in traffic.flows if traffic else ():
        yield flow.to_server


def _among_arguments(ran: Ran) -> list[str]:
    """The secrets that programs got as arguments, a phrase each."""
    changes = ran.finished.changes
    if changes is None or changes.unseen or not (changes.started or ran.finished.timed_out):
        raise HarnessError("this machine does not let ftps-lab read the arguments of the programs that the tool starts")
    found = [f"{passwords.named(each.sought, _SECRET)}: {Path(each.program).name}" for each in changes.found]
    return list(dict.fromkeys(found))


def _is_private_key(data: bytes) -> bool:
    """Whether a file is or holds a private key: as PEM, or DER without a password (PKCS #8, PKCS #1, SEC 1)."""
    if b"PRIVATE KEY-----" in data:
        return True
    if not data.startswith(b"\x30"):
        return False
    from cryptography.hazmat.primitives.serialization import load_der_private_key

    try:
        load_der_private_key(data, None)
    except TypeError:  # a key with a password
        return True
    except Exception:  # noqa: BLE001 - any error means that it is not a key
        return False
    return True
