"""Checks a tool's behaviour when the server is not an FTPS server, is silent, or sends too much."""

from __future__ import annotations

import contextlib
import contextvars
import re
import threading
from typing import TYPE_CHECKING, Final

from ftps_harness.errors import HarnessError
from ftps_harness.pinning.certificates import HOST, authority, own
from ftps_harness.pinning.checks.change import holds, shows
from ftps_harness.report.plain import plural
from ftps_lab.certificates.hostile import hostile
from ftps_lab.scripted import PEERS
from ftps_lab.scripted.texts import HOSTILE_TEXT, MARK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ftps_harness.pinning.record import Ran
    from ftps_harness.pinning.rig import Rig
    from ftps_harness.sandbox.home import Home
    from ftps_lab.scripted import Script

_RC: Final = {".lftp/rc": b"# mine\nset net:timeout 20\n"}

_NO_FTPS: Final = (
    "plain-ftp",
    "plain-ftp-500",
    "plain-ftp-534",
    "auth-refused",
    "tls-alert",
    "tls-closed",
    "tls-reset",
    "tls-text",
    "http",
    "garbage",
    "garbage-in-tls",
    "empty",
    "reset",
    "not-available",
)
"""Peers that cannot provide a certificate."""

_WITHOUT_END: Final = (
    "silent",
    "silent-after-220",
    "silent-after-234",
    "silent-in-handshake",
    "drip",
    "drip-reply",
    "drip-in-handshake",
    "big-banner",
    "big-line",
)
"""Peers that never send a certificate, and never end."""

_AFTER_CERTIFICATE: Final = ("silent-in-tls", "drip-in-tls", "big-banner-ends", "long-chain")
"""Peers that present a certificate, but otherwise send too little or too much: a tool may pin it or not."""

_UNPRINTABLE: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|\x9b")
"""Terminal control characters: C0 except tab and line ends, DEL, and CSI of C1; a lone CR is included."""


def failure_writes_nothing(rig: Rig) -> None:
    """Try a port where nothing listens, and each kind of server that is not an FTPS server."""
    rig.serve(own())
    for files in (_RC, {}):
        _untouched(rig, rig.pin(rig.home(files), port=rig.unused_port), "nothing listens on the port")
    for name in rig.cases(_NO_FTPS):
        with serving(rig, PEERS[name].scripts()) as port:
            ran = rig.pin(rig.home(_RC), port=port)
        _untouched(rig, ran, PEERS[name].what)
    if rig.tool.repin:
        pinned = rig.pinned(own())
        for name in rig.cases(("plain-ftp", "tls-closed", "empty")):
            with serving(rig, PEERS[name].scripts()) as port:
                ran = rig.pin(rig.copy(pinned), port=port, how="repin")
            _untouched(rig, ran, f"{PEERS[name].what}, while replacing a pin")


def _untouched(rig: Rig, ran: Ran, what: str) -> None:
    rig.expect(not ran.ok, f"a non-zero exit code: {what}", ran.ended)
    rig.expect(ran.untouched, f"not a byte changed: {what}", ran.changed)
    rig.expect(bool(ran.output.strip()), f"a message that says why: {what}", "it printed nothing")


@contextlib.contextmanager
def serving(rig: Rig, scripts: Sequence[Script], host: str = HOST) -> Iterator[int]:
    """Run a server that follows scripts, and yield its port.

    Raises:
        LabError: It does not start.
    """
    server = rig.place.serve_scripts(scripts, host=host)
    try:
        yield server.port
    finally:
        server.stop()


def bounded_time(rig: Rig) -> None:
    """Try all of these peers in parallel: each may take until the time limit."""
    certificate, sent_after = own(), authority()
    scripts = {name: PEERS[name].scripts() for name in _WITHOUT_END}
    for name in _AFTER_CERTIFICATE:
        wanted = (certificate, sent_after)[: PEERS[name].certificates]
        scripts[name] = PEERS[name].scripts(*wanted)
    rig.serve(certificate)
    with contextlib.ExitStack() as stack:
        ports = {name: stack.enter_context(serving(rig, each)) for name, each in scripts.items()}
        homes = {name: rig.home(_RC) for name in scripts}
        ran = at_once({name: _runs(rig, homes[name], port) for name, port in ports.items()})
    for name, each in ran.items():
        rig.did_last(each)
        what = PEERS[name].what
        ended = rig.expect(not each.finished.timed_out, f"the tool ends within {rig.timeout:g} s: {what}", each.ended)
        if ended and name in _WITHOUT_END:
            _untouched(rig, each, what)


def _runs(rig: Rig, home: Home, port: int) -> Callable[[], Ran]:
    return lambda: rig.pin(home, port=port)


def at_once(work: dict[str, Callable[[], Ran]]) -> dict[str, Ran]:
    """Run the tool several times in parallel, and return the result of each run.

    Raises:
        HarnessError: A run could not be started.
    """
    found: dict[str, Ran] = {}
    problems: list[BaseException] = []

    def one(name: str, run: Callable[[], Ran]) -> None:
        try:
            found[name] = run()
        except BaseException as error:  # noqa: BLE001 - passed to the waiting thread
            problems.append(error)

    threads = [
        # Through the context, a thread learns that the end was requested (`process.INTERRUPTION`).
        threading.Thread(target=contextvars.copy_context().run, args=(one, name, run), daemon=True)
        for name, run in work.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]
    if len(found) != len(work):
        raise HarnessError("a run of the tool left no result; please report this as a bug in ftps-lab")
    return {name: found[name] for name in work}


