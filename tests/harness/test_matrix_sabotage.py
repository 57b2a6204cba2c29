"""The matrix: what a daemon's testimony, a container's shell or a baseline rests on is broken in turn; nothing passes.

A daemon's account is made of its log, the files below its root and a relay, and each of them can lose something. A
server of the lab stands in for it here and says what a daemon could: no password that was refused, no hash of a
listing.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from ftps_harness import process
from ftps_harness.errors import HarnessError
from ftps_harness.lftp import Lftp
from ftps_harness.material import impostor_of
from ftps_harness.matrix import baseline
from ftps_harness.matrix.answers import UNEXPECTED
from ftps_harness.matrix.baseline import Baseline
from ftps_harness.matrix.play import MatrixRun, PairResult, exit_code
from ftps_harness.matrix.shell import Shell
from ftps_harness.outcome import ClientAccount, Outcome, Situation, Task, WireAccount, conclude
from ftps_harness.place import Here
from ftps_harness.scenario import Expect
from ftps_harness.verdict import judge, judge_repeated
from ftps_lab.data import LabData
from ftps_lab.servers import FtpsServer
from ftps_lab.testimony import Testimony, Wire, WireRecord

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from tests.harness.conftest import Play

    from ftps_harness.runner import ScenarioResult
    from ftps_harness.scenario.tables import ExpectedVerdict
    from ftps_lab.interface import Server, ServerSpec

ACCEPTED = 'verdict = "accepted"'
REJECTED = 'verdict = "rejected"\nreason = "untrusted"'
EXPOSED = 'verdict = "exposed"'
LOGIN_FAILED = 'verdict = "login-failed"'
ONLY_LIST = 'run = ["list"]'
NO_CONTROL = '\ncontrol = "none"\nwhy_no_control = "sabotage"\n'

LISTINGS = {"LIST", "NLST", "MLSD"}
PASSIVE = {"PASV", "EPSV"}


class Daemon(FtpsServer):
    """A server of the lab with the testimony of a daemon: what that cannot know is left out."""

    def testimony(self) -> Testimony:
        known = super().testimony()
        return replace(
            known,
            sources=("log", "files", "relay"),
            credentials=tuple(c if c.accepted else replace(c, password=None) for c in known.credentials),
            transfers=tuple(replace(t, sha256="") if t.verb in LISTINGS else t for t in known.transfers),
        )


class In(Here):
    """A place whose servers are of another class."""

    def __init__(self, kind: type[FtpsServer] = Daemon) -> None:
        self._kind = kind

    def serve(self, spec: ServerSpec, *, root: os.PathLike[str], password: str, port: int = 0, **_: Any) -> FtpsServer:
        return self._kind(spec, root=root, password=password, port=port).start()


def lying(name: str, lie: Callable[[Any], Any], kind: type[FtpsServer] = Daemon) -> In:
    """A place whose daemons answer one question with a lie."""
    return lying_about({name: lie}, kind)


def lying_about(lies: dict[str, Callable[[Any], Any]], kind: type[FtpsServer] = Daemon) -> In:
    """Or several."""

    def liar(name: str, lie: Callable[[Any], Any]) -> Any:
        return lambda self, *arguments: lie(getattr(kind, name)(self, *arguments))

    return In(type("Lying", (kind,), {name: liar(name, lie) for name, lie in lies.items()}))


def forget(**fields: Callable[[Any], bool]) -> Callable[[Testimony], Testimony]:
    """Testimony without those for which this is true."""

    def lost(testimony: Testimony) -> Testimony:
        left: dict[str, Any] = {
            name: tuple(entry for entry in getattr(testimony, name) if not gone(entry)) for name, gone in fields.items()
        }
        return replace(testimony, **left)

    return lost


def alter(name: str, **values: Any) -> Callable[[Testimony], Testimony]:
    """Testimony with other values in all entries of a field."""

    def altered(testimony: Testimony) -> Testimony:
        other: dict[str, Any] = {name: tuple(replace(entry, **values) for entry in getattr(testimony, name))}
        return replace(testimony, **other)

    return altered


def on_the_tap(change: Callable[[WireRecord], WireRecord | None]) -> Callable[[Wire], Wire]:
    """Another account of each connection, or none."""
    return lambda wire: Wire(tuple(changed for record in wire.records if (changed := change(record)) is not None))


def everything(_: object) -> bool:
    return True


def in_tls(entry: Any) -> bool:
    return bool(entry.channel == "tls")


def is_data(entry: Any) -> bool:
    return bool(entry.kind == "data")


def verdict(result: ScenarioResult, step: int = 0) -> str:
    return result.steps[step].attempts[0].outcome.verdict


def contradictions(result: ScenarioResult, step: int = 0) -> str:
    return "\n".join(result.steps[step].attempts[0].outcome.contradictions)


lftp_and_servers = pytest.mark.usefixtures("nothing_left")


@lftp_and_servers
@pytest.mark.lftp
class TestDaemons:
    """With the real lftp."""

    @pytest.mark.parametrize("keys", ["", 'run = ["put"]', 'run = ["mirror"]', 'run = ["ls"]'])
    def test_without_sabotage_a_daemons_testimony_is_enough(self, play: Play, keys: str) -> None:
        result = play(play.step(ACCEPTED, keys=keys), place=In())
        assert result.status == "pass"
        assert result.steps[0].shown.testimony.sources == ("log", "files", "relay")

    @pytest.mark.parametrize(
        ("expect", "rc", "keys"),
        [
            (REJECTED, "", ""),
            (EXPOSED, "set ftp:ssl-allow no\n", ""),
            (EXPOSED, "set ssl:verify-certificate no\n", 'server = { certificate = "stranger", role = "impostor" }'),
            (LOGIN_FAILED, None, 'password = "wrong"'),
        ],
        ids=["rejected", "exposed", "exposed to an impostor", "login-failed"],
    )
    def test_nor_are_other_verdicts_out_of_reach(self, play: Play, expect: str, rc: str | None, keys: str) -> None:
        assert play(play.step(expect, rc=rc, keys=keys), place=In()).status == "pass"

    ANY_VERDICT = pytest.mark.parametrize(
        ("expect", "rc", "keys"),
        [
            (ACCEPTED, None, ""),
            (REJECTED, "", ""),
            (EXPOSED, "set ftp:ssl-allow no\n", ""),
            (EXPOSED, "set ssl:verify-certificate no\n", 'server = { certificate = "stranger", role = "impostor" }'),
            (LOGIN_FAILED, None, 'password = "wrong"'),
            ('verdict = "failed"', None, 'run = ["get no-such-file"]'),
        ],
        ids=["accepted", "rejected", "exposed to the wire", "exposed to an impostor", "login-failed", "failed"],
    )

    @ANY_VERDICT
    @pytest.mark.parametrize(
        ("name", "lie"),
        [
            ("testimony", lambda told: replace(told, discrepancies=("the log and the relay do not agree",))),
            ("settle", lambda _: False),
            (
                "testimony",
                lambda told: replace(told, role="genuine" if told.role == "impostor" else "impostor"),
            ),
        ],
        ids=["a discrepancy", "not settled", "another role"],
    )
    def test_no_verdict_passes_that_rests_on_a_worthless_account(
        self, play: Play, expect: str, rc: str | None, keys: str, name: str, lie: Callable[[Any], Any]
    ) -> None:
        result = play(play.step(expect, rc=rc, keys=keys), place=lying(name, lie), controls=False)
        (step,) = result.steps
        assert result.status in {"error", "fail"}
        assert step.attempts[0].outcome.contradictions
        assert verdict(result) in {"inconclusive", "exposed"}

    @pytest.mark.parametrize("keys", [ONLY_LIST, 'run = ["get"]', 'run = ["put"]', 'run = ["ls"]'])
    @pytest.mark.parametrize(
        "lie",
        [
            forget(credentials=everything),
            forget(credentials=everything, commands=lambda c: c.verb == "PASS"),
            forget(credentials=everything, commands=lambda c: c.verb in {"USER", "PASS"}),
            forget(credentials=everything, commands=in_tls),
            forget(transfers=everything),
            lambda told: alter("commands", reply=None)(replace(told, transfers=())),
            forget(handshakes=everything),
            forget(handshakes=lambda h: h.connection == 1),
            forget(handshakes=lambda h: h.connection > 1),
            forget(connections=is_data),
            alter("credentials", accepted=False, password=None),
            alter("transfers", completed=False),
            alter("transfers", certificate="AA:BB"),
        ],
        ids=[
            "the login",
            "PASS",
            "USER and PASS",
            "all in TLS",
            "the transfers",
            "the transfers and every reply",
            "the handshakes",
            "the control channel's handshake",
            "the data channel's handshake",
            "the data connections",
            "that the login was accepted",
            "that transfers were completed",
            "which certificate was shown",
        ],
    )
    def test_a_log_that_lost_something_accepts_nothing(
        self, play: Play, lie: Callable[[Testimony], Testimony], keys: str
    ) -> None:
        result = play(play.step(ACCEPTED, keys=keys), place=lying("testimony", lie), controls=False)
        assert result.status in {"error", "fail"}
        assert verdict(result) in {"inconclusive", "failed"}

    @pytest.mark.parametrize("keys", [ONLY_LIST, 'run = ["get"]', 'run = ["put"]'])
    def test_a_transfer_on_a_connection_that_log_and_relay_have_both_lost(self, play: Play, keys: str) -> None:
        """Both lists come from the relay, so they agree with each other."""
        lies: dict[str, Callable[[Any], Any]] = {
            "testimony": forget(connections=is_data),
            "wire": on_the_tap(lambda record: None if record.kind == "data" else record),
        }
        result = play(play.step(ACCEPTED, keys=keys), place=lying_about(lies), controls=False)
        assert (result.status, verdict(result)) == ("error", "inconclusive")
        assert "connections that it does not list" in contradictions(result)

    @pytest.mark.parametrize("keys", [ONLY_LIST, 'run = ["get"]', 'run = ["put"]'])
    def test_a_relay_with_fewer_bytes_than_the_log_speaks_of(self, play: Play, keys: str) -> None:
        def cut(record: WireRecord) -> WireRecord:
            return replace(record, to_server=record.to_server[:60], to_client=record.to_client[:60])

        result = play(play.step(ACCEPTED, keys=keys), place=lying("wire", on_the_tap(cut)), controls=False)
        assert (result.status, verdict(result)) == ("error", "inconclusive")
        assert "fewer bytes" in contradictions(result)

    def test_a_log_that_says_226_of_a_download_that_was_cut_short(self, play: Play) -> None:
        """The file below the root is whole, so its hash is right; the client alone holds less."""

        class Swallowing(LabData):
            def send(self, data: bytes) -> int:
                super().send(data[:-20])
                return len(data)

        class Short(Daemon):
            def record(self) -> None:
                super().record()
                self._ftpd.handler = type("Short", (self._ftpd.handler,), {"dtp_handler": Swallowing})

        result = play(play.step(ACCEPTED, keys='run = ["get"]'), place=In(Short), controls=False)
        assert result.status in {"error", "fail"}
        assert not result.steps[0].attempts[0].client.tasks[0].done

    @pytest.mark.parametrize("before", [0, 1])
    def test_a_log_that_says_226_of_an_upload_that_is_not_there(self, play: Play, before: int) -> None:
        """Nor is the same file of an earlier upload a proof."""

        class Losing(Daemon):
            """What is stored is as it was when this record began, from the second record of a step on."""

            records = -1 - before

            def record(self) -> None:
                super().record()
                Losing.records += 1
                self.kept = {path: path.read_bytes() for path in Path(self._root).glob("put-*")}

            def settle(self, timeout: float = 5.0) -> bool:
                settled = super().settle(timeout)
                if Losing.records > 0:
                    for path in Path(self._root).glob("put-*"):
                        path.unlink()
                    for path, data in self.kept.items():
                        path.write_bytes(data)
                return settled

        steps = [play.step(ACCEPTED, title=str(n), keys='run = ["put"]') for n in range(before + 1)]
        result = play(*steps, place=In(Losing), controls=False)
        assert [step.status for step in result.steps] == ["pass"] * before + ["fail"]
        assert verdict(result, before) == "failed"

    @pytest.mark.parametrize(
        "reply",
        [None, 331],
        ids=["lost", "not the last word"],
    )
    def test_a_login_of_which_nobody_knows_what_came_is_not_refused(self, play: Play, reply: int | None) -> None:
        """A PASS that has no reply in the log was neither accepted nor refused."""

        def lost(testimony: Testimony) -> Testimony:
            return replace(
                testimony,
                commands=tuple(replace(c, reply=reply) if c.verb == "PASS" else c for c in testimony.commands),
                credentials=tuple(replace(c, accepted=False, password=None) for c in testimony.credentials),
            )

        step = play.step(LOGIN_FAILED, keys='password = "wrong"')
        result = play(step, place=lying("testimony", lost), controls=False)
        assert (result.status, verdict(result)) == ("error", "inconclusive")

    STALE_STEPS = (
        (ACCEPTED, None, ""),
        (REJECTED, "", ONLY_LIST),
        (EXPOSED, "set ftp:ssl-allow no\n", ""),
        (LOGIN_FAILED, None, 'password = "wrong"'),
    )

    @pytest.mark.parametrize(
        ("expect", "rc", "keys"), STALE_STEPS, ids=["accepted", "rejected", "exposed", "login-failed"]
    )
    def test_the_testimony_of_an_earlier_run_agrees_with_nothing(
        self, play: Play, expect: str, rc: str | None, keys: str
    ) -> None:
        """The same step again, and a server that goes on about the first time: all it says would fit."""

        class Stale(Daemon):
            def record(self) -> None:
                if not self.recorder.connections or self.recorder.connections[0].kind == "data":
                    super().record()
                elif not hasattr(self, "told"):
                    super().record()
                    self.told = True

            def testimony(self) -> Testimony:
                self.first = getattr(self, "first", None) or self._of_a_run(super().testimony())
                return self.first or super().testimony()

            def wire(self) -> Wire:
                self.tapped = getattr(self, "tapped", None) or super().wire()
                return self.tapped

            @staticmethod
            def _of_a_run(testimony: Testimony) -> Testimony | None:
                return testimony if testimony.connections else None

        steps = [play.step(expect, rc=rc, keys=keys, title=title) for title in ("first", "again")]
        result = play(*steps, place=In(Stale), controls=False)
        assert [step.status for step in result.steps] == ["pass", "error"]
        assert "not this run's" in contradictions(result, 1)

    def test_a_fetched_certificate_of_another_server_becomes_no_pin(self, play: Play) -> None:
        """Else the genuine server is refused for a pin that was never its own."""

        class Elsewhere(In):
            def fetch(self, server: Server, protocol: Any) -> bytes:
                super().fetch(server, protocol)
                certificate = impostor_of(server.spec).certificate  # type: ignore[attr-defined]
                assert certificate is not None
                return certificate.pem

        step = play.step(REJECTED, keys=ONLY_LIST).replace("cert:genuine", "served")
        result = play(step, place=Elsewhere())
        assert (result.status, result.steps) == ("error", ())
        assert "not the one that it was declared to show" in result.why
        assert play(play.step(ACCEPTED).replace("cert:genuine", "served"), place=In()).status == "pass"


IMPOSTOR = (
    'server = { certificate = "stranger", data_certificate = "genuine", role = "impostor" }\n'
    'files = { "mycert.crt" = "cert:expired" }\n'
)
LET_IN = 'set ssl:ca-file "{lftp}/mycert.crt"\nset ssl:verify-certificate/{sha1:stranger} no\n'


@lftp_and_servers
@pytest.mark.lftp
class TestImpostors:
    """The worst case: lftp logs in to an impostor, and then refuses him on the data channel, for trust.

    The password is gone; who does not know it takes the refusal for a promise that was kept.
    """

    def step(self, play: Play, expect: str) -> str:
        step = play.step(expect, rc=LET_IN, keys=IMPOSTOR + ONLY_LIST + (NO_CONTROL if expect == REJECTED else ""))
        return step.replace('files = { "mycert.crt" = "cert:genuine" }\n', "", 1)

    def test_without_sabotage_the_password_is_known_to_be_gone(self, play: Play) -> None:
        result = play(self.step(play, EXPOSED + '\nexposed = ["password"]\nto = ["impostor"]'), place=In())
        assert result.status == "pass"
        assert result.steps[0].attempts[0].outcome.reasons == {"untrusted"}
        assert play(self.step(play, REJECTED), place=In()).status == "fail"

    @pytest.mark.parametrize(
        ("lie", "said"),
        [
            (alter("credentials", accepted=False, password=None), "cannot say whether it was the secret one"),
            (forget(credentials=everything), "as many passwords"),
            (forget(credentials=everything, commands=lambda c: c.verb == "PASS"), "whether it was told one"),
            (
                forget(credentials=everything, commands=lambda c: c.verb in {"USER", "PASS"}),
                "obeyed somebody whose login its testimony does not hold",
            ),
            (forget(credentials=everything, transfers=everything, commands=in_tls), "commands in TLS"),
            (
                forget(credentials=everything, transfers=everything, commands=lambda c: in_tls(c) and c.verb != "USER"),
                "whether it was told one",
            ),
        ],
        ids=["the end of the login", "the password", "PASS", "USER and PASS", "all in TLS", "all behind USER"],
    )
    def test_a_log_that_lost_the_login_refuses_nothing(
        self, play: Play, lie: Callable[[Testimony], Testimony], said: str
    ) -> None:
        result = play(self.step(play, REJECTED), place=lying("testimony", lie))
        assert (result.status, verdict(result)) == ("error", "inconclusive")
        assert said in contradictions(result)

    @pytest.mark.parametrize("version", ["1.2", "1.3"])
    def test_nor_with_the_data_connections_lost_by_log_and_relay(self, play: Play, version: str) -> None:
        """What is left looks like a handshake, and a refusal after it: only the length of it tells."""
        without = forget(
            credentials=everything,
            transfers=everything,
            commands=in_tls,
            connections=is_data,
            handshakes=lambda handshake: handshake.connection > 1,
        )
        wire = on_the_tap(lambda record: None if record.kind == "data" else record)
        place = lying_about({"testimony": without, "wire": wire})
        result = play(self.step(play, REJECTED), server=f'tls = ["{version}"]', place=place)
        assert (result.status, verdict(result)) == ("error", "inconclusive")
        assert contradictions(result).startswith("the wire tap holds commands in TLS")

    @pytest.mark.parametrize("expect", [EXPOSED, LOGIN_FAILED, REJECTED])
    def test_an_impostor_that_refuses_the_login_for_another_reason(self, play: Play, expect: str) -> None:
        """He was told a password, and nobody knows which: nothing is proved by that."""

        class OtherPassword(Daemon):
            def __init__(self, spec: ServerSpec, **keywords: Any) -> None:
                super().__init__(spec, **{**keywords, "password": "not this one"})

        keys = 'server = { certificate = "stranger", role = "impostor" }' + (NO_CONTROL if expect == REJECTED else "")
        step = play.step(expect, rc="set ssl:verify-certificate no\n", keys=keys)
        result = play(step, place=In(OtherPassword), controls=False)
        assert (result.status, verdict(result)) == ("error", "inconclusive")
        assert "cannot say whether it was the secret one" in contradictions(result)

    def test_such_an_impostor_is_no_control(self, play: Play) -> None:
        """Neither of one who is refused nor of one who is let in."""

        class LosesPasswords(Daemon):
            def change(self, spec: ServerSpec) -> None:
                super().change(spec)
                self._ftpd.handler.authorizer._password = "x" if spec.role == "impostor" else self._password

        steps = play.step(ACCEPTED, rc="set ssl:verify-certificate no\n", keys='control = "impostor-accepted"')
        assert play(steps, place=In()).status == "pass"
        result = play(steps, place=In(LosesPasswords))
        (step,) = result.steps
        assert step.control is not None
        assert (result.status, step.control.attempt.outcome.verdict) == ("error", "inconclusive")


DISCREPANT = Testimony("genuine", discrepancies=("the log and the relay do not agree",))
CLIENT = ClientAccount(0, None, False, (), (), (Task("list", None, False),))
EXPECTABLE: tuple[ExpectedVerdict, ...] = (
    "accepted",
    "rejected",
    "exposed",
    "login-failed",
    "failed",
    "unreachable",
    "hung",
    "crashed",
)


class TestVerdicts:
    """Without a client: what came before `inconclusive` is no way round it."""

    @pytest.mark.parametrize("expected", EXPECTABLE)
    @pytest.mark.parametrize(
        "client",
        [
            CLIENT,
            replace(CLIENT, timed_out=True, exit_code=None),
            replace(CLIENT, signal=11, exit_code=None),
            replace(CLIENT, tasks=(Task("list", True, True),)),
        ],
        ids=["does nothing", "hangs", "dies", "does it all"],
    )
    @pytest.mark.parametrize("leak", [False, True])
    def test_with_a_discrepancy_no_verdict_passes(
        self, client: ClientAccount, expected: ExpectedVerdict, leak: bool
    ) -> None:
        wire = WireAccount((), leak, False)
        outcome = conclude(Situation("secret", "AA", settled=True), client, DISCREPANT, wire)
        assert judge(outcome, Expect(verdict=expected), "").status in {"error", "fail"}
        sometimes = Expect(verdict=expected, how_often="sometimes", otherwise=("hung", "crashed", "exposed", "failed"))
        assert judge_repeated([(outcome, "")] * 2, sometimes).status in {"error", "fail"}

    def test_a_client_that_hangs_where_all_agree_is_a_fact(self) -> None:
        hung = conclude(
            Situation("secret", "AA", settled=True),
            replace(CLIENT, timed_out=True, exit_code=None),
            Testimony("genuine"),
            WireAccount((), False, False),
        )
        assert judge(hung, Expect(verdict="hung"), "").status == "pass"


class Container:
    """A client's container that answers as told, and leaves what it is told to leave."""

    def __init__(self, folder: Path, answers: Sequence[str], streams: Sequence[str] = ("out", "err")) -> None:
        self._folder = folder
        self._answers = [answer.encode() + b"\n" for answer in answers]
        self._streams = streams
        self._orders = 0

    def send(self, line: bytes) -> None:
        assert line.startswith(b"sh ")
        self._orders += 1
        for stream in self._streams:
            (self._folder / f"{self._orders}.{stream}").write_text(f"{stream} of {self._orders}")

    def receive(self, timeout: float) -> bytes:
        if not self._answers:
            raise EOFError
        return self._answers.pop(0)

    def last_words(self) -> str:
        return ""

    def close(self) -> None:
        """Nothing to end."""


