"""Select scenarios: ids, case names, areas, files and folders → scenario files, each once.

Light on purpose: `ftps-lab list` takes no longer than three imports of click.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from ftps_harness.errors import HarnessError, UsageError
from ftps_harness.scenario import catalogue, id_of, load, outline
from ftps_harness.scenario.patterns import has_control_characters
from ftps_harness.scenario.problems import did_you_mean, shown
from ftps_harness.scenario.reading import SUFFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from ftps_harness.scenario import Outline, Scenario

    ScenarioIndex = dict[str, Path]
    """A catalogue: scenario files by id."""

_FOLDER = "scenarios"
"""Name of the scenario folder in a checkout."""


class Chosen(NamedTuple):
    """One selected scenario file.

    Attributes:
        id: ``<area>/<case>``.
        path: Relative to the current folder if it is below it.
        again: Its name on a command line: its id, or its path if it was selected by path.
    """

    id: str
    path: Path
    again: str


Read = TypeVar("Read", "Scenario", "Outline")


def default_folder() -> Path:
    """The default scenarios: the checkout's, else the packaged ones.

    The checkout's are in the first folder ``scenarios``, from the current folder upwards, that has a scenario file.
    Outside a checkout (no ``.git`` above) only the current folder counts: a scenario may run any lftp command, and a
    ``/tmp/scenarios`` left by another user must not be picked up from a folder below.

    Raises:
        UsageError: A folder on the way cannot be read.
    """
    for folder in _up_to_the_checkout(Path.cwd()):
        candidate = folder / _FOLDER
        if _is_folder(candidate) and catalogue(candidate):
            return _short(candidate)
    return packaged_folder()


def packaged_folder() -> Path:
    """The scenarios that come with ftps-lab: in the wheel, or next to the source of an editable install."""
    package = Path(__file__).resolve().parents[1]
    in_wheel = package / "catalogue"
    return in_wheel if in_wheel.is_dir() else _short(package.parent.parent / _FOLDER)


def choose(names: Sequence[str]) -> list[Chosen]:
    """The selected scenario files, in the order named, each once.

    Args:
        names: Ids (``document/expired``), areas (``document``), unique case names (``expired``), files and folders;
            none for the whole catalogue.

    Raises:
        UsageError: A name matches nothing or is ambiguous, or two of the files have the same id.
    """
    if not names:
        folder = default_folder()
        if not (index := _index(folder)):
            raise UsageError(f"no {SUFFIX} file below {folder}; `ftps-lab new NAME` writes one")
        return _from_index(index, index)
    indexes: list[ScenarioIndex] = []
    found: dict[str, Chosen] = {}
    for name in names:
        for each in _named(name, indexes):
            found.setdefault(os.path.realpath(each.path), each)
    return _distinct(found.values())


def choose_one(name: str) -> Chosen:
    """The one scenario with this name.

    Raises:
        UsageError: No scenario or several match.
    """
    chosen = choose([name])
    if len(chosen) > 1:
        raise UsageError(f"{shown(name)} matches {len(chosen)} scenarios; name one of them: {_some(chosen)}")
    return chosen[0]


def write_new(name: str) -> Path:
    """Write a scenario file to start from.

    Args:
        name: Its path without the extension.

    Raises:
        UsageError: The name is not a file name, or the file already exists.
        HarnessError: The file cannot be written.
    """
    from ftps_harness.scenario.template import scenario_template  # only `new` needs it

    name = name.removesuffix(SUFFIX)
    path = Path(f"{name}{SUFFIX}").expanduser()
    if path.name.startswith(".") or has_control_characters(name):
        raise UsageError(f"{shown(name)} is not a scenario name; write one like mine/backup-rc")
    if os.path.lexists(path):
        raise UsageError(f"{path} already exists and was not changed; choose another name")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("x", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}") from None
    try:
        with stream:
            stream.write(scenario_template(name))
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise HarnessError(f"{path} was not written: {error.strerror or error}") from None
        raise
    return path


def load_all(chosen: Iterable[Chosen], tags: Sequence[str] = ()) -> list[Scenario]:
    """Read scenarios and keep those with one of the tags.

    Raises:
        UsageError: Files cannot be used (the error gives all problems), or no scenario has one of the tags.
    """
    return _tagged(_read(chosen, load), tags)


def outline_all(chosen: Iterable[Chosen], tags: Sequence[str] = ()) -> list[Outline]:
    """The same as `load_all`, for callers that need titles only."""
    return _tagged(_read(chosen, outline), tags)


def _up_to_the_checkout(here: Path) -> list[Path]:
    """The current folder and those above it, up to the root of its checkout; outside a checkout, the current one."""
    above = [here, *here.parents]
    roots = [index for index, folder in enumerate(above) if _is_there(folder / ".git")]
    return above[: roots[0] + 1] if roots else [here]


def _named(name: str, indexes: list[ScenarioIndex]) -> list[Chosen]:
    if not name.strip():  # a script's unset variable, which never means the current folder
        raise UsageError(f"{shown(name)} is not a scenario name; is the variable that it comes from unset?")
    if _is_path(name):
        return _from_path(name)
    if not indexes:  # read when the first name needs them
        indexes += [_index(folder) for folder in dict.fromkeys((default_folder(), packaged_folder()))]
    for index in indexes:
        if ids := _ids(name, index):
            return _from_index(ids, index)
    if _is_there(Path(name)):
        return _from_path(name)
    raise UsageError(_unknown(name, indexes))


def _some(chosen: Sequence[Chosen]) -> str:
    most = 5
    return ", ".join(each.id for each in chosen[:most]) + (", …" if len(chosen) > most else "")


def _is_path(name: str) -> bool:
    """Whether the name can only be a path, or looks completed by a shell."""
    rooted = name.startswith((".", "/", "~"))
    return rooted or name.endswith(SUFFIX) or (name.endswith("/") and _is_folder(Path(name)))


def _from_path(name: str) -> list[Chosen]:
    path = Path(name).expanduser()
    if not _is_folder(path):
        # Normalized: the id of `../rotation.scenario.toml` begins with the name of a folder, not with `..`.
        return [Chosen(id_of(Path(os.path.abspath(path))), path, name)]  # noqa: PTH100 - resolve() would follow links
    if found := catalogue(path):
        return [Chosen(id, each, str(each)) for id, each in found.items()]  # noqa: A001 - the format's word
    raise UsageError(f"{name}: no {SUFFIX} file below this folder")


def _index(folder: Path) -> ScenarioIndex:
    return catalogue(folder) if _is_folder(folder) else {}


def _ids(name: str, index: ScenarioIndex) -> list[str]:
    """The ids that a name matches: its own, those of an area, or the one case with that name."""
    name = name.rstrip("/")
    if name in index:
        return [name]
    if area := [each for each in index if each.startswith(f"{name}/")]:
        return area
    cases = [each for each in index if each.rpartition("/")[2] == name]
    if len(cases) > 1:
        raise UsageError(f"{shown(name)} matches several scenarios: {', '.join(cases)}; name one of them")
    return cases


def _from_index(ids: Iterable[str], index: ScenarioIndex) -> list[Chosen]:
    return [Chosen(each, index[each], each) for each in ids]


def _unknown(name: str, indexes: list[ScenarioIndex]) -> str:
    ids = [each for index in indexes for each in index]
    known = ids if "/" in name else {part: None for each in ids for part in each.split("/")}
    near = did_you_mean(name, known)
    return f"{shown(name)} is not a scenario, area, file or folder.{near} `ftps-lab list` shows all scenarios"


def _distinct(found: Iterable[Chosen]) -> list[Chosen]:
    """The same list, if no two have the same id: results and evidence are named after it."""
    by_id: dict[str, Chosen] = {}
    for each in found:
        if (twin := by_id.setdefault(each.id, each)) is not each:
            raise UsageError(
                f"{each.path} and {twin.path} have the same id, {each.id}; rename one, or run them separately"
            )
    return list(by_id.values())


def _read(chosen: Iterable[Chosen], reader: Callable[[Path, str], Read]) -> list[Read]:
    read: list[Read] = []
    problems: list[str] = []
    for each in chosen:
        try:
            read.append(reader(each.path, each.id))
        except UsageError as error:
            problems.append(str(error))
    if problems:
        raise UsageError("\n".join(problems))
    return read


def _tagged(scenarios: list[Read], tags: Sequence[str]) -> list[Read]:
    known = sorted({tag for each in scenarios for tag in each.tags})
    if strange := [tag for tag in tags if tag not in known]:
        raise UsageError("\n".join(_unknown_tags(strange, known)))
    return [each for each in scenarios if not tags or not set(tags).isdisjoint(each.tags)]


def _unknown_tags(strange: Sequence[str], known: Sequence[str]) -> Iterator[str]:
    for tag in strange:
        near = did_you_mean(tag, known)
        yield f"no scenario here has the tag {shown(tag)}.{near} Tags: {', '.join(known) or 'none'}"


def _is_folder(path: Path) -> bool:
    """False also without permission to look; opening it then reports the error."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def _short(path: Path) -> Path:
    """Relative to the current folder if it is below it: shorter to read, and to type again."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
