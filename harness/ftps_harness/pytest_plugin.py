"""The pytest plugin: fixtures for your own tests, and scenario files as tests (docs/reference.md, "The pytest plugin").

Idle unless used: nothing but pytest is imported until a test asks for lftp or a server.
"""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.play.runner import ScenarioResult
    from ftps_harness.testing import LftpRunner, PinToolRequirement, ServerFactory, SetupVerifier
    from ftps_harness.testing.pinning import ToolUnderTest
    from ftps_harness.testing.sealed import SealedFixtures
    from ftps_harness.testing.verification import Places

_CLIENT = pytest.StashKey["Lftp"]()
_PLACES: pytest.StashKey[Places] = pytest.StashKey()
_SEALED: pytest.StashKey[SealedFixtures] = pytest.StashKey()
_TOOL: pytest.StashKey[ToolUnderTest] = pytest.StashKey()
_PROPERTY = "ftps-lab"
_FIXTURE_PLACES = ("loopback", "sealed")
_WIDER = {f"{name}_{scope}": scope for name in ("ftps_server", "lftp") for scope in ("module", "session")}
_SHARED_RUNNERS = frozenset({"lftp_module", "lftp_session"})


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add our options."""
    group = parser.getgroup("ftps-lab", "real lftp against real FTPS servers")
    group.addoption(
        "--lftp", metavar="PATH", help="the lftp to test with (default: FTPS_LAB_LFTP, else the one on PATH)"
    )
    group.addoption(
        "--pin-tool",
        metavar="COMMAND",
        help='the pinning tool of the fixture pin_tool, such as "./pin.sh {host} {port}"',
    )
    parser.addini(
        "ftps_place", "where ftps_server and lftp live: loopback (default) or sealed (ftps-lab)", default="loopback"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Collect the versions used for the tests, and declare our marker."""
    config.addinivalue_line(
        "markers", "ftps_place(place): where ftps_server and lftp live, 'loopback' or 'sealed' (ftps-lab)"
    )
    config.pluginmanager.register(_TestedWith(), "ftps-lab-tested-with")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrize a test that uses `pin_tool` with each requirement of the contract."""
    if "pin_tool" in metafunc.fixturenames:
        from ftps_harness.pinning.contract import REQUIREMENTS  # idle unless used

        metafunc.parametrize("pin_tool", [each.id for each in REQUIREMENTS], indirect=True)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect a scenario file as a test."""
    if file_path.name.endswith(".scenario.toml"):
        return ScenarioFile.from_parent(parent, path=file_path)
    return None


class ScenarioFile(pytest.File):
    """A `*.scenario.toml` file."""

    def collect(self) -> Iterator[pytest.Item]:
        """One test for each scenario."""
        from ftps_harness.errors import UsageError  # idle unless used
        from ftps_harness.scenario import load

        try:
            scenario = load(self.path)
        except UsageError as error:
            raise self.CollectError(str(error)) from None
        yield ScenarioItem.from_parent(self, name=scenario.id, scenario=scenario)


class ScenarioFailedError(Exception):
    """A scenario did not end as expected, or could not be judged."""