def order(shell: Shell, folder: Path) -> process.Finished:
    return shell(["lftp"], env={}, cwd=folder, timeout=1)


class TestShell:
    def test_without_sabotage(self, tmp_path: Path) -> None:
        shell = Shell(Container(tmp_path, ["1 0", "2 139"]), tmp_path)
        done = [order(shell, tmp_path) for _ in range(2)]
        assert [(each.exit_code, each.signal, each.stdout, each.stderr) for each in done] == [
            (0, None, b"out of 1", b"err of 1"),
            (None, 11, b"out of 2", b"err of 2"),
        ]

    def test_answers_that_are_off_by_one_stay_errors(self, tmp_path: Path) -> None:
        """The late answer of an order that was given up is never the next one's."""
        shell = Shell(Container(tmp_path, ["0 0", "1 0", "2 0"]), tmp_path)
        for number in range(1, 4):
            with pytest.raises(HarnessError, match=f"to order {number}"):
                order(shell, tmp_path)

    @pytest.mark.parametrize("answer", ["1", "1 ", "1 zero", "1 -1", "1 0 0", "1 256", "1 ²", "", "10 0", "late"])
    def test_an_answer_without_a_code_is_an_error(self, tmp_path: Path, answer: str) -> None:
        with pytest.raises(HarnessError, match="to order 1"):
            order(Shell(Container(tmp_path, [answer]), tmp_path), tmp_path)

    @pytest.mark.parametrize("streams", [(), ("out",), ("err",)])
    def test_a_stream_that_is_missing_is_an_error(self, tmp_path: Path, streams: tuple[str, ...]) -> None:
        """No standard error would be no refusal."""
        with pytest.raises(HarnessError, match=r"lftp left no 1\.(out|err)"):
            order(Shell(Container(tmp_path, ["1 0"], streams), tmp_path), tmp_path)

    def test_the_streams_of_the_run_before_are_not_taken_for_this_ones(self, tmp_path: Path) -> None:
        for name in ("1.out", "1.err"):
            (tmp_path / name).write_text("of another shell in the same folder")
        with pytest.raises(HarnessError, match=r"lftp left no 1\.out"):
            order(Shell(Container(tmp_path, ["1 0"], ()), tmp_path), tmp_path)


