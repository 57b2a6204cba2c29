"""Receives HOMEs from the learners' shells, and judges each in a separate process under a separate user.

An rc may run any program. So lftp always runs as a user who can read neither the roster nor the hosts' keys nor another
learner's HOME; the judge's memory and its answer are out of that user's reach (`_guard`).
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import json
import os
import queue
import re
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ftps_harness.errors import HarnessError
from ftps_harness.teach.classroom.exercises import EXERCISES, Material
from ftps_harness.teach.classroom.judge import MOST_BYTES, Finding, judge
from ftps_lab.classroom import check as looking
from ftps_lab.classroom import events, keys
from ftps_lab.classroom.hosts import CHECKER, HOSTS, PORT
from ftps_lab.classroom.ident import user_of
from ftps_lab.classroom.learners import GUEST, Learner, wait_for_roster
from ftps_lab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ftps_harness.teach.classroom.exercises import Exercise

LISTENS: Final = 7000
_REQUEST = re.compile(rb"check (\d{1,3}) (\d{1,8})\n")
_FIRST_USER: Final = 3001
_AT_ONCE: Final = 4
"""Maximum number of parallel judges: each keeps a processor busy for some seconds."""

_PATIENCE: Final = 20.0
_JUDGE_SECONDS: Final = 100.0
_PR_SET_DUMPABLE: Final = 4

_ENDS: Final = {"yes": "solved", "no": "not solved", "unknown": "not judged"}
_SIGNS: Final = {"yes": "ok  ", "no": "NO  ", "unknown": "??  "}


class Checker:
    """The state that all requests share.

    Args:
        staff: The roster, the hosts' keys and events.
        handed_out: The files that the teacher hands out.
        homes: The folder in which a HOME has the same path as in the learner's shell.
    """

    def __init__(self, staff: Path, handed_out: Path, homes: Path) -> None:
        self._staff = staff
        self._handed_out = handed_out
        self._homes = homes
        self._learners = {each.name: each for each in (*wait_for_roster(staff), GUEST)}
        self._busy: dict[str, threading.Lock] = {name: threading.Lock() for name in self._learners}
        self._users: queue.Queue[int] = queue.Queue()
        for number in range(_AT_ONCE):
            self._users.put(_FIRST_USER + number)

    def answer(self, number: int, home: bytes, user: str) -> tuple[list[str], int]:
        """The lines that a learner's shell prints, and its exit code: 0 solved, 1 not solved, 3 not judged."""
        exercise = EXERCISES.get(number)
        if exercise is None:
            return [f"no exercise {number}: choose 1 to {max(EXERCISES)}"], 3
        learner = self._learners.get(user)
        if learner is None:
            return ["the class's container does not know whose connection this is: run check again"], 3
        head = f"exercise {number}, {exercise.title}: {learner.name} at {HOSTS[exercise.host].address}"
        try:
            with self._busy[learner.name]:
                findings = self._judged(exercise, home, learner)
        except (LabError, HarnessError) as error:
            findings = [Finding("unknown", str(error))]
        end = verdict(findings)
        self._record(exercise, learner, end)
        return [head, *lines_of(findings), _ENDS[end]], {"yes": 0, "no": 1, "unknown": 3}[end]

    def _judged(self, exercise: Exercise, home: bytes, learner: Learner) -> list[Finding]:
        self._look_at(exercise.host)
        seen = {(event.host, event.what) for event in events.read(self._staff) if event.learner == learner.name}
        request = {
            "exercise": exercise.number,
            "home": base64.b64encode(home).decode(),
            "user": learner.name,
            "password": learner.password,
            "seen": sorted(seen),
            "homes": str(self._homes),
            "material": {name: _pems(self._staff, name) for name in (exercise.host, f"{exercise.host}-attacker")},
        }
        user = self._users.get()
        try:
            return _run_judge(json.dumps(request).encode(), user, self._homes / learner.name)
        finally:
            self._users.put(user)

    def _look_at(self, name: str) -> None:
        """Check that the classroom's own host runs and presents its lesson's certificate; otherwise nothing is judged.

        Raises:
            LabError: It does not run, or presents a certificate other than the one used for judging.
        """
        host = HOSTS[name]
        looking.check(host, host.address, PORT, self._handed_out)
        if host.attack == "none":
            shown = looking.shown_certificate(host.address, PORT)
            if shown != keys.kept(self._staff, name)[-1].der:
                raise LabError(f"{host.address} has just changed its certificate: run check again")

    def _record(self, exercise: Exercise, learner: Learner, end: str) -> None:
        """Record the result for the teacher's window."""
        what = f"exercise {exercise.number} {_ENDS[end]}"
        events.append(
            self._staff,
            events.Event(at=time.time(), host="checker", learner=learner.name, peer="", channel="", what=what),
        )


