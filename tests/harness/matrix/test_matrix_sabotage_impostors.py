"""The matrix: lftp logs in to an impostor and a daemon's testimony has lost the login; nothing passes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.harness.play.sabotage import (
    ACCEPTED,
    EXPOSED,
    LOGIN_FAILED,
    NO_CONTROL,
    ONLY_LIST,
    REJECTED,
    Daemon,
    PlaceWith,
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

from ftps_lab.server.handlers import Doorman
from ftps_lab.servers import FtpsServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.harness.conftest import Play

    from ftps_lab.interface import ServerSpec
    from ftps_lab.testimony import Testimony

pytestmark = pytest.mark.long

IMPOSTOR = (
    'server = { certificate = "stranger", data_certificate = "genuine", role = "impostor" }\n'
    'files = { "mycert.crt" = "cert:expired" }\n'
)
LET_IN = 'set ssl:ca-file "{lftp}/mycert.crt"\nset ssl:verify-certificate/{sha1:stranger} no\n'


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.lftp
class TestLoginToAnImpostor:
    """The worst case: lftp logs in to an impostor and then refuses its data channel because of trust.

    The password is lost; without evidence of that, the refusal looks like a kept promise.
    """

    def step(self, play: Play, expect: str) -> str:
        step = play.step(expect, rc=LET_IN, keys=IMPOSTOR + ONLY_LIST + (NO_CONTROL if expect == REJECTED else ""))
        return step.replace('files = { "mycert.crt" = "cert:genuine" }\n', "", 1)

    def test_intact_testimony_shows_the_exposed_password(self, play: Play) -> None:
        result = play(self.step(play, EXPOSED + '\nexposed = ["password"]\nto = ["impostor"]'), place=PlaceWith(Daemon))
        assert result.status == "pass"
        assert result.steps[0].attempts[0].outcome.reasons == {"untrusted"}
        assert play(self.step(play, REJECTED), place=PlaceWith(Daemon)).status == "fail"

    @pytest.mark.parametrize(
        ("lie", "said"),
        [
            (alter("credentials", accepted=False, password=None), "does not say whether it was the secret one"),
            (forget(credentials=everything), "unequal numbers of passwords"),
            (forget(credentials=everything, commands=lambda c: c.verb == "PASS"), "lftp sent a password"),
            (
                forget(credentials=everything, commands=lambda c: c.verb in {"USER", "PASS"}),
                "obeyed a client whose login is not in its testimony",
            ),
            (forget(credentials=everything, transfers=everything, commands=in_tls), "commands in TLS"),
            (
                forget(credentials=everything, transfers=everything, commands=lambda c: in_tls(c) and c.verb != "USER"),
                "lftp sent a password",
            ),
        ],
        ids=["the end of the login", "the password", "PASS", "USER and PASS", "all in TLS", "everything after USER"],
    )
    def test_log_without_the_login_supports_no_refusal(
        self, play: Play, lie: Callable[[Testimony], Testimony], said: str
    ) -> None:
        result = play(self.step(play, REJECTED), place=falsified("testimony", lie, Daemon))
        assert (result.status, verdict(result)) == ("error", "inconclusive")
        assert said in contradictions(result)

    @pytest.mark.parametrize("kind", [FtpsServer, Daemon])
    @pytest.mark.parametrize("before", ["", "debug off", "debug 3", "set log:show-time/debug yes"])
    def test_password_sent_before_the_refusal_is_exposed(self, play: Play, kind: type[FtpsServer], before: str) -> None:
        """lftp sends the password before it refuses (`attack/sync-mode-off`); a record without it hides no exposure.

        Neither does silencing lftp's log.
        """
        keys = f'server = {{ certificate = "stranger", role = "impostor" }}\nrun = ["{before}; ls"]'
        rc = "set ftp:ssl-force yes\nset ftp:sync-mode off\nset ftp:skey-allow no\n"
        step = play.step(REJECTED, rc=rc, keys=keys)
        seen = play(step, place=PlaceWith(kind), controls=False)
        assert (seen.status, verdict(seen)) == ("fail", "exposed"), contradictions(seen)
        lost = forget(credentials=everything, commands=lambda command: command.verb == "PASS")
        result = play(step, place=falsified("testimony", lost, kind), controls=False)
        assert (result.status, verdict(result)) == ("error", "inconclusive")
        assert before or "lftp sent a password" in contradictions(result)

    @pytest.mark.parametrize("version", ["1.2", "1.3"])
    def test_log_and_relay_without_the_data_connections_are_inconclusive(self, play: Play, version: str) -> None:
        """The rest looks like a refusal after the handshake; only the length of the control channel differs."""
        without = forget(
            credentials=everything,
            transfers=everything,
            commands=in_tls,
            connections=is_data,
            handshakes=lambda handshake: handshake.connection > 1,
        )
        wire = change_records(lambda record: None if record.kind == "data" else record)
        place = falsified_all({"testimony": without, "wire": wire}, Daemon)
        result = play(self.step(play, REJECTED), server=f'tls = ["{version}"]', place=place)
        assert (result.status, verdict(result)) == ("error", "inconclusive")
        assert contradictions(result).startswith("the wire tap has commands in TLS")

    @pytest.mark.parametrize("expect", [EXPOSED, LOGIN_FAILED, REJECTED])
    def test_impostor_with_another_password_is_inconclusive(self, play: Play, expect: str) -> None:
        """The impostor got a password, but it is unknown which one: this proves nothing."""

        class OtherPassword(Daemon):
            def __init__(self, spec: ServerSpec, **keywords: Any) -> None:
                super().__init__(spec, **{**keywords, "password": "not this one"})

        keys = 'server = { certificate = "stranger", role = "impostor" }' + (NO_CONTROL if expect == REJECTED else "")
        step = play.step(expect, rc="set ssl:verify-certificate no\n", keys=keys)
        result = play(step, place=PlaceWith(OtherPassword), controls=False)
        assert (result.status, verdict(result)) == ("error", "inconclusive")
        assert "does not say whether it was the secret one" in contradictions(result)

    def test_impostor_with_another_password_is_not_a_control(self, play: Play) -> None:
        """An impostor whose password is lost proves neither a refusal nor an acceptance."""

        class LosesPasswords(Daemon):
            def change(self, spec: ServerSpec) -> None:
                super().change(spec)
                if spec.role == "impostor":
                    self.override(authorizer=Doorman(self.handler.authorizer.get_home_dir(""), "x"))

        steps = play.step(ACCEPTED, rc="set ssl:verify-certificate no\n", keys='control = "impostor-accepted"')
        assert play(steps, place=PlaceWith(Daemon)).status == "pass"
        result = play(steps, place=PlaceWith(LosesPasswords))
        (step,) = result.steps
        assert step.control is not None
        assert (result.status, step.control.attempt.outcome.verdict) == ("error", "inconclusive")
