"""Sequence diagrams of real runs: the testimony holds each claim, and the diagram draws all of the testimony."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from tests.harness.report.html.claims import untrue
from tests.harness.report.html.outline import Outline
from tests.harness.report.results import PASSED, scenario, server_testimony, step
from tests.harness.report.results import attempt as made_up
from tests.harness.report.results import run as build_run

from ftps_harness.play.runner import Options, ScenarioResult, run_scenario
from ftps_harness.report.html import run as run_page
from ftps_harness.report.html.diagram import WIDTH, drawing
from ftps_harness.report.html.sequence import MASK, READABLE
from ftps_harness.report.html.witnessed import interaction
from ftps_harness.scenario.selection import choose_one, load_all
from ftps_lab.testimony import Command, Connection, Credential, Testimony, Transfer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ftps_harness.client.lftp import Lftp
    from ftps_harness.play.attempt import Attempt

SAMPLE = {
    "document/pinned-certificate-connects": "accepted",
    "document/pin-detects-impostor": "rejected",
    "document/plain-ftp-in-the-clear": "exposed",
    "document/verification-off-trusts-anybody": "exposed",
    "document/expired": "rejected",
    "document/name-mismatch": "rejected",
    "document/implicit": "accepted",
    "document/anonymous-login": "accepted",
    "attack/intercept-copy": "exposed",
    "attack/intercept-implicit": "exposed",
    "attack/strip-auth": "exposed",
    "attack/refuse-auth": "exposed",
    "attack/drop-at-auth": "failed",
    "attack/break-handshake-alert": "rejected",
    "attack/inject-before-tls": "rejected",
    "attack/refuse-prot": "exposed",
    "attack/clear-data": "rejected",
    "attack/data-unknown-downloads": "rejected",
    "attack/data-tls-1-2": "exposed",
    "login/own-password": "login-failed",
}
"""Scenario → a verdict of one of its steps: the diagrams differ for each."""


@pytest.fixture(scope="module")
def intercepted(client: Lftp) -> Attempt:
    """A run whose client does not verify, behind an interceptor: it has each kind of evidence except an alert."""
    result = play_scenario("attack/intercept-copy", client)
    return next(each.shown for each in result.steps if "password" in each.shown.outcome.exposed)


def play_scenario(name: str, client: Lftp) -> ScenarioResult:
    """Play one scenario of the catalogue."""
    [scenario] = load_all([choose_one(name)])
    return run_scenario(scenario, client, Options(timeout=20.0, controls=False))


@pytest.mark.long
@pytest.mark.lftp
@pytest.mark.parametrize("name", SAMPLE)
def test_diagram_matches_the_testimony_exactly(name: str, client: Lftp) -> None:
    result = play_scenario(name, client)
    assert result.status == "pass", result.why
    assert SAMPLE[name] in {each.outcome.verdict for step in result.steps for each in step.attempts}
    for each in result.steps:
        for attempt in each.attempts:
            assert untrue(interaction(attempt, each.genuine), attempt) == [], each.title


def without_item(testimony: Testimony, field: str, number: int) -> Testimony:
    """The same testimony with one item dropped."""
    items = getattr(testimony, field)
    changes: dict[str, Any] = {field: items[:number] + items[number + 1 :]}
    return replace(testimony, **changes)


def each_item_missing(testimony: Testimony) -> Iterator[tuple[str, Testimony]]:
    """Each testimony with one item missing: the item, and the rest."""
    for field in ("connections", "handshakes", "commands", "credentials", "transfers"):
        for number, item in enumerate(getattr(testimony, field)):
            drawn_elsewhere = field == "connections" and item.kind == "data"  # by its transfer
            if not drawn_elsewhere:
                yield f"{field} {number}", without_item(testimony, field, number)


@pytest.mark.lftp
def test_check_finds_every_item_missing_from_the_diagram(intercepted: Attempt) -> None:
    """Each item in turn is left out of the diagram, on both sides of the attacker."""
    whole = intercepted.testimony
    assert whole.behind is not None
    poorer = [
        *each_item_missing(whole),
        *((name, replace(whole, behind=rest)) for name, rest in each_item_missing(whole.behind)),
    ]
    assert len(poorer) > 30
    for name, rest in poorer:
        drawn = interaction(replace(intercepted, testimony=rest))
        assert untrue(drawn, intercepted) != [], name


@pytest.mark.lftp
def test_check_finds_every_arrow_without_testimony(intercepted: Attempt) -> None:
    """The picture of the whole run is checked against testimony with one item missing."""
    drawn = interaction(intercepted)
    for name, rest in each_item_missing(intercepted.testimony):
        assert untrue(drawn, replace(intercepted, testimony=rest)) != [], name


@pytest.mark.lftp
def test_readable_password_is_labelled_and_masked(intercepted: Attempt) -> None:
    drawn = interaction(intercepted)
    [password] = [arrow for arrow in drawn.arrows if arrow.kind == "password" and arrow.source == "client"]
    assert password.label == f"PASS ({READABLE})"
    assert MASK in password.text
    secret = intercepted.testimony.passwords[0]
    picture = figure_of(intercepted)
    assert secret not in picture
    assert f"PASS ({READABLE})" in picture


def page_of(attempt: Attempt) -> str:
    """The page of a run whose one step had this result."""
    of = scenario()
    return run_page.text([build_run(ScenarioResult(of, "pass", steps=(step(of, PASSED, attempt),)))])


def figure_of(attempt: Attempt) -> str:
    """The picture and the list on that page."""
    text = page_of(attempt)
    return text[text.index('<figure class="sequence"') : text.index("</figure>")]


@pytest.mark.lftp
def test_each_row_links_to_its_list_item_with_the_same_text(intercepted: Attempt) -> None:
    """The list replaces the picture for readers who cannot see it: the same rows, with a link to each."""
    outline = Outline(page_of(intercepted))
    links = [value for tag, name, value in outline.attributes if (tag, name) == ("a", "href") and "-e" in value]
    items = [each for each in outline.ids if re.fullmatch(r"r1-1-1-e[0-9]+", each)]
    rows = interaction(intercepted).rows
    assert links == [f"#{each}" for each in items]
    assert len(items) == len(rows) > 15
    assert all(outline.said.count(row.label) >= 2 for row in rows)


def mirror_attempt(connections: int) -> Attempt:
    """A made-up mirror: this many files, each over its own data connection, with odd commands in between."""
    peer = ("127.0.0.1", 40001)
    control = Connection(1, "control", peer, 0.0, greeted=True)
    data = tuple(Connection(n, "data", ("127.0.0.1", 40000 + n), n / 10) for n in range(2, connections + 2))
    commands = tuple(
        Command(1, verb, f"file-{each.number}", "clear", 200, at=each.opened)
        for each in data
        for verb in (f"X{each.number}", "PASV", "RETR")
    )
    transfers = tuple(
        Transfer(each.number, 1, "RETR", f"file-{each.number}", "download", 7, "00", "clear", "", True, at=each.opened)
        for each in data
    )
    told = Testimony("genuine", (control, *data), commands=commands, transfers=transfers)
    return replace(made_up(), testimony=told)


@pytest.mark.long
def test_long_session_is_folded_into_counted_groups() -> None:
    short, long = interaction(mirror_attempt(5)), interaction(mirror_attempt(1000))
    assert len(long.rows) == len(short.rows) < 15
    assert drawing(long).height < 700
    assert len(long.arrows) > 3000
    assert any(row.label.startswith("998 × RETR") for row in long.rows)
    assert (
        untrue(long, replace(mirror_attempt(1000), exposure=replace(mirror_attempt(1).exposure, password=False))) == []
    )
    assert len(figure_of(mirror_attempt(1000))) < len(figure_of(mirror_attempt(40))) + 2_000


@pytest.mark.lftp
@pytest.mark.parametrize("lanes", ["two", "three"])
def test_rows_do_not_overlap_and_labels_fit_the_diagram(lanes: str, intercepted: Attempt) -> None:
    drawn = drawing(interaction(intercepted if lanes == "three" else mirror_attempt(3)))
    assert len(drawn.columns) == (3 if lanes == "three" else 2)
    below = 0.0
    for mark in drawn.marks:
        assert mark.top >= below
        below = mark.top + mark.height
        assert mark.x >= 0
        assert mark.label_x + 6 * len(mark.label) <= WIDTH
    assert below <= drawn.height


def test_a_label_that_is_too_long_keeps_its_last_words() -> None:
    told = server_testimony()
    [transfer] = told.transfers
    long = replace(transfer, name=f"{'name' * 20}.txt", channel="clear", size=3072)
    drawn = drawing(interaction(replace(made_up(), testimony=replace(told, transfers=(long,)))))
    [label] = [mark.label for mark in drawn.marks if "namename" in mark.label]
    assert label.startswith("clear data: name")
    assert label.endswith("… 3072 bytes (readable)")


@pytest.mark.parametrize("hostile", ["\x1b[2J", "\n", "\x00", "\u202e", "<script>"])
def test_foreign_text_in_a_label_is_one_escaped_line(hostile: str) -> None:
    told = server_testimony()
    said = Command(1, "STOR", f"a{hostile}b", "clear", 553, reply_text=f"no{hostile}")
    attempt = replace(made_up(), testimony=replace(told, commands=(*told.commands, said)))
    [arrow] = [each for each in interaction(attempt).arrows if said in each.evidence]
    assert (arrow.label + arrow.text).isprintable()
    assert Outline(page_of(attempt)).tags.count("script") == 1  # the page's own


def test_password_inside_another_text_is_masked() -> None:
    told = server_testimony()
    leak = Command(1, "SITE", "note secret", "tls", 500, reply_text="unknown: secret")
    drawn = interaction(replace(made_up(), testimony=replace(told, commands=(*told.commands, leak))))
    [arrow] = [each for each in drawn.arrows if leak in each.evidence]
    assert arrow.label == f"SITE note {MASK}"
    assert arrow.text == f'Reply 500: "unknown: {MASK}"'


def test_anonymous_cleartext_login_is_not_a_readable_password() -> None:
    told = server_testimony()
    login = Credential(1, "anonymous", "lftp@", "clear", accepted=True)
    drawn = interaction(replace(made_up(), testimony=replace(told, credentials=(login,))))
    [arrow] = [each for each in drawn.arrows if each.kind == "password"]
    assert arrow.label == "PASS (no secret)"
    assert not arrow.alarm


def test_certificate_of_a_failed_handshake_is_shown_only_if_on_the_wire() -> None:
    attempt = made_up()
    [failed] = [each for each in interaction(attempt).arrows if each.kind == "handshake" and each.failed]
    assert failed.note == ""
    assert "No certificate was seen." in failed.text
    seen = replace(attempt.exposure, connections=(("data", 40002),), leaves=("AB:CD:EF:01:23",))
    arrows = interaction(replace(attempt, exposure=seen)).arrows
    [failed] = [each for each in arrows if each.kind == "handshake" and each.failed]
    assert failed.note.startswith("AB:CD:EF:01")


def test_missing_connection_is_drawn_as_such() -> None:
    drawn = interaction(replace(made_up(), testimony=Testimony("genuine")))
    assert next(arrow.label for arrow in drawn.arrows) == "no connection"
    assert [lane.who for lane in drawn.lanes] == ["client", "server"]


@pytest.mark.long
@pytest.mark.lftp
def test_page_of_600_steps_has_every_diagram_and_is_fast(client: Lftp) -> None:
    """Measured in CPU seconds: 2 on a quiet machine, mostly for the evidence below the pictures.

    With more steps, `ftps_harness.report.html.run` chooses which are drawn (`test_many.py`).
    """
    whole = play_scenario("attack/intercept-copy", client)
    results = tuple(whole for _ in range(600 // len(whole.steps)))
    began = time.process_time()
    text = run_page.text([build_run(*results)])
    assert time.process_time() - began < 12
    assert text.count('<svg class="diagram"') == 600
    assert len(text.encode()) < 12_000_000