@lftp_and_servers
@pytest.mark.lftp
class TestStarters:
    """What starts lftp mixes up two runs, or loses what it leaves."""

    def confused(self, client: Lftp, *names: str) -> Lftp:
        """Its streams are those of the run before."""
        before: list[process.Finished] = []

        def start(argv: Sequence[str], **keywords: Any) -> process.Finished:
            before.append(process.run(argv, **keywords))
            return replace(before[-1], **{name: getattr(before[-2:][0], name) for name in names})

        return replace(client, start=start)

    @pytest.mark.parametrize(
        "names", [("stderr",), ("stdout",), ("stdout", "stderr"), ("stdout", "stderr", "exit_code")]
    )
    @pytest.mark.parametrize("second", [REJECTED, ACCEPTED])
    def test_streams_of_the_run_before(self, play: Play, client: Lftp, names: tuple[str, ...], second: str) -> None:
        """Refused and then let in, or the other way round: neither is what the other one said."""
        rcs = ("", None) if second == ACCEPTED else (None, "")
        first = REJECTED if second == ACCEPTED else ACCEPTED
        for expected in (first, second):  # what it really is, and what the streams say
            steps = [
                play.step(first, rc=rcs[0], title="one"),
                play.step(expected, rc=rcs[1], title="two", keys=NO_CONTROL if expected == REJECTED else ""),
            ]
            result = play(*steps, client=self.confused(client, *names), controls=False)
            truth = expected == second
            assert result.steps[0].status == "pass"
            assert result.steps[1].status in ({"pass", "error", "fail"} if truth else {"error", "fail"})

    @pytest.mark.parametrize(("expect", "rc"), [(ACCEPTED, None), (REJECTED, "")])
    def test_a_debug_log_that_never_arrives(self, play: Play, client: Lftp, expect: str, rc: str | None) -> None:
        """The container's folder is not ours: what lftp wrote there, nobody sees."""

        def start(argv: Sequence[str], **keywords: Any) -> process.Finished:
            moved = [
                part.replace("command debug -p -o ", "command debug -p -o /dev/null; command echo ") for part in argv
            ]
            return process.run(moved, **keywords)

        result = play(play.step(expect, rc=rc), client=replace(client, start=start), controls=False)
        assert (result.status, verdict(result)) == ("error", "inconclusive")
        assert "no debug log" in contradictions(result)


