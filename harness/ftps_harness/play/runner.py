"""The pipeline: a scenario's certificates and servers, real lftp in a sealed HOME, three witnesses, a verdict.

One step is one `Attempt` (or several, with `repeat`) and at most one control. Whatever breaks in the lab itself is an
exception and becomes status ``error``, never a verdict.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Literal, Self

from ftps_harness.client import lftp
from ftps_harness.errors import HarnessError, sentence
from ftps_harness.play import controls
from ftps_harness.play.attempt import Attempt, Request
from ftps_harness.play.login import right_password
from ftps_harness.play.material import Material, impostor_of
from ftps_harness.play.places.loopback import Loopback
from ftps_harness.play.session import Session
from ftps_harness.scenario import expectation, placeholders, substitute
from ftps_harness.scenario.files import destination
from ftps_harness.verdict.judgement import UNPROVEN, Judgement, Status, counted, judge_repeated, occurs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.play.controls import Control, Setting
    from ftps_harness.play.login import Login
    from ftps_harness.play.places.choice import Places
    from ftps_harness.play.places.loopback import Place
    from ftps_harness.sandbox.home import Home
    from ftps_harness.scenario import Expect, Scenario, Step
    from ftps_lab.certificates import Certificate
    from ftps_lab.interface import ServerSpec


@dataclass(frozen=True, slots=True)
class Options:
    """How to run scenarios.

    Attributes:
        timeout: Time limit for one lftp, in seconds.
        controls: Run each step's control.
        log: Make lftp write its debug log, the third place where it reports a refusal.
        keep: Called with each attempt, to keep its evidence.
    """

    timeout: float = 30.0
    controls: bool = True
    log: bool = True
    keep: Callable[[Scenario, int, str, Attempt], None] | None = None


@dataclass(frozen=True, slots=True)
class ControlResult:
    """The result of a control."""

    kind: str
    attempt: Attempt
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class StepResult:
    """One step, judged.

    Attributes:
        genuine: The genuine server's certificate: that of this step's server, or, if that is an impostor, of the
            nearest earlier step, else later step, with a genuine server. None if no step has one.
    """

    title: str
    expect: Expect
    attempts: tuple[Attempt, ...]
    judgement: Judgement
    control: ControlResult | None
    seconds: float
    genuine: Certificate | None = None

    @property
    def status(self) -> Status:
        """The worse of the step's own status and its control's."""
        return worst([self.judgement.status, *([self.control.judgement.status] if self.control else [])])

    @property
    def why(self) -> tuple[str, ...]:
        """Every deviation from the expectation, a sentence each: of the step itself, then of its control."""
        return (*self.judgement.why, *(self.control.judgement.why if self.control else ()))

    @property
    def shown(self) -> Attempt:
        """The attempt to show: the first that is not as expected, else the first."""
        strange = (a for a in self.attempts if a.outcome.verdict != self.expect.verdict)
        return next(strange, self.attempts[0]) if self.status != "pass" else self.attempts[0]

    @property
    def counts(self) -> dict[str, int]:
        """How often each verdict occurred."""
        return counted([attempt.outcome for attempt in self.attempts])


@dataclass(frozen=True, slots=True)
class ScenarioResult:
    """One scenario, judged; `why` says why it was skipped, or what broke."""

    scenario: Scenario
    status: Literal["pass", "fail", "error", "skip"]
    steps: tuple[StepResult, ...] = ()
    why: str = ""
    seconds: float = field(default=0.0)


class _Skipped(Exception):  # noqa: N818 - not an error
    """This place cannot run the scenario; the message says why."""


def run_scenario(scenario: Scenario, client: Lftp, options: Options, place: Place | None = None) -> ScenarioResult:
    """Run one scenario. Any exception, even a bug, becomes status ``error`` of this scenario and affects no other."""
    began = time.monotonic()
    steps: list[StepResult] = []
    try:
        with _Stage(scenario, client, options, place or Loopback()) as stage:
            for index, step in enumerate(scenario.steps):
                steps.append(stage.play(index, step))
    except _Skipped as why:
        return ScenarioResult(scenario, "skip", why=str(why))
    except Exception as error:  # noqa: BLE001 - any failure affects this scenario alone
        return ScenarioResult(scenario, "error", tuple(steps), sentence(error), time.monotonic() - began)
    return ScenarioResult(
        scenario, worst(step.status for step in steps), tuple(steps), seconds=time.monotonic() - began
    )


class _Broken(Exception):  # noqa: N818 - it carries a result
    """Something broke in a place, so it is not lent again."""


def _require_whole(result: ScenarioResult) -> None:
    if result.status == "error":
        raise _Broken


def run_in(places: Places, scenario: Scenario, client: Lftp, options: Options) -> ScenarioResult:
    """Run one scenario in its own place. Any failure, even of the place, is an error of this scenario alone."""
    began = time.monotonic()
    result = None
    try:
        with places.lend() as place:
            result = run_scenario(scenario, client, options, place)
            _require_whole(result)
    except Exception as error:  # noqa: BLE001 - as in `run_scenario`
        return result or ScenarioResult(scenario, "error", why=sentence(error), seconds=time.monotonic() - began)
    return result


def worst(statuses: Iterable[str]) -> Status:
    """Combine several statuses into the worst: an error proves nothing, so it outranks a failure."""
    found = set(statuses)
    return "error" if "error" in found else "fail" if "fail" in found else "pass"


class _Stage:
    """Everything that one scenario needs while it runs; a context manager that ends it all."""

    def __init__(self, scenario: Scenario, client: Lftp, options: Options, place: Place) -> None:
        self._scenario = scenario
        self._client = client
        self._options = options
        self._place = place
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._check_clock()
        self._check_locales()
        self._material = Material(self._scenario)
        self._check_place()
        users = [step.user for step in self._scenario.steps if step.user]
        with ExitStack() as stack:
            self._session = stack.enter_context(Session(self._place, self._client, users=users))
            self._rc: str | None = None
            self._files: dict[tuple[str, str], tuple[Step, str, Callable[[], bytes]]] = {}
            first = self._scenario.steps[0]
            self._session.serve(self._spec_of(first, self._expect(first)), host=first.host)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _check_clock(self) -> None:
        if any(step.clock is not None for step in self._scenario.steps) and (why := lftp.why_no_clock(self._client)):
            raise _Skipped(why)

    def _check_locales(self) -> None:
        for step in self._scenario.steps:
            if step.locale is not None and (why := lftp.why_no_locale(self._client.start, step.locale)):
                raise _Skipped(why)

    def _check_place(self) -> None:
        for step in self._scenario.steps:
            why = self._place.refuses(step)
            if why := why or self._place.why_not(self._spec_of(step, self._expect(step)), step.host, step.user):
                raise _Skipped(why)

    def _expect(self, step: Step) -> Expect:
        return expectation(step, self._client.dialect, self._client.version)

    def _spec_of(self, step: Step, expect: Expect) -> ServerSpec:
        return replace(self._material.server(step.server), password=right_password(step, expect.verdict))

    def play(self, index: int, step: Step) -> StepResult:
        """Play one step: change the server, prepare HOME, run lftp as often as requested, then the control."""
        began = time.monotonic()
        expect = self._expect(step)
        control = controls.control_for(step, expect) if self._options.controls else None
        self._prepare(index, step, expect)
        pristine = self._session.copy_of_home() if control else None
        served = self._session.served() if control else None
        attempts = self._repeated(step, expect)
        self._keep(index, "", *attempts)
        judgement = judge_repeated([attempt.seen for attempt in attempts], expect)
        result = None
        if control is not None and pristine is not None and served is not None:
            with ExitStack() as stack:
                stack.enter_context(pristine)
                again = stack.enter_context(pristine.clone()) if self._may_leave_marks(attempts, expect) else None
                with served.as_it_was():
                    result = self._control(step, control, pristine)
                if again is not None:
                    with served.as_it_was():
                        result = self._once_more(step, again, attempts[0], result)
            self._keep(index, control.kind, result.attempt)
        genuine = self._material.genuine(index)
        return StepResult(step.title, expect, attempts, judgement, result, time.monotonic() - began, genuine)

    def _repeated(self, step: Step, expect: Expect) -> tuple[Attempt, ...]:
        """Run lftp as often as the step requests: with `at_least`, until a result expected sometimes has occurred."""
        least = step.at_least if step.at_least is not None and expect.how_often == "sometimes" else step.repeat
        attempts: list[Attempt] = []
        occurred = False
        while len(attempts) < (least if occurred else step.repeat):
            attempts.append(self._attempt(step, self._session.home))
            occurred = occurred or (least < step.repeat and occurs(attempts[-1].seen, expect))
        return tuple(attempts)

    def _keep(self, index: int, label: str, *attempts: Attempt) -> None:
        if self._options.keep is not None:
            for number, attempt in enumerate(attempts, 1):
                name = label or (f"run-{number}" if len(attempts) > 1 else "")
                self._options.keep(self._scenario, index + 1, name, attempt)

    def _prepare(self, index: int, step: Step, expect: Expect) -> None:
        """Apply the changes before this step: the server, the rc, the files."""
        session, spec = self._session, self._spec_of(step, expect)
        changed = step.changed or index == 0 or spec.password != session.spec.password
        if changed or not session.is_at(step.host):
            session.serve(spec, host=step.host)
        if step.rc is not None:
            self._rc = step.rc
        served = cache(lambda: self._served(step))
        for name in step.files:
            self._material.put_file(
                session.home, step, name, self._values(step, session.home, self._login(step)), served
            )
            self._files[destination(name, step.cwd)] = (step, name, served)

    def _put_again(self, step: Step, home: Home, login: Login) -> None:
        """Rewrite the files whose text differs in a control: `{lftp}` always does, and `{password}` may."""
        for of, name, served in self._files.values():
            if any(placeholders(source.value) for source in of.files[name] if source.kind == "text"):
                values = self._values(of, home, login if of is step else self._login(of))
                self._material.put_file(home, of, name, values, served)

    def _login(self, step: Step, *, right: bool = False) -> Login:
        """The login that lftp gets: the step's user and password, or the correct ones."""
        if right:
            return self._session.login(user=step.user if self._session.spec.user is None else None)
        return self._session.login(step.user, step.password)

    def _values(self, step: Step, home: Home, login: Login) -> dict[str, str]:
        """The values of placeholders; `{lftp}` is a different folder in the copy of HOME that a control uses."""
        return self._material.placeholders(home.seen(home.dot_lftp), step.host, self._session.server.port, login)

    def _served(self, step: Step) -> bytes:
        """Fetch the leaf that the running server shows, the way the document does; no other may become a pin."""
        try:
            return self._session.fetch()
        except HarnessError as error:
            raise HarnessError(f"step {step.title!r}: {error}") from error

    def _attempt(self, step: Step, home: Home, *, before: tuple[str, ...] = (), right_login: bool = False) -> Attempt:
        """Run lftp once, and collect what all witnesses saw."""
        login = self._login(step, right=right_login)
        values = self._values(step, home, login)
        request = Request(
            rc=None if self._rc is None else substitute(self._rc, values),
            host=step.host,
            scheme=step.scheme,
            run=tuple(substitute(item, values) for item in step.run),
            user=login.user,
            password=login.password,
            cwd=step.cwd,
            clock=step.clock,
            locale=step.locale,
            before=before,
            timeout=self._options.timeout,
            log=self._options.log,
        )
        return self._session.attempt(request, home=home)

    def _control(self, step: Step, control: Control, home: Home) -> ControlResult:
        """Repeat the run in a copy of HOME, changing only the one thing that should decide the verdict."""
        self._put_again(step, home, self._login(step, right=control.right_login))
        before = tuple(command for setting in control.settings for command in self._set(setting, step, home))
        session = self._session
        with session.changed(impostor_of(session.spec)) if control.impostor else nullcontext():
            attempt = self._attempt(step, home, before=before, right_login=control.right_login)
        return ControlResult(control.kind, attempt, _judge_control(control, attempt))

    @staticmethod
    def _may_leave_marks(attempts: Sequence[Attempt], expect: Expect) -> bool:
        """Whether a setup can recognize its second run by something that is not restored.

        On loopback that is a file in /tmp, say; in a sandbox the age of its files, or the kernel's counters in /proc.
        """
        return expect.how_often == "always" and any(each.client.may_hide for each in attempts)

    def _once_more(self, step: Step, home: Home, first: Attempt, result: ControlResult) -> ControlResult:
        """Repeat the step after its control: a setup that finds a trace of its first run ends differently."""
        self._put_again(step, home, self._login(step))
        verdict = self._attempt(step, home).outcome.verdict
        if verdict == first.outcome.verdict or result.judgement.status == "error":
            return result
        why = (
            f"control {result.kind}: repeated after the control, the step was {verdict}, not {first.outcome.verdict}: "
            "the setup's behaviour depends on its earlier runs, so the control proves nothing"
        )
        return replace(result, judgement=Judgement("error", (*result.judgement.why, why)))

    def _set(self, setting: Setting, step: Step, home: Home) -> list[str]:
        """Return the commands that change a setting, based on what this HOME's rc sets; verified by reading it back.

        Reading back runs the rc, which may leave a trace in HOME. So it happens in a copy, and the control's own HOME
        keeps the same content as the step's.
        """
        with home.clone() as other:
            self._put_again(step, other, self._login(step))
            if self._rc is not None:
                other.write_rc(substitute(self._rc, self._values(step, other, self._login(step))))
            prefix = self._place.prefix()
            client = self._place.client(self._client, other)
            before = lftp.read_back(client, other, [setting.name], cwd=step.cwd, prefix=prefix)
            commands = controls.set_commands(setting, before.get(setting.name, {}))
            after = lftp.read_back(client, other, [setting.name], commands, cwd=step.cwd, prefix=prefix)
        if not controls.is_set(setting, after.get(setting.name, {})):
            raise HarnessError(f"step {step.title!r}: in the control, lftp did not accept `set {setting}`: {after}")
        return commands


def _judge_control(control: Control, attempt: Attempt) -> Judgement:
    """Judge a control: an error if it proves nothing, a failure if it shows that the verdict is not about trust."""
    shortcoming = control.shortcoming(attempt.outcome)
    if not shortcoming:
        return Judgement("pass")
    status: Status = "error" if attempt.outcome.verdict in UNPROVEN or attempt.outcome.doubtful else "fail"
    detail = "".join(f"; {sentence}" for sentence in attempt.outcome.contradictions)
    return Judgement(status, (f"control {control.kind}: {shortcoming}{detail}",))
