"""`ftps-lab doctor`: what is installed on this machine, what each missing part prevents, and how to install it."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Literal

from ftps_harness.client import lftp
from ftps_harness.errors import HarnessError, UsageError
from ftps_lab import temporary
from ftps_lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ftps_harness.client.lftp import Lftp

State = Literal["ok", "note", "missing"]

_PACKAGES = ("pyftpdlib", "pyOpenSSL", "cryptography", "trustme", "msgspec", "click", "rich", "docker")
_COMPOSE = (("docker", "compose"), ("docker-compose",))
"""Compose version 2, a plugin of docker, and version 1.29."""

_BROWSER_PACKAGES = ("playwright", "axe_playwright_python")

_NO_RUN = "no scenario can run"

_ASK_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One part that the lab needs.

    Attributes:
        part: Its name.
        state: ``note`` means that it works, with a remark.
        detail: What was found.
        cost: What does not work without it, or because of it.
        cure: What to do.
        needed: The main job (`ftps-lab run`) does not work without it.
    """

    part: str
    state: State
    detail: str
    cost: str = ""
    cure: str = ""
    needed: bool = False


def examine(path: str | None = None) -> Iterator[Finding]:
    """Examine everything, one part after the other.

    Args:
        path: The lftp to examine; None for the one that `run` would use.
    """
    yield Finding("Python", "ok", f"{sys.version.split()[0]} at {sys.executable}")
    yield _temporary()
    client, finding = _lftp(path)
    yield finding
    yield _system_rc()
    yield _openssl()
    yield _clock(client)
    yield _sandbox()
    yield _guard()
    yield _namespaces()
    yield _strace()
    yield from _packages()
    yield _browser()
    yield _docker()
    yield _compose()


def works(findings: Sequence[Finding]) -> bool:
    """Whether `ftps-lab run` can do its work here."""
    return not any(finding.needed and finding.state == "missing" for finding in findings)


def _temporary() -> Finding:
    """Where HOMEs and served folders are made."""
    try:
        place, wanted = temporary.place(), temporary.wanted_place()
        with temporary.Folder("doctor", place):
            pass
    except (LabError, OSError) as error:
        cure = "set TMPDIR to a writable folder"
        return Finding("temporary files", "missing", str(error), _NO_RUN, cure, needed=True)
    if place == wanted:
        return Finding("temporary files", "ok", f"in {place}")
    return Finding("temporary files", "note", f"in {place}, because lftp reads no rc below a path such as {wanted}")


def _lftp(path: str | None) -> tuple[Lftp | None, Finding]:
    try:
        client = lftp.identify(lftp.find(path))
    except (HarnessError, LabError, UsageError) as error:
        cure = "apt install lftp (the package has this name everywhere), or name one: --lftp PATH, FTPS_LAB_LFTP"
        found = path is not None or shutil.which("lftp") is not None
        usable = found and not isinstance(error, UsageError)  # lftp is not what is missing: the message says what is
        return None, Finding("lftp", "missing", str(error), _NO_RUN, "" if usable else cure, needed=True)
    found_build = f"{client.version} at {client.path}, TLS by {client.tls}, dialect {client.dialect}"
    return client, Finding("lftp", "ok", found_build)


def _system_rc() -> Finding:
    """Lines of the system's rc that affect trust: lftp reads it before everything else (docs/lftp.md, "The rc")."""
    lines = lftp.system_rc_lines()
    if not lines:
        return Finding("system rc", "ok", "nothing in /etc/lftp.conf affects trust")
    named = "; ".join(f"line {number}: {line}" for number, line in lines)
    if lftp.keep_out_system_rc() is not None:
        return Finding("system rc", "note", f"/etc/lftp.conf affects trust ({named}); runs ignore it")
    cost = f"{_NO_RUN}: lftp reads this file first, and this machine cannot hide it"
    cure = "comment these lines out, or allow unshare --mount (as root, or in a container)"
    return Finding("system rc", "missing", f"/etc/lftp.conf affects trust: {named}", cost, cure, needed=True)


