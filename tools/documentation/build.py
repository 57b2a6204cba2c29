"""The documentation site: `make site` builds it into build/site, from the repository's pages and a demo played now.

Pages and links are written for a code host. Here each link to a page leads to the page on the site, and each link to
another file of the repository to a copy of it below files/, so that nothing leads to another host. MkDocs runs strict:
a missing target of a link fails the build.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT: Final = Path(__file__).resolve().parents[2]
HERE: Final = Path(__file__).resolve().parent
DEMO: Final = "demo" + PurePosixPath("README.md").suffix
"""The page of the recording: it is made here, and not in the repository."""

NAV: Final[Mapping[str, tuple[str, ...]]] = {
    "Start": ("README.md", DEMO),
    "Use": ("docs/hardening.md", "docs/verify.md", "docs/ci.md", "docs/pinning-contract.md"),
    "Teach": ("docs/lesson-plan.md", "docs/classroom.md"),
    "Why lftp refuses": ("docs/refusals/README.md",),
    "Measured": ("docs/claims.md", "docs/matrix.md", "docs/lftp.md"),
    "Look up": ("docs/reference.md", "docs/glossary.md", "SECURITY.md"),
    "Change": ("CONTRIBUTING.md", "CHANGELOG.md"),
}
"""Pages by their place in the repository; the others of a folder follow its README, the rest comes last."""

_FENCE: Final = re.compile(r"^(```.*?^```[^\S\n]*$)", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"(\]\()([^)#\s:]+)((?:#[^)\s]*)?\))")
_LIST: Final = re.compile(r"^((?![-*+] |\d+\. |\||#|>|\s)\S.*)\n(?=(?:[-*+]|\d+\.) )", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Demo:
    """A demo that was played.

    Attributes:
        client: The lftp that played it.
        cast: The recording, asciicast v2.
        transcript: The same in Markdown.
    """

    client: str
    cast: str
    transcript: str


def sources(root: Path) -> dict[str, str]:
    """Each page of the repository, and its place on the site."""
    pages = [*root.glob("*.md"), *(root / "docs").rglob("*.md")]
    return {name: _on_site(name) for name in sorted(str(page.relative_to(root)) for page in pages)}


def _on_site(name: str) -> str:
    path = PurePosixPath(name.removeprefix("docs/"))
    return str(path.with_stem("index")) if path.name == "README.md" else str(path)


def page_of(name: str, text: str, pages: Mapping[str, str], root: Path, site: Path) -> str:
    """A page as the site has it: links lead to the site's pages, and files of the repository are copied to it."""

    def linked(found: re.Match[str]) -> str:
        before, target, after = found.groups()
        cited = os.path.normpath(PurePosixPath(name).parent / target)
        if (root / cited).is_dir():
            cited = f"{cited}/README.md"
        if (there := pages.get(cited) or _copied(cited, root, site)) is None:
            return found[0]  # MkDocs reports it as missing
        return f"{before}{os.path.relpath(there, PurePosixPath(_on_site(name)).parent)}{after}"

    parts = _FENCE.split(text)
    # A code host begins a list below a line of text; Python-Markdown wants an empty line between them.
    parts[::2] = [_LIST.sub(r"\1\n\n", _LINK.sub(linked, part)) for part in parts[::2]]
    return "".join(parts)


def _copied(cited: str, root: Path, site: Path) -> str | None:
    file = root / cited
    if cited.startswith("..") or not file.is_file():
        return None
    # Pictures keep their place; other files are shown as text.
    there = cited.removeprefix("docs/") if file.suffix in {".svg", ".png"} else f"files/{cited}.txt"
    (site / there).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, site / there)
    return there


def nav(pages: Mapping[str, str]) -> list[dict[str, list[str]]]:
    """The order of the pages; what `NAV` does not name follows its folder's README, or comes last."""
    named = [name for names in NAV.values() for name in names]
    left = [name for name in pages if name not in named]
    found = []
    for title, names in NAV.items():
        listed = []
        for name in names:
            folder = f"{PurePosixPath(name).parent}/" if name.endswith("/README.md") else None
            beside = [each for each in left if folder and each.startswith(folder)]
            left = [each for each in left if each not in beside]
            listed += [pages[each] for each in (name, *beside) if each in pages]
        found.append({title: listed})
    return [*found, {"More": [pages[name] for name in left]}] if left else found


