"""The matrix: each thing that a daemon's testimony rests on is broken in turn, and nothing passes.

A daemon's testimony comes from its log, the files below its root and a relay; each of them can lose something. Here a
server of the lab replaces the daemon and reports only what a daemon could: no refused password, no hash of a listing.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.harness.play.sabotage import (
    ACCEPTED,
    EXPOSED,
    LOGIN_FAILED,
    ONLY_LIST,
    REJECTED,
    Daemon,
    PlaceWith,
    TruncatingData,
    alter,
    change_records,
    contradictions,
    everything,
    falsified,
    falsified_all,
    forget,
    in_tls,
    is_data,
    verdict,
)

from ftps_harness.play.material import impostor_of
from ftps_harness.scenario import Expect
from ftps_harness.verdict.judgement import Seen, judge, judge_repeated
from ftps_harness.verdict.needles import Passwords
from ftps_harness.verdict.observations import ClientAccount, Situation, Task, WireAccount
from ftps_harness.verdict.outcome import conclude
from ftps_lab.testimony import Testimony, Wire, WireRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.harness.conftest import Play

    from ftps_harness.scenario.tables import ExpectedVerdict
    from ftps_lab.interface import Server

pytestmark = pytest.mark.long


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.lftp
class TestDamagedDaemonEvidence:
    """Daemons with missing or false evidence, with the real lftp."""

    @pytest.mark.parametrize("keys", ["", 'run = ["put"]', 'run = ["mirror"]', 'run = ["ls"]'])
    def test_intact_daemon_testimony_passes(self, play: Play, keys: str) -> None:
        result = play(play.step(ACCEPTED, keys=keys), place=PlaceWith(Daemon))
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
    def test_intact_daemon_testimony_supports_other_verdicts(
        self, play: Play, expect: str, rc: str | None, keys: str
    ) -> None:
        assert play(play.step(expect, rc=rc, keys=keys), place=PlaceWith(Daemon)).status == "pass"

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
    def test_untrustworthy_testimony_supports_no_verdict(
        self, play: Play, expect: str, rc: str | None, keys: str, name: str, lie: Callable[[Any], Any]
    ) -> None:
        result = play(play.step(expect, rc=rc, keys=keys), place=falsified(name, lie, Daemon), controls=False)
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
    def test_incomplete_log_supports_no_acceptance(
        self, play: Play, lie: Callable[[Testimony], Testimony], keys: str
    ) -> None:
        result = play(play.step(ACCEPTED, keys=keys), place=falsified("testimony", lie, Daemon), controls=False)
        assert result.status in {"error", "fail"}
        assert verdict(result) in {"inconclusive", "failed"}

    @pytest.mark.parametrize("keys", [ONLY_LIST, 'run = ["get"]', 'run = ["put"]'])
    def test_transfer_on_an_unlisted_connection_is_inconclusive(self, play: Play, keys: str) -> None:
        """Both lists come from the relay, so they agree."""
        lies: dict[str, Callable[[Any], Any]] = {
            "testimony": forget(connections=is_data),
            "wire": change_records(lambda record: None if record.kind == "data" else record),
        }
        result = play(play.step(ACCEPTED, keys=keys), place=falsified_all(lies, Daemon), controls=False)
        assert (result.status, verdict(result)) == ("error", "inconclusive")
        assert "connections that it does not list" in contradictions(result)

    @pytest.mark.parametrize("keys", [ONLY_LIST, 'run = ["get"]', 'run = ["put"]'])
    def test_relay_with_fewer_bytes_than_the_log_is_inconclusive(self, play: Play, keys: str) -> None:
        def cut(record: WireRecord) -> WireRecord:
            return replace(record, to_server=record.to_server[:60], to_client=record.to_client[:60])

        result = play(
            play.step(ACCEPTED, keys=keys), place=falsified("wire", change_records(cut), Daemon), controls=False
        )
        assert (result.status, verdict(result)) == ("error", "inconclusive")
        assert "fewer bytes" in contradictions(result)

    def test_truncated_download_with_226_in_the_log_does_not_pass(self, play: Play) -> None:
        """The file below the root is complete, so its hash is right; only the client has less."""

        class Short(Daemon):
            def record(self) -> None:
                super().record()
                self.override(dtp_handler=TruncatingData)

        result = play(play.step(ACCEPTED, keys='run = ["get"]'), place=PlaceWith(Short), controls=False)
        assert result.status in {"error", "fail"}
        assert not result.steps[0].attempts[0].client.tasks[0].done

    @pytest.mark.parametrize("before", [0, 1])
    def test_lost_upload_with_226_in_the_log_is_inconclusive(self, play: Play, before: int) -> None:
        """The same file from an earlier upload does not count either."""

        class Losing(Daemon):
            """From a step's second record on, the stored files are reset to their state at the start of the record."""

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
        result = play(*steps, place=PlaceWith(Losing), controls=False)
        assert [step.status for step in result.steps] == ["pass"] * before + ["error"]
        assert verdict(result, before) == "inconclusive"

    @pytest.mark.parametrize(
        "reply",
        [None, 331],
        ids=["lost", "intermediate"],
    )
    def test_login_without_a_final_reply_is_inconclusive(self, play: Play, reply: int | None) -> None:
        """A PASS without a reply in the log was neither accepted nor refused."""

        def lost(testimony: Testimony) -> Testimony:
            return replace(
                testimony,
                commands=tuple(replace(c, reply=reply) if c.verb == "PASS" else c for c in testimony.commands),
                credentials=tuple(replace(c, accepted=False, password=None) for c in testimony.credentials),
            )

        step = play.step(LOGIN_FAILED, keys='password = "wrong"')
        result = play(step, place=falsified("testimony", lost, Daemon), controls=False)
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
    def test_testimony_of_an_earlier_run_is_detected(self, play: Play, expect: str, rc: str | None, keys: str) -> None:
        """The step is repeated, and the server still reports the first run, which would match in every detail."""

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
        result = play(*steps, place=PlaceWith(Stale), controls=False)
        assert [step.status for step in result.steps] == ["pass", "error"]
        assert "does not belong to this run" in contradictions(result, 1)

    def test_fetched_certificate_of_another_server_is_not_pinned(self, play: Play) -> None:
        """If it were pinned, the genuine server would be refused because of it."""

        class Elsewhere(PlaceWith):
            def fetch(self, server: Server, protocol: Any) -> bytes:
                super().fetch(server, protocol)
                certificate = impostor_of(server.spec).certificate  # type: ignore[attr-defined]
                assert certificate is not None
                return certificate.pem

        step = play.step(REJECTED, keys=ONLY_LIST).replace("cert:genuine", "served")
        result = play(step, place=Elsewhere(Daemon))
        assert (result.status, result.steps) == ("error", ())
        assert "is not the declared one" in result.why
        assert play(play.step(ACCEPTED).replace("cert:genuine", "served"), place=PlaceWith(Daemon)).status == "pass"


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


