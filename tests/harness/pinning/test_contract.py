"""A version of the contract is frozen: a tool that kept it last year keeps it today."""

from __future__ import annotations

from pathlib import Path

from ftps_harness.pinning.contract import CONTRACT, LEVELS, REQUIREMENTS
from ftps_harness.pinning.page import main, text

ROOT = Path(__file__).parents[3]
FROZEN = Path(__file__).with_name("contract-1.txt")


def test_requirements_of_this_version_are_frozen() -> None:
    """A new or changed requirement needs a new version, with a file of its own beside this one."""
    assert FROZEN.name == f"contract-{CONTRACT}.txt"
    lines = [f"{each.level} {each.id}{' if claimed' if each.if_claimed else ''}: {each.holds}" for each in REQUIREMENTS]
    assert "\n".join(sorted(lines)) + "\n" == FROZEN.read_text()


def test_every_requirement_has_its_own_check_and_a_reason() -> None:
    assert len({each.check for each in REQUIREMENTS}) == len({each.id for each in REQUIREMENTS}) == len(REQUIREMENTS)
    for each in REQUIREMENTS:
        assert each.level in LEVELS
        assert each.holds.endswith(".")
        assert each.reason.endswith(".")


def test_page_lists_every_requirement_once() -> None:
    page = (ROOT / "docs/pinning-contract.md").read_text()
    assert page == text(page)
    for each in REQUIREMENTS:
        assert page.count(f"| `{each.id}` |") == 1


def test_check_option_detects_an_outdated_page(tmp_path: Path) -> None:
    page = tmp_path / "page"
    page.write_text((ROOT / "docs/pinning-contract.md").read_text().replace("`connects`", "`conects`"))
    assert main(["--check", str(page)]) == 1
    assert main([str(page)]) == 0
    assert main(["--check", str(page)]) == 0