DONE, LEAK = Outcome("accepted"), Outcome("exposed", exposed=frozenset({"password"}), to=frozenset({"wire"}))
OLD = Lftp(Path("/usr/bin/lftp"), "4.8.4", "GnuTLS 3.7.1", "classic")


def step_of(title: str, *outcomes: Outcome, status: str = "pass") -> Any:
    """As much of a step's result as a baseline looks at."""
    return SimpleNamespace(
        title=title,
        status=status,
        expect=SimpleNamespace(how_often="always"),
        attempts=[SimpleNamespace(outcome=outcome) for outcome in outcomes],
    )


def result_of(*steps: Any, status: str = "pass", why: str = "", titles: tuple[str, ...] = ()) -> Any:
    scenario = SimpleNamespace(id="a/x", steps=[SimpleNamespace(title=t) for t in titles or [s.title for s in steps]])
    return SimpleNamespace(scenario=scenario, status=status, steps=steps, why=why)


def pair_of(*results: Any, build: str = "bullseye", lftp: Lftp | None = OLD) -> PairResult:
    return PairResult(build, "lab", lftp, results, 1.0)


def run_of(*pairs: PairResult, interrupted: bool = False, **more: Any) -> MatrixRun:
    return MatrixRun(pairs, interrupted, 1.0, **more)