def verdict(findings: Sequence[Finding]) -> str:
    """``no`` if a finding fails; ``yes`` if there are findings and all hold; otherwise ``unknown``."""
    holds = {finding.holds for finding in findings}
    if "no" in holds:
        return "no"
    return "yes" if holds == {"yes"} else "unknown"


def lines_of(findings: Sequence[Finding]) -> list[str]:
    """The lines for the learner."""
    lines = []
    for finding in findings:
        lines.append(f"{_SIGNS[finding.holds]}{finding.text}")
        if finding.hint and finding.holds != "yes":
            lines.append(f"    hint: {finding.hint}")
    return lines


def judge_once(request: bytes) -> None:
    """The judge's process: write the findings of one request as JSON to standard output.

    Raises:
        LabError: Nothing can be judged.
    """
    _guard()
    given = json.loads(request)
    findings = judge(
        EXERCISES[given["exercise"]],
        _material(given["material"], EXERCISES[given["exercise"]].host),
        home=base64.b64decode(given["home"]),
        user=given["user"],
        password=given["password"],
        seen={(host, what) for host, what in given["seen"]},
        homes=Path(given["homes"]),
    )
    print(json.dumps([[each.holds, each.text, each.hint] for each in findings]))


def serve(staff: Path, handed_out: Path, homes: Path) -> None:
    """Answer learners until the container ends.

    Raises:
        LabError: No host has written the roster.
    """
    checker = Checker(staff, handed_out, homes)
    (staff / CHECKER).write_text(socket.gethostbyname(socket.gethostname()), "ascii")

    class Handler(socketserver.StreamRequestHandler):
        timeout = _PATIENCE

        def handle(self) -> None:
            with contextlib.suppress(TimeoutError, ConnectionError):  # the learner's shell has ended
                _answer(checker, self.rfile, self.wfile, user_of(self.client_address, LISTENS))

    socketserver.ThreadingTCPServer.allow_reuse_address = True
    with socketserver.ThreadingTCPServer(("", LISTENS), Handler) as listening:
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=listening.shutdown).start())
        print(f"ready: {len(EXERCISES)} exercises", flush=True)
        listening.serve_forever()


def _answer(checker: Checker, received: Any, answer: Any, user: str) -> None:
    asked = _REQUEST.fullmatch(received.readline(40))
    if asked is None or int(asked[2]) > MOST_BYTES:
        lines, code = [f"not a request: send a HOME of at most {MOST_BYTES >> 20} MiB and the number of an exercise"], 3
    else:
        home = received.read(int(asked[2]))
        lines, code = checker.answer(int(asked[1]), home, user)
    answer.write("".join(f"{line}\n" for line in [*lines, f"exit {code}"]).encode("utf-8", "replace"))


def _run_judge(request: bytes, user: int, link: Path) -> list[Finding]:
    """Run one judge in a separate process, and end all its processes afterwards.

    Raises:
        HarnessError: Its output is not a list of findings.
    """
    become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--inh-caps=-all", "--"]
    folder = tempfile.mkdtemp(prefix="judge-")
    os.chown(folder, user, user)
    environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "TMPDIR": folder, "LANG": "C.UTF-8", "HOME": folder}
    try:
        done = subprocess.run(
            [*become, sys.executable, "-m", "ftps_harness.teach.classroom", "judge"],
            input=request,
            capture_output=True,
            env=environment,
            timeout=_JUDGE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise HarnessError(f"it took longer than {_JUDGE_SECONDS:.0f} seconds") from error
    finally:
        # Ends everything that the rc has started, in any session or group.
        subprocess.run([*become, "kill", "-9", "--", "-1"], capture_output=True, check=False)
        shutil.rmtree(folder, ignore_errors=True)
        link.unlink(missing_ok=True)
    if done.returncode:
        raise HarnessError(done.stderr.decode("utf-8", "replace").strip()[-300:] or "the judge ended without an answer")
    return [Finding(*each) for each in json.loads(done.stdout)]


def _guard() -> None:
    """Keep other processes of this user out of this one's memory and file descriptors (prctl(2), PR_SET_DUMPABLE).

    Raises:
        HarnessError: The kernel refuses this.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0):
        raise HarnessError("the kernel does not protect the judge from programs that an rc starts")


def _pems(staff: Path, name: str) -> list[list[str]]:
    try:
        return [[each.pem.decode(), each.key_pem.decode()] for each in keys.kept(staff, name)]
    except LabError:
        return []


def _material(pems: dict[str, list[list[str]]], host: str) -> Material:
    own = [keys.certificate_of(host, *pair) for pair in pems[host]]
    attackers = [keys.certificate_of(host, *pair) for pair in pems[f"{host}-attacker"]]
    if not own:
        raise HarnessError(f"the host {host} has no certificate yet: see docker compose ps")
    return Material(own[-1], own[-2] if len(own) > 1 else None, attackers[-1] if attackers else None)