class ScenarioItem(pytest.Item):
    """One scenario, run against the lftp of this machine or of `--lftp`."""

    def __init__(self, *, scenario: Any, **keywords: Any) -> None:
        super().__init__(**keywords)
        self._scenario = scenario

    def runtest(self) -> None:
        """Run it as `ftps-lab run` does, controls included: in the place `sealed` if the kernel permits that."""
        from ftps_harness.errors import HarnessError  # idle unless used
        from ftps_harness.play.places.choice import LoopbackPlaces
        from ftps_harness.play.runner import Options, run_in
        from ftps_harness.sandbox.sandbox import Unavailable

        client = _client(self.config)
        self.user_properties.append((_PROPERTY, _versions(client)))
        place = "sealed"
        try:
            result = run_in(_places(self.config, client).of(), self._scenario, client, Options())
        except Unavailable:
            place = "loopback"
            result = run_in(LoopbackPlaces(), self._scenario, client, Options())
        except HarnessError as error:
            raise ScenarioFailedError(str(error)) from error
        if result.status == "skip":
            pytest.skip(result.why)
        if result.status != "pass":
            raise ScenarioFailedError(_report(result, client, place))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], *args: Any, **keywords: Any) -> Any:
        """The evidence, not a traceback."""
        if isinstance(excinfo.value, ScenarioFailedError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, *args, **keywords)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """The file of the scenario."""
        return self.path, None, self.name


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Show the evidence when a comparison of verdicts fails."""
    outcome = sys.modules.get("ftps_harness.testing.outcome")  # idle unless used
    return None if outcome is None else outcome.explain_comparison(op, left, right)


def _servers(request: pytest.FixtureRequest) -> Iterator[ServerFactory]:
    """Start FTPS servers: `ftps_server()` is self-signed for localhost; keywords are the keys of `[server]`."""
    from ftps_harness.testing import ServerFactory  # idle unless used

    with ServerFactory(_sealed(request)) as factory:
        yield factory


def _runner(request: pytest.FixtureRequest) -> Iterator[LftpRunner]:
    """Run the real lftp in a sealed HOME: `lftp(server, rc=…)` gives the outcome that three witnesses agree on."""
    from ftps_harness.sandbox.home import Home  # idle unless used
    from ftps_harness.testing import LftpRunner

    client, sealed = _client(request.config), _sealed(request)
    if request.scope == "function":
        request.node.user_properties.append((_PROPERTY, _versions(client)))
    with Home(sealed.place.parent, sealed.place.inside) if sealed else Home() as home:
        yield LftpRunner(client, home, sealed=sealed)


@pytest.fixture
def verify(request: pytest.FixtureRequest) -> SetupVerifier:
    """Attack an lftp setup as `ftps-lab verify` does; a failed assertion that it is safe shows the report."""
    from ftps_harness.testing.verification import SetupVerifier  # idle unless used

    client, config = _client(request.config), request.config
    request.node.user_properties.append((_PROPERTY, _versions(client)))
    places = _places(config, client)
    with _explained():
        places.of()
    return SetupVerifier(client, places)


@pytest.fixture
def pin_tool(request: pytest.FixtureRequest) -> PinToolRequirement:
    """Check the tool of ``--pin-tool`` against one requirement of the pinning contract: `pin_tool.check()`."""
    from ftps_harness.pinning.contract import by_id  # idle unless used
    from ftps_harness.testing.pinning import PinToolRequirement, ToolUnderTest

    config, command = request.config, request.config.getoption("--pin-tool")
    if command is None:
        pytest.fail('no pinning tool is given; run pytest --pin-tool "./pin.sh {host} {port}"', pytrace=False)
    client, requirement = _client(config), by_id(request.param)
    assert requirement is not None  # `pytest_generate_tests` took it from there
    request.node.user_properties.append((_PROPERTY, _versions(client)))
    if _TOOL not in config.stash:
        with _explained():
            config.stash[_TOOL] = ToolUnderTest(command, client, config.invocation_params.dir)
        config.add_cleanup(config.stash[_TOOL].close)
    return PinToolRequirement(requirement.id, requirement.level, requirement, config.stash[_TOOL])


ftps_server = pytest.fixture(name="ftps_server")(_servers)
ftps_server_module = pytest.fixture(name="ftps_server_module", scope="module")(_servers)
ftps_server_session = pytest.fixture(name="ftps_server_session", scope="session")(_servers)
lftp = pytest.fixture(name="lftp")(_runner)
lftp_module = pytest.fixture(name="lftp_module", scope="module")(_runner)
lftp_session = pytest.fixture(name="lftp_session", scope="session")(_runner)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Record in the report what this test runs with; a fixture of a wider scope does not belong to a single test.

    If an assertion fails, add what `verify` found unsafe to its message: a bool cannot carry it.
    """
    if (client := item.config.stash.get(_CLIENT, None)) is not None and _SHARED_RUNNERS & set(
        getattr(item, "fixturenames", ())
    ):
        item.user_properties.append((_PROPERTY, _versions(client)))
    try:
        return (yield)
    except AssertionError as error:
        for text in getattr(getattr(item, "funcargs", {}).get("verify"), "unsafe", ()):
            if text not in str(error):
                error.add_note(text)
        raise