def demo_page(client: str, transcript: str) -> str:
    """The page with the recording, which `client` made, and its transcript for readers who do not play it."""
    chapters = transcript.partition("\n")[2]
    return f"""# The demonstration, recorded

Recorded when this site was built, with {client}: every line is what lftp, the server and an eavesdropper's capture
showed in that run. Play it on your own machine with `ftps-lab demo`.

<div class="cast" data-cast>This player needs JavaScript. The transcript below has everything.</div>

Keys, once the screen has the focus: space plays and pauses, the arrows move by five seconds, `n` and `p` go to the
next and the previous chapter.

<script src="assets/demo.js"></script>
<script src="assets/player.js"></script>

{chapters}"""


def assemble(root: Path, site: Path, demo: Demo) -> dict[str, str]:
    """Write the sources of the site into a folder; return each page's place in it."""
    pages = sources(root)
    for name, there in pages.items():
        (site / there).parent.mkdir(parents=True, exist_ok=True)
        (site / there).write_text(page_of(name, (root / name).read_text("utf-8"), pages, root, site), "utf-8")
    (site / DEMO).write_text(demo_page(demo.client, demo.transcript), "utf-8")
    assets = site / "assets"
    assets.mkdir()
    for name in ("player.js", "player.css"):
        shutil.copyfile(HERE / name, assets / name)
    events = [json.loads(line) for line in demo.cast.splitlines()[1:]]
    (assets / "demo.js").write_text(f"window.ftpsLabCast = {json.dumps(events)};\n", "utf-8")
    return {**pages, DEMO: DEMO}


def build(root: Path, work: Path, demo: Demo) -> int:
    """Put the pages together and call MkDocs; its exit code, which a warning makes 1."""
    source, site = work / "site-source", work / "site"
    for folder in (source, site):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    pages = assemble(root, source, demo)
    config = work / "mkdocs.yml"
    settings = {"INHERIT": str(HERE / "mkdocs.yml"), "docs_dir": str(source), "site_dir": str(site), "nav": nav(pages)}
    config.write_text(json.dumps(settings, indent=1), "utf-8")
    # Not --quiet: MkDocs does not count what it does not print, and --strict would pass.
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", str(config)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    made = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    said = made.stdout + made.stderr
    if made.returncode or "WARNING" in said:
        sys.stderr.write(said)
        return 1
    return 0


def played(work: Path) -> Demo:
    """The demo, played now.

    Raises:
        SystemExit: It could not be played, or its evidence disagrees with a chapter.
    """
    from ftps_harness.client import lftp

    client = lftp.identify(lftp.find(None))
    work.mkdir(parents=True, exist_ok=True)
    cast, transcript = work / "demo.cast", work / "demo-transcript.txt"
    command = [sys.executable, "-m", "ftps_harness", "demo", "--auto"]
    options = ["--record", str(cast), "--transcript", str(transcript)]
    code = subprocess.run([*command, *options], check=False, stdout=subprocess.DEVNULL).returncode
    if code:
        raise SystemExit(f"site: `ftps-lab demo --auto` ended with exit code {code}; run it to see why")
    return Demo(f"lftp {client.version} ({client.tls})", cast.read_text("utf-8"), transcript.read_text("utf-8"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the site; 1 where MkDocs warns of anything."""
    parser = argparse.ArgumentParser(description="Build the documentation site into FOLDER/site.")
    parser.add_argument("folder", nargs="?", default=str(ROOT / "build"), help="default: build")
    work = Path(parser.parse_args(arguments).folder).resolve()
    code = build(ROOT, work, played(work))
    where = work / "site" / "index.html"
    sys.stdout.write(f"site: {where}\n" if code == 0 else "site: not built, see above\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
