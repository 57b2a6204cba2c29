"""Which scenarios a name selects, and in which folder names are looked up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ftps_harness.errors import UsageError
from ftps_harness.scenario import selection
from ftps_harness.scenario.selection import (
    choose,
    choose_one,
    default_folder,
    load_all,
    outline_all,
    packaged_folder,
    write_new,
)
from ftps_harness.scenario.template import scenario_template

if TYPE_CHECKING:
    from pathlib import Path


def write_scenarios(folder: Path, *ids: str, tags: str = '["mine"]') -> None:
    """Write scenario files below a folder, by id."""
    for each in ids:
        path = folder / f"{each}.scenario.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(scenario_template(each).replace('["mine"]', tags))


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's repository with its own scenarios; the tests run in it."""
    root = tmp_path / "checkout"
    (root / ".git").mkdir(parents=True)
    write_scenarios(root / "scenarios", "backup/nightly", "backup/weekly", "web/weekly", "web/upload")
    monkeypatch.chdir(root)
    return root


def ids(*names: str) -> list[str]:
    """The ids that names select."""
    return [each.id for each in choose(names)]


class TestDefaultFolder:
    def test_scenarios_of_the_checkout_are_the_default(self, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert str(default_folder()) == "scenarios"
        assert ids() == ["backup/nightly", "backup/weekly", "web/upload", "web/weekly"]
        (checkout / "src/deep").mkdir(parents=True)
        monkeypatch.chdir(checkout / "src/deep")
        assert default_folder() == checkout / "scenarios"
        monkeypatch.chdir(checkout / "scenarios/web")
        assert default_folder() == checkout / "scenarios"

    def test_folder_without_scenario_files_is_skipped(self, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (checkout / "src/scenarios").mkdir(parents=True)
        (checkout / "src/scenarios/other.toml").write_text("")
        monkeypatch.chdir(checkout / "src")
        assert default_folder() == checkout / "scenarios"

    def test_search_upwards_ends_at_the_checkout(self, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A checkout without scenarios, inside one that has some, has none."""
        (checkout / "vendor/.git").mkdir(parents=True)
        monkeypatch.chdir(checkout / "vendor")
        assert default_folder() == packaged_folder()

    def test_parent_folders_are_not_searched_outside_a_checkout(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A scenario may run any command: files in /tmp/scenarios do not apply to a user in /tmp/mine."""
        write_scenarios(tmp_path / "scenarios", "planted/case")
        (tmp_path / "mine").mkdir()
        monkeypatch.chdir(tmp_path / "mine")
        assert default_folder() == packaged_folder()
        monkeypatch.chdir(tmp_path)
        assert str(default_folder()) == "scenarios"

    def test_packaged_folder_is_in_the_source_or_the_wheel(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert (packaged_folder() / "document").is_dir()
        package = tmp_path / "site-packages/ftps_harness"
        (package / "catalogue").mkdir(parents=True)
        monkeypatch.setattr(selection, "__file__", str(package / "scenario" / "selection.py"))
        assert packaged_folder() == package / "catalogue"

    def test_empty_catalogue_is_a_usage_error(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(selection, "packaged_folder", lambda: tmp_path / "none")
        with pytest.raises(UsageError, match=r"no \.scenario\.toml file below"):
            choose([])


@pytest.mark.usefixtures("checkout")
class TestNames:
    @pytest.mark.parametrize(
        ("name", "meant"),
        [
            ("backup/nightly", ["backup/nightly"]),
            ("nightly", ["backup/nightly"]),
            ("web", ["web/upload", "web/weekly"]),
            ("web/", ["web/upload", "web/weekly"]),
            ("scenarios/web", ["web/upload", "web/weekly"]),
            ("./scenarios", ["backup/nightly", "backup/weekly", "web/upload", "web/weekly"]),
            ("scenarios/web/upload.scenario.toml", ["web/upload"]),
            ("document/untrusted-by-default", ["document/untrusted-by-default"]),
        ],
    )
    def test_name_selects_scenarios(self, name: str, meant: list[str]) -> None:
        """Ids, cases, areas, folders, files; if the checkout lacks the name, the packaged scenarios apply."""
        assert ids(name) == meant

    def test_scenarios_are_selected_once_in_the_order_of_names(self) -> None:
        assert ids("web", "backup", "web/upload", "scenarios/web/upload.scenario.toml") == [
            "web/upload",
            "web/weekly",
            "backup/nightly",
            "backup/weekly",
        ]

    def test_ambiguous_case_is_a_usage_error(self) -> None:
        with pytest.raises(UsageError, match='"weekly" matches several scenarios: backup/weekly, web/weekly'):
            choose(["weekly"])

    @pytest.mark.parametrize(
        ("name", "near"), [("backup/nigtly", "backup/nightly"), ("nigtly", "nightly"), ("bakcup", "backup")]
    )
    def test_misspelt_name_gets_a_suggestion(self, name: str, near: str) -> None:
        with pytest.raises(UsageError, match=f'Did you mean "{near}"'):
            choose([name])

    def test_folder_without_scenarios_is_a_usage_error(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"no \.scenario\.toml file below this folder"):
            choose([str(tmp_path / "checkout/.git")])

    def test_duplicate_id_is_a_usage_error(self, tmp_path: Path) -> None:
        write_scenarios(tmp_path / "elsewhere", "web/upload")
        with pytest.raises(UsageError, match="have the same id, web/upload; rename one"):
            choose(["web/upload", str(tmp_path / "elsewhere")])

    def test_id_of_a_relative_path_has_no_dots(self, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The evidence is kept in a folder named after the id."""
        monkeypatch.chdir(checkout / "scenarios/web")
        assert ids("../web/../backup/nightly.scenario.toml") == ["backup/nightly"]

    def test_again_is_an_id_or_path_that_selects_the_scenario(self) -> None:
        (by_id, by_path) = choose(["nightly", "scenarios/web/upload.scenario.toml"])
        assert (by_id.again, by_path.again) == ("backup/nightly", "scenarios/web/upload.scenario.toml")

    def test_choose_one_refuses_several(self) -> None:
        assert choose_one("nightly").id == "backup/nightly"
        with pytest.raises(UsageError, match="matches 2 scenarios; name one of them: web/upload"):
            choose_one("web")


class TestLoading:
    def test_any_of_the_tags_selects(self, checkout: Path) -> None:
        write_scenarios(checkout / "scenarios", "web/slow", tags='["slow"]')
        write_scenarios(checkout / "scenarios", "web/both", tags='["slow", "mine"]')
        chosen = choose(["web"])
        assert [each.id for each in outline_all(chosen, ["slow"])] == ["web/both", "web/slow"]
        assert len(load_all(chosen, ["slow", "mine"])) == 4
        with pytest.raises(UsageError, match=r'the tag "slwo".* Did you mean "slow"'):
            load_all(chosen, ["mine", "slwo"])

    def test_errors_of_all_files_are_reported(self, checkout: Path) -> None:
        (checkout / "scenarios/web/upload.scenario.toml").write_text("not toml")
        (checkout / "scenarios/backup/weekly.scenario.toml").write_text('schema = 1\ntitle = 7\nwhy = ""')
        with pytest.raises(UsageError) as caught:
            load_all(choose([]))
        message = str(caught.value)
        assert "scenarios/web/upload.scenario.toml: is not TOML" in message
        assert "scenarios/backup/weekly.scenario.toml: title: must be a string" in message


class TestWriteNew:
    def test_written_file_is_a_scenario(self, checkout: Path) -> None:
        path = write_new("scenarios/mine/first")
        assert path.resolve() == checkout / "scenarios/mine/first.scenario.toml"
        assert [each.id for each in load_all(choose(["mine"]))] == ["mine/first"]

    def test_existing_file_is_not_overwritten(self, checkout: Path) -> None:
        (checkout / "link.scenario.toml").symlink_to("nowhere")
        for name in ("scenarios/web/upload", "scenarios/web/upload.scenario.toml", "link"):
            with pytest.raises(UsageError, match="already exists and was not changed"):
                write_new(name)
        assert not (checkout / "nowhere").exists()

    @pytest.mark.usefixtures("checkout")
    @pytest.mark.parametrize("name", ["", "web/", ".", "..", "a\nb", "scenarios/web/upload.scenario.toml/x"])
    def test_invalid_name_is_refused(self, name: str) -> None:
        with pytest.raises(UsageError, match=r"is not a scenario name|cannot be written"):
            write_new(name)