class _TestedWith:
    """Collects the versions used from the reports, and prints them at the end; also works under pytest-xdist."""

    def __init__(self) -> None:
        self._lines: dict[str, None] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collect from a report; workers' reports arrive here too."""
        self._lines.update((str(value), None) for name, value in report.user_properties if name == _PROPERTY)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print the versions, if any test used lftp."""
        for line in self._lines:
            terminalreporter.write_line(line)


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Skip a test where the kernel permits no sandbox, and fail it at our other errors: with their message alone."""
    from ftps_harness.errors import HarnessError, UsageError  # idle unless used
    from ftps_harness.sandbox.sandbox import Unavailable
    from ftps_lab.errors import LabError

    try:
        yield
    except Unavailable as why:
        pytest.skip(str(why))  # the reason that doctor gives
    except (UsageError, HarnessError, LabError) as error:
        pytest.fail(str(error), pytrace=False)


def _client(config: pytest.Config) -> Lftp:
    """The lftp to test with, identified once per process."""
    from ftps_harness.client.lftp import find, identify  # idle unless used

    if _CLIENT not in config.stash:
        with _explained():
            config.stash[_CLIENT] = identify(find(config.getoption("--lftp")))
    return config.stash[_CLIENT]


def _places(config: pytest.Config, client: Lftp) -> Places:
    """The sealed places of the whole session."""
    from ftps_harness.testing.verification import Places  # idle unless used

    if _PLACES not in config.stash:
        config.stash[_PLACES] = Places(client.path)
        config.add_cleanup(config.stash[_PLACES].close)
    return config.stash[_PLACES]


def _sealed(request: pytest.FixtureRequest) -> SealedFixtures | None:
    """The sealed place of the whole session if a fixture is to be there, else None."""
    config, place = request.config, _place_of(request.node)
    if place == "loopback":
        return None
    if _SEALED in config.stash and config.stash[_SEALED].place.broken:  # an interrupted call leaves it unusable
        config.stash[_SEALED].close()
        del config.stash[_SEALED]
    if _SEALED not in config.stash:
        from ftps_harness.sandbox.signals import deferring  # idle unless used
        from ftps_harness.testing.sealed import SealedFixtures

        lftp = _client(config).path
        with _explained():
            config.stash[_SEALED] = deferring(lambda: SealedFixtures(lftp, config.rootpath), SealedFixtures.close)
        config.add_cleanup(config.stash[_SEALED].close)
    return config.stash[_SEALED]


def _place_of(node: pytest.Item | pytest.Collector) -> str:
    """The place that the fixtures of a test, module or session get."""
    marker = node.get_closest_marker("ftps_place")
    if marker is None:
        place, where = node.config.getini("ftps_place"), "ini option"
    else:
        place, where = "".join(map(str, (*marker.args, *marker.kwargs.values()))), "marker"
    if place not in _FIXTURE_PLACES:
        pytest.fail(f"{where} ftps_place: {place!r} is no place; use {' or '.join(_FIXTURE_PLACES)}", pytrace=False)
    return str(place)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse a marker that does not reach a fixture of a wider scope: the test would run somewhere else."""
    for name in getattr(item, "fixturenames", ()):
        if name in _WIDER:
            node = item.getparent(pytest.Module if _WIDER[name] == "module" else pytest.Session)
            if node is not None and _place_of(node) != _place_of(item):
                pytest.fail(
                    f"marker ftps_place: {name} is shared, so it lives in {_place_of(node)}; mark the whole module for "
                    "the fixtures of a module, and use the ini option ftps_place for those of the session",
                    pytrace=False,
                )


def _versions(client: Lftp) -> str:
    """The versions used, in one line."""
    from importlib.metadata import version  # idle unless used

    from OpenSSL import SSL

    openssl = SSL.SSLeay_version(SSL.SSLEAY_VERSION).decode("ascii", "replace")
    return (
        f"ftps-lab: {client.path} is lftp {client.version} with {client.tls}, dialect {client.dialect}; "
        f"servers: pyftpdlib {version('pyftpdlib')}, {openssl}"
    )


def _report(result: ScenarioResult, client: Lftp, place: str) -> str:
    """The evidence of a scenario that did not pass."""
    from ftps_harness.report.junit import evidence  # idle unless used
    from ftps_harness.report.tally import BuildRun

    run = BuildRun(client, (result,), 1, result.seconds, again={result.scenario.id: result.scenario.file}, place=place)
    return "\n".join(evidence(run, result))