PASS, FAIL = result_of(step_of("s", DONE)), result_of(step_of("s", LEAK, status="fail"), status="fail")
SKIP, ERROR = result_of(status="skip", why="w", titles=("s",)), result_of(status="error", why="w", titles=("s",))


def written(*pairs: PairResult) -> Baseline:
    return baseline.updated(Baseline(Path("bullseye.json")), pairs)


class TestBaselines:
    def drifted(self, known: Baseline, now: PairResult) -> list[str]:
        return [each.direction for each in baseline.drift(known, now)]

    def test_without_sabotage_nothing_drifts(self) -> None:
        assert self.drifted(written(pair_of(PASS)), pair_of(PASS)) == []

    def test_a_step_that_is_renamed_is_both_missing_and_new(self) -> None:
        renamed = pair_of(result_of(step_of("t", DONE)))
        assert self.drifted(written(pair_of(PASS)), renamed) == ["missing", "new"]

    def test_a_file_that_was_deleted_makes_every_answer_new(self, tmp_path: Path) -> None:
        now = pair_of(PASS)
        drifts = list(baseline.drift(baseline.read(tmp_path, "bullseye"), now))
        assert [each.direction for each in drifts] == ["new"]
        assert exit_code(run_of(now), drifts) == 1

    @pytest.mark.parametrize("now", [SKIP, ERROR])
    def test_what_is_not_carried_out_today_is_missing(self, now: Any) -> None:
        assert self.drifted(written(pair_of(PASS)), pair_of(now)) == ["missing"]

    def test_what_is_not_as_expected_stays_so_when_it_is_written_down(self) -> None:
        """It says so in the file, and the run after it fails as it did before, though nothing drifts."""
        known = written(pair_of(FAIL))
        (answer,) = known.scenarios["a/x"]["s"]
        assert answer.startswith(UNEXPECTED)
        drifts = list(baseline.drift(known, pair_of(FAIL)))
        assert (drifts, exit_code(run_of(pair_of(FAIL)), drifts)) == ([], 1)
        assert self.drifted(known, pair_of(PASS)) == ["better"]

    def test_a_cell_that_broke_is_not_written_down(self) -> None:
        assert written(pair_of(ERROR)).scenarios == {}

    @pytest.mark.parametrize(
        ("now", "told"),
        [
            (replace(OLD, version="4.9.2"), "lftp 4.9.2, dialect classic"),
            (replace(OLD, dialect="status"), "lftp 4.8.4, dialect status"),
        ],
    )
    def test_an_image_that_holds_another_build_than_its_name_says(self, now: Lftp, told: str) -> None:
        """Where both give the same answers, nothing else would tell."""
        (drift,) = baseline.drift(written(pair_of(PASS)), pair_of(PASS, lftp=now))
        assert (drift.direction, drift.scenario, drift.now) == ("other", baseline.LFTP, (told,))
        assert drift.was == ("lftp 4.8.4, dialect classic",)

    def test_a_newer_tls_library_and_a_pair_that_never_opened_are_no_other_build(self) -> None:
        newer = pair_of(PASS, lftp=replace(OLD, tls="GnuTLS 3.7.9"))
        assert self.drifted(written(pair_of(PASS)), newer) == []
        assert self.drifted(written(pair_of(PASS)), pair_of(ERROR, lftp=None)) == ["missing"]
        assert self.drifted(written(pair_of(PASS)), pair_of(lftp=replace(OLD, version="9"))) == []