def one_look(rig: Rig) -> None:
    """Present one certificate on the first connection, and another on every later one."""
    first, second = own(), own()
    rig.serve(first)
    home = rig.home()
    server = rig.place.serve_scripts(PEERS["two-faces"].scripts(first, second), host=HOST)
    try:
        ran = rig.pin(home, port=server.port)
        looks = len(server.connections())
    finally:
        server.stop()
    rig.did(f"the server saw {plural(looks, 'connection')}")
    rig.expect(looks > 0, "the tool connects", "it did not connect")
    files = ran.after.files("")
    stored = {name: any(holds(data, each) for data in files.values()) for name, each in
              (("first", first), ("second", second))}  # fmt: skip
    shown = {"first": shows(ran.output, first), "second": shows(ran.output, second)}
    for which in ("first", "second"):
        rig.expect(
            not ran.ok or not stored[which] or shown[which],
            f"the certificate of the {which} connection is not pinned unseen",
            "it is pinned, but its fingerprint was not shown",
        )
    rig.expect(
        not ran.ok or not (shown["first"] and stored["second"]),
        "the tool pins the certificate that it showed first",
        "it pinned the certificate of a later connection",
    )


def hostile_text(rig: Rig) -> None:
    """Try greetings, replies, refusals and certificates with an attacker's text."""
    certificate = own()
    rig.serve(certificate)
    for name in rig.cases(HOSTILE_TEXT):
        for kind, wanted in (("hostile-greeting", (certificate,)), ("hostile-refusal", ())):
            peer = PEERS[f"{kind}-{name}"]
            with serving(rig, peer.scripts(*wanted)) as port:
                ran = rig.pin(rig.home(_RC), port=port)
            harmless(rig, ran, peer.what)
            if not wanted:
                _untouched(rig, ran, peer.what)
    _hostile_certificates(rig)


def _hostile_certificates(rig: Rig) -> None:
    """Try subjects, SANs and comments with an attacker's text: the tool may only pin or refuse such a certificate."""
    texts = {name: text for name, text in HOSTILE_TEXT.items() if name != "long"}
    for name, text in rig.cases(texts.items()):
        certificate = hostile(HOST, {"CN": text[:60], "O": text})
        rig.serve(certificate)
        ran = rig.pin(rig.home(_RC))
        harmless(rig, ran, f"a subject with hostile text: {name}")
    for _ in rig.cases(("long",)):
        rig.serve(hostile(HOST, {"CN": HOST.encode()}, comment=HOSTILE_TEXT["long"]))
        harmless(rig, rig.pin(rig.home(_RC)), "64 KiB of text in the certificate")
    subject = {"CN": HOST.encode(), "O": HOSTILE_TEXT["command"], "OU": HOSTILE_TEXT["setting"]}
    certificate = hostile(HOST, subject)
    rig.serve(certificate)
    home = rig.home()
    ran = rig.pin(home)
    if ran.ok:
        rig.accepts(home, certificate, run=("list",), called="the server with commands in its subject")
        rig.refuses(home, own(), called="an impostor, after pinning that subject")


def harmless(rig: Rig, ran: Ran, what: str) -> None:
    """Expect that no hostile text has reached a file, a shell or the terminal."""
    rig.expect(not ran.finished.timed_out, f"the tool ends: {what}", ran.ended)
    made = [path for path in ran.before.changed(ran.after) if MARK in path]
    rig.expect(not made, f"no command in the text is run: {what}", f"one created {', '.join(made)}")
    written = [
        path
        for path, data in ran.after.files("").items()
        if data != ran.before.files("").get(path) and (MARK.encode() in data or b"verify-certificate no\n" in data)
    ]
    rig.expect(not written, f"the text is not in any file: {what}", f"it is in {', '.join(written)}")
    found = _UNPRINTABLE.search(ran.output)
    rig.expect(
        found is None,
        f"the output has no terminal control characters: {what}",
        f"it has {found[0]!r}" if found else "",
    )


_ARGUMENTS: Final = (
    f"{HOST}; touch {MARK}",
    f"$(touch {MARK})",
    f"`touch {MARK}`",
    f"{HOST} | touch {MARK}",
    f'{HOST}"; set ssl:verify-certificate no; "',
    f"{HOST}\nset ssl:verify-certificate no",
    "-oProxyCommand=x",
    "--help; x",
    f"../../{MARK}",
    "",
    "{HOST,b}",
    "*",
    f"{HOST}\\",
    f"!touch {MARK}",
)
"""Host names with characters that are special to a shell, to lftp or to the file system."""


def hostile_arguments(rig: Rig) -> None:
    """Try host names with metacharacters."""
    rig.serve(own())
    for host in rig.cases(_ARGUMENTS):
        ran = rig.pin(rig.home(_RC), host)
        rig.expect(not ran.ok, f"the host name {host!r} is refused", ran.ended)
        rig.expect(ran.untouched, f"nothing is written for the host name {host!r}", ran.changed)
