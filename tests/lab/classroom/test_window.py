"""The teacher's window: each learner's line shows the latest event, and fits on a projector."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ftps_lab.classroom.events import Event, append, read
from ftps_lab.classroom.window import WIDTH, grouped, story, table

if TYPE_CHECKING:
    from pathlib import Path


def event(at: float, learner: str, what: str, *, captured: str = "", host: str = "example", peer: str = "") -> Event:
    return Event(at=at, host=host, learner=learner, peer=peer, channel="tls", what=what, captured=captured)


EVENTS = (
    event(10, "anna", "left before the login"),
    event(11, "ben", "password captured", captured="coral-robin-11", host="intercepted"),
    event(12, "ben", "logged in", host="intercepted"),
    event(13, "anna", "logged in"),
    event(14, "", "left before the login", peer="172.18.0.9"),
)


def test_each_learner_has_one_line_with_what_happened_last() -> None:
    lines = table(EVENTS, ["anna", "ben", "carla"])
    assert [line.split()[0] for line in lines[2:]] == ["172.18.0.9", "anna", "ben", "carla"]
    assert "00:00:13" in lines[3]
    assert "logged in" in lines[3]
    assert lines[5].split() == ["carla", "-"]
    assert lines[0] == "3 seen, 1 not yet; somebody holds the passwords of 1"


def test_a_captured_password_stays_in_its_learners_line_and_in_no_other() -> None:
    lines = table(EVENTS, ["anna", "ben"])
    assert [line.split()[0] for line in lines if "coral-robin-11" in line] == ["ben"]


def test_thirty_learners_fit_into_eighty_columns() -> None:
    class_ = [f"learner{number:02}" for number in range(1, 31)]
    events = [event(n, who, "refused: no TLS offered", captured="maroon-jaguar-99") for n, who in enumerate(class_)]
    lines = table(events, class_)
    assert len(lines) == 32
    assert max(map(len, lines)) <= WIDTH
    assert all("maroon-jaguar-99" in line for line in lines[2:])


def test_a_low_terminal_says_how_many_it_does_not_show() -> None:
    lines = table(EVENTS, ["carla"], rows=4)
    assert len(lines) == 4
    assert lines[-1].startswith("and 3 more")


def test_a_story_is_one_learners_and_in_order() -> None:
    lines = story(EVENTS, "ben")
    assert ["captured" in lines[0], "logged in" in lines[1]] == [True, True]
    assert len(lines) == 2
    assert story(EVENTS, "carla") == []
    assert sum("anna" in line for line in grouped(EVENTS)) == 1


def test_events_of_all_hosts_come_in_their_order_and_half_a_line_is_left_out(tmp_path: Path) -> None:
    for each in reversed(EVENTS):
        append(tmp_path, each)
    with (tmp_path / "example.events").open("a") as file:
        file.write('{"at": 1')
    assert tuple(read(tmp_path)) == EVENTS