DRIFT: Any = object()


@pytest.mark.parametrize(
    ("run", "drifts", "code"),
    [
        (run_of(pair_of(PASS)), (), 0),
        (run_of(pair_of(PASS, SKIP)), (), 0),
        (run_of(pair_of(PASS), left_out=(("openssl", "no source"),)), (), 0),
        (run_of(pair_of(PASS)), (DRIFT,), 1),
        (run_of(pair_of(FAIL)), (), 1),
        (run_of(pair_of(PASS), pair_of(PASS, FAIL, SKIP)), (), 1),
        (run_of(), (), 3),
        (run_of(left_out=(("openssl", "no source"),)), (), 3),
        (run_of(pair_of()), (), 3),
        (run_of(pair_of(PASS), pair_of()), (), 3),
        (run_of(pair_of(SKIP)), (), 3),
        (run_of(pair_of(PASS), pair_of(SKIP, SKIP)), (), 3),
        (run_of(pair_of(PASS), pair_of(SKIP)), (DRIFT,), 3),
        (run_of(pair_of(PASS, ERROR)), (), 3),
        (run_of(pair_of(FAIL, ERROR)), (DRIFT,), 3),
        (run_of(pair_of(FAIL), pair_of(PASS, ERROR)), (DRIFT,), 3),
        (run_of(pair_of(ERROR), interrupted=True), (), 130),
        (run_of(pair_of(PASS), interrupted=True), (DRIFT,), 130),
        (run_of(interrupted=True), (), 130),
    ],
)
def test_the_exit_code_of_every_mix(run: MatrixRun, drifts: tuple[Any, ...], code: int) -> None:
    """130 before 3 before 1; and 0 only where every pair has played something, and nothing is otherwise."""
    assert exit_code(run, drifts) == code
