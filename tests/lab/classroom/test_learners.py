"""The class: names, passwords, and one roster for all hosts, whichever of them writes it first."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from ftps_lab.classroom import learners
from ftps_lab.classroom.learners import names, readable_password, roster, slips, wait_for_roster
from ftps_lab.errors import LabError

if TYPE_CHECKING:
    from pathlib import Path


def test_names_are_thirty_or_as_many_or_those_given() -> None:
    assert names("") == tuple(f"learner{number:02}" for number in range(1, 31))
    assert names("2") == ("learner01", "learner02")
    assert names("anna, ben\ncarla-2") == ("anna", "ben", "carla-2")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("0", "give a number from 1 to 99"),
        ("100", "give a number from 1 to 99"),
        ("anna Ben", "'Ben' cannot be a learner's name; use up to 12 lower-case letters"),
        ("anna $(id)", "cannot be a learner's name"),
        ("root", "'root' cannot be a learner's name"),
        ("student", "'student' cannot be a learner's name"),
        ("anna anna", "two learners are named 'anna'"),
        (" ".join(f"a{number}" for number in range(100)), "give at most 99"),
    ],
)
def test_invalid_learner_names_are_refused_with_a_reason(text: str, sentence: str) -> None:
    with pytest.raises(LabError, match=r"FTPS_LAB_LEARNERS: .*") as raised:
        names(text)
    assert sentence in str(raised.value)


def test_hosts_that_start_together_share_one_roster(tmp_path: Path) -> None:
    found: list[tuple[learners.Learner, ...]] = []
    barrier = threading.Barrier(8)

    def start() -> None:
        barrier.wait(10)
        found.append(roster(tmp_path, "30"))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(found) == 8
    assert len(set(found)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["learners.tsv"]


def test_ssh_passwords_are_unique_and_not_the_ftp_passwords(tmp_path: Path) -> None:
    class_ = roster(tmp_path, "30")
    doors = {learner.door for learner in class_}
    assert len(doors) == 30
    assert all(len(door) == 12 for door in doors)
    assert not doors & {learner.password for learner in class_}


def test_readable_passwords_vary_and_have_at_most_16_characters() -> None:
    assert max(len(readable_password()) for _ in range(500)) <= 16
    assert len({readable_password() for _ in range(100)}) > 50


def test_slips_show_each_learners_name_and_passwords(tmp_path: Path) -> None:
    class_ = roster(tmp_path, "anna ben")
    lines = slips(class_)
    assert [line.split() for line in lines[1:]] == [[each.name, each.password, each.door] for each in class_]
    assert max(map(len, lines)) <= 80


def test_waiting_for_a_roster_without_a_host_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learners, "_WAIT_SECONDS", 0.0)
    with pytest.raises(LabError, match="no host of the classroom has started"):
        wait_for_roster(tmp_path)
