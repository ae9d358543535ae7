"""`mlraman export model.h5 --metatomic model.pt`: the linear model for other programs."""

from __future__ import annotations

import argparse
from pathlib import Path

from mlraman_hpc.model.export import export_metatomic
from mlraman_hpc.records.model import Model
from mlraman_hpc.runtime.session import Session
from mlraman_hpc.storage import hdf5


def export(session: Session, options: argparse.Namespace) -> None:
    """Write the file and say what it is; DataError where it cannot be written."""
    session.on_root(_export, Path(options.model), Path(options.metatomic))


def _export(source: Path, target: Path) -> None:
    for line in export_metatomic(hdf5.load(Model, source), target):
        print(line)