def _openssl() -> Finding:
    found = shutil.which("openssl")
    if found is None:
        cost = 'scenarios that fetch a certificate as the document does (`"served"`) end with an error'
        return Finding("openssl", "missing", "no openssl on PATH", cost, "apt install openssl", needed=True)
    try:
        answer = subprocess.run([found, "version"], capture_output=True, text=True, timeout=_ASK_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        cost, cure = "the same as without openssl", "install another openssl"
        return Finding("openssl", "missing", f"{found} does not run: {error}", cost, cure, needed=True)
    words = answer.stdout.split()
    return Finding("openssl", "ok", f"{words[1] if len(words) > 1 else 'unknown version'} at {found}")


def _clock(client: Lftp | None) -> Finding:
    if client is None:
        return Finding("libfaketime", "note", "cannot be checked without lftp")
    why = lftp.why_no_clock(client)
    if why is None:
        return Finding("libfaketime", "ok", "lftp can run at another time")
    return Finding("libfaketime", "missing", why, "scenarios with `clock` are skipped", "apt install faketime")


def _sandbox() -> Finding:
    """The parts of the place `sealed`."""
    from ftps_harness.sandbox import guard
    from ftps_harness.sandbox.sandbox import why_none

    why = why_none()
    if not why:
        return Finding("sandbox", "ok", "the kernel seals runs: no packet can leave, and the lab sees all traffic")
    unseen = "other hosts that lftp talks to" if guard.why_none() else "what lftp sends to other servers on it"
    cost = f"runs use this machine's loopback and do not see {unseen}; tests of it are skipped"
    return Finding("sandbox", "missing", why, cost)  # `why` says what to do


def _guard() -> Finding:
    """What keeps programs on this machine in the place `loopback`."""
    from ftps_harness.sandbox import guard

    why = guard.why_none()
    if not why:
        return Finding("guard", "ok", "on loopback, the kernel keeps what the lab starts from other machines")
    cost = "an rc that names another machine reaches it from the pytest fixtures, and from `run` without a sandbox"
    return Finding("guard", "missing", f"the kernel cannot guard the place loopback: {why}", cost)


def _namespaces() -> Finding:
    """Namespaces, which keep a system rc that affects trust out of a run."""
    if lftp.keep_out_system_rc() is not None:
        return Finding("unshare", "ok", "a run can hide /etc/lftp.conf if it affects trust")
    cost = "nothing, as long as /etc/lftp.conf does not affect trust; tests that hide it are skipped"
    return Finding(
        "unshare", "missing", "unshare --mount is not permitted here", cost, "run as root, or in a container"
    )


def _strace() -> Finding:
    found = shutil.which("strace")
    if found is None:
        cost = "nothing for `ftps-lab run`; the test that watches which files lftp opens is skipped"
        return Finding("strace", "missing", "no strace on PATH", cost, "apt install strace")
    return Finding("strace", "ok", found)


def _packages() -> Iterator[Finding]:
    versions, absent = [], []
    for name in _PACKAGES:
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            absent.append(name)
    if versions:
        yield Finding("packages", "ok", ", ".join(versions))
    if absent:
        cure = f"pip install {' '.join(absent)}"
        yield Finding("packages", "missing", ", ".join(absent), _NO_RUN, cure, needed=True)


def chromium() -> str | None:
    """The browser in which tests open pages; None if not installed."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


def why_no_browser() -> str:
    """What is missing to open pages in a real browser, and how to install it; empty if nothing is missing."""
    absent = [name for name in _BROWSER_PACKAGES if importlib.util.find_spec(name) is None]
    missing = ["no chromium on PATH: apt-get install chromium"] if chromium() is None else []
    missing += [f"no {' and no '.join(absent)}: make setup-pages"] if absent else []
    return "; ".join(missing)


def _browser() -> Finding:
    """The browser for `make test-browser`; nothing else opens a browser."""
    why = why_no_browser()
    if not why:
        return Finding("browser", "ok", f"chromium at {chromium()}")
    cost = "nothing for `ftps-lab`; tests that look at the pages of --html are skipped"
    return Finding("browser", "missing", why, cost)  # `why` says what to do


def _compose() -> Finding:
    """Docker Compose, which starts the classroom; either version works."""
    found = {" ".join(command): _compose_version(command) for command in _COMPOSE}
    here = [f"{name} {version}" for name, version in found.items() if version]
    if here:
        absent = [f"; no {name}: tests that need it are skipped" for name, version in found.items() if not version]
        return Finding("Compose", "ok", ", ".join(here) + "".join(absent))
    cost = "nothing for `ftps-lab run` and `matrix`; the classroom does not start, and its tests are skipped"
    cure = "apt install docker-compose"
    return Finding("Compose", "missing", f"neither {' nor '.join(found)}", cost, cure)


def _compose_version(command: Sequence[str]) -> str:
    """The version that a command reports; empty if it does not run."""
    try:
        asked = [*command, "version", "--short"]
        answer = subprocess.run(asked, capture_output=True, text=True, timeout=_ASK_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""


def _docker() -> Finding:
    """The engine that the matrix and the classroom need."""
    from ftps_lab import containers  # the SDK takes 200 ms to import

    why = containers.why_no_engine()
    if not why:
        with contextlib.closing(containers.connect()) as engine:
            here = f"engine {engine.version} at {engine.where}"
            absent = containers.why_no_bases(engine)
        if not absent:
            return Finding("Docker", "ok", here)
        cost = "nothing for `ftps-lab run`; without them, tests that need containers are skipped"
        return Finding("Docker", "note", f"{here}; base images {absent}", cost)
    cost = "nothing for `ftps-lab run`; `ftps-lab matrix` and the classroom do not work, and their tests are skipped"
    return Finding("Docker", "missing", why, cost)  # `why` says what to do