class TestDiscrepancies:
    """Verdicts without a client: no other verdict may take precedence over `inconclusive`."""

    @pytest.mark.parametrize("expected", EXPECTABLE)
    @pytest.mark.parametrize(
        "client",
        [
            CLIENT,
            replace(CLIENT, timed_out=True, exit_code=None),
            replace(CLIENT, signal=11, exit_code=None),
            replace(CLIENT, tasks=(Task("list", True, True),)),
        ],
        ids=["does nothing", "hangs", "crashes", "completes everything"],
    )
    @pytest.mark.parametrize("leak", [False, True])
    def test_discrepancy_supports_no_verdict(
        self, client: ClientAccount, expected: ExpectedVerdict, leak: bool
    ) -> None:
        wire = WireAccount((), leak, False)
        outcome = conclude(Situation(Passwords.of(["secret"]), "AA", settled=True), client, DISCREPANT, wire)
        assert judge(outcome, Expect(verdict=expected), "").status in {"error", "fail"}
        sometimes = Expect(verdict=expected, how_often="sometimes", otherwise=("hung", "crashed", "exposed", "failed"))
        assert judge_repeated([Seen(outcome, "")] * 2, sometimes).status in {"error", "fail"}

    def test_hung_client_without_a_discrepancy_is_hung(self) -> None:
        hung = conclude(
            Situation(Passwords.of(["secret"]), "AA", settled=True),
            replace(CLIENT, timed_out=True, exit_code=None),
            Testimony("genuine"),
            WireAccount((), False, False),
        )
        assert judge(hung, Expect(verdict="hung"), "").status == "pass"
