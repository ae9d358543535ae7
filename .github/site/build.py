"""The documentation as a web site, from the same Markdown as `mlraman docs`.

    pip install '.[docs]' && python .github/site/build.py [FOLDER]     default: build/site

Pages that the program makes (result files, deck keys, starter decks) are made here too. Broken links end the build.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from mlraman_hpc import __version__
from mlraman_hpc.cli import parser
from mlraman_hpc.config.describe import key_pages
from mlraman_hpc.config.starter import KINDS, starter_deck
from mlraman_hpc.reports.result_files import description

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "mlraman_hpc" / "docs"
NAVIGATION = {
    "Start": ["index", "tutorial", "decks", "formats", "limits"],
    "Methods": ["spectra", "dynamics", "model", "derivatives", "labelling", "md", "forces", "predictors"],
    "Examples": ["campaign", "paper"],
    "Reference": ["commands", "keys", "outputs", "python"],
    "Running": ["cluster", "reliability", "performance"],
    "Project": ["architecture", "contributing", "changelog"],
}


def pages() -> dict[str, str]:
    """{name: Markdown} of every page."""
    texts = {path.stem: path.read_text(encoding="utf-8") for path in DOCS.glob("*.md")}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    texts["index"] = re.sub(r"\]\(mlraman_hpc/docs/", "](", readme)
    texts["contributing"] = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    texts["changelog"] = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    texts["outputs"] = description()
    texts["keys"] = f"# Deck keys\n\n{key_pages()}"
    texts["commands"] = f"# Commands\n\n```text\n{parser().format_help()}\n```\n"
    decks = "\n".join(f"## mlraman init {kind}\n\n```yaml\n{starter_deck(kind)}```\n" for kind in KINDS)
    texts["decks"] = f"# Decks to start from\n\n{decks}"
    return texts


def configuration(names: set[str]) -> str:
    """Of MkDocs; a page that NAVIGATION does not know comes last."""
    known = {name for section in NAVIGATION.values() for name in section}
    sections = {**NAVIGATION, "More": sorted(names - known)}
    lines = [
        "site_name: mlraman_hpc",
        f"site_description: Raman spectra from molecular dynamics, version {__version__}",
        "docs_dir: docs",
        "theme: {name: readthedocs, navigation_depth: 3, highlightjs: false}",  # which would be fetched elsewhere
        "extra_css: [extra.css]",
        "use_directory_urls: false",
        "strict: true",
        "markdown_extensions: [tables, fenced_code, {toc: {permalink: true}}]",
        "validation: {nav: {omitted_files: warn}, links: {not_found: warn, anchors: warn}}",
        "nav:",
    ]
    for title, section in sections.items():
        entries = [name for name in section if name in names]
        lines += [f"  - {title}:", *(f"    - {name}.md" for name in entries)] if entries else []
    return "\n".join(lines) + "\n"


def main(target: Path) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "docs").mkdir()
        texts = pages()
        for name, text in texts.items():
            (folder / "docs" / f"{name}.md").write_text(text, encoding="utf-8")
        for file in [*DOCS.glob("*.png"), Path(__file__).with_name("extra.css")]:
            shutil.copy(file, folder / "docs")
        (folder / "mkdocs.yml").write_text(configuration(set(texts)), encoding="utf-8")
        command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--config-file", str(folder / "mkdocs.yml")]
        subprocess.run([*command, "--site-dir", str(target.resolve())], check=True)
    print(f"{len(texts)} pages in {target}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build" / "site"))
