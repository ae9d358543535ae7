"""What goes into a wheel beside the modules, and the web site of the documentation."""

import subprocess
import sys

import pytest

from mlraman_hpc.reports.result_files import record_types
from tests.helpers import ROOT

tomllib = pytest.importorskip("tomllib")  # Python 3.11
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_what_is_copied_into_the_wheel_is_there():
    included = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert set(included.values()) == {
        "mlraman_hpc/examples",
        "mlraman_hpc/examples/jobscripts",
        "mlraman_hpc/docs/changelog.md",
    }
    for source, target in included.items():
        assert (ROOT / source).exists() and not (ROOT / target).exists()


def test_the_recipes_name_every_dependency():
    """Those of conda under its names."""
    recipe = (ROOT / ".github" / "conda" / "meta.yaml").read_text(encoding="utf-8")
    for dependency in PROJECT["project"]["dependencies"]:
        assert f"- {dependency.split('>=')[0]}" in recipe
    version = __import__("mlraman_hpc").__version__
    assert f'version = "{version}"' in recipe


def test_the_web_site_has_a_page_for_every_topic(tmp_path):
    pytest.importorskip("mkdocs")
    subprocess.run([sys.executable, str(ROOT / ".github" / "site" / "build.py"), str(tmp_path)], check=True)
    pages = {path.stem for path in tmp_path.glob("*.html")}
    assert {path.stem for path in (ROOT / "mlraman_hpc" / "docs").glob("*.md")} <= pages
    text = (tmp_path / "outputs.html").read_text(encoding="utf-8")
    assert all(record.file_name in text for record in record_types())
