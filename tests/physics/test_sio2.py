"""alpha-SiO2, 1000 VASP dielectric tensors along 10 ps: accuracy of the model and of the spectrum made with it."""

import gzip
from dataclasses import replace

import h5py
import numpy as np
import pytest
from scipy.signal import find_peaks

from mlraman_hpc.model.descriptors import features
from mlraman_hpc.model.regression import fit, predict_features
from mlraman_hpc.numerics.tensors import components
from mlraman_hpc.readers.tensors import outcar
from mlraman_hpc.readers.tensors.labels import read_labels
from mlraman_hpc.readers.tensors.trajectory_labels import read_table_labels
from mlraman_hpc.readers.trajectory.index import build_index
from mlraman_hpc.records.model import Descriptor
from tests.helpers import run_command

pytestmark = pytest.mark.slow  # whole runs

ORDER = ["xx", "yy", "zz", "xy", "yz", "zx"]
DESCRIPTOR = Descriptor(cutoff=5.0, cutoff_width=0.5, density_width=0.3, max_angular=4, max_radial=5)
VOLUME = 4.873430 * 4.220514 * 5.374190  # Angstrom^3, fixed along the run


@pytest.fixture(scope="module")
def labels(data, tmp_path_factory):
    index = build_index([data / "sio2" / "XDATCAR.gz"], "auto", tmp_path_factory.mktemp("scratch"), None, pytest.fail)
    return read_table_labels(data / "sio2" / "alpha.dat", ORDER, "dielectric", None, index, 9, 10, pytest.fail)


@pytest.fixture(scope="module")
def known(labels):
    return features(labels.frames, DESCRIPTOR, sorted(set(labels.frames.numbers.tolist())))


SIZES, DRAWS = (20, 40, 80, 140, 300), 3


@pytest.fixture(scope="module")
def curve(labels, known):
    """R2 on 300 labels never trained on: diagonal, off-diagonal, worst of each (sizes, draws, 4)."""
    found = np.empty((len(SIZES), DRAWS, 4))
    for draw in range(DRAWS):
        order = np.random.default_rng(draw).permutation(len(labels))
        for row, size in enumerate(SIZES):
            model, _ = fit(known, labels, order[300 : 300 + size], order[:300], DESCRIPTOR)
            r2 = model.scores["r2"]
            found[row, draw] = (
                r2["diagonal"],
                r2["off_diagonal"],
                min(r2[name] for name in ORDER[:3]),
                min(r2[name] for name in ORDER[3:]),
            )
    return found


@pytest.mark.parametrize(("size", "diagonal", "off_diagonal"), [(300, 0.9997, 0.9993), (140, 0.9995, 0.9985)])
def test_every_component_is_learnt(size, diagonal, off_diagonal, curve):
    """Worst component, mean over draws."""
    worst = curve[SIZES.index(size), :, 2:].mean(axis=0)
    assert worst[0] >= diagonal and worst[1] >= off_diagonal


def test_more_labels_are_better_and_140_are_enough(curve):
    """R2 grows from size to size, in every draw, and exceeds 0.999 from 140 labels on. To 700: benchmarks/sio2.py."""
    assert (np.diff(curve[..., :2], axis=0) > 0).all()
    assert curve[SIZES.index(140), :, :2].min() >= 0.999


def test_outcars_hold_the_tables_values_exactly(data, labels):
    files = sorted((data / "sio2" / "outcar").glob("*.gz"))
    rows = [int(file.name[:6]) // 10 - 1 for file in files]
    tensors = np.loadtxt(data / "sio2" / "alpha.dat")[rows]
    for file, tensor in zip(files, tensors):
        [one] = outcar.FORMAT.parse(gzip.decompress(file.read_bytes()), file.name)
        printed = one.tensors["dielectric"]
        assert [printed[i, j] for i, j in [(0, 0), (1, 1), (2, 2), (0, 1), (1, 2), (2, 0)]] == tensor.tolist()
    found = read_labels(files, "outcar", None, None, pytest.fail)
    assert np.abs(found.polarizability - labels.polarizability[rows]).max() < 1e-4  # tensors are symmetrised


@pytest.fixture(scope="module")
def spectra(data, tmp_path_factory):
    """(wavenumber, total from predictions, total from the DFPT tensors), smoothing 6 cm^-1."""
    folder = tmp_path_factory.mktemp("sio2")
    table = f"file: {data}/sio2/alpha.dat, format: table, order: [{', '.join(ORDER)}], quantity: dielectric"
    smoothing = "spectrum: {smoothing: 6, max_wavenumber: 1500}\n"
    (folder / "dfpt.yaml").write_text(
        f"output: dfpt\nseries: {{{table}, volume: {VOLUME}, frame_interval: 10}}\n{smoothing}"
    )
    (folder / "ours.yaml").write_text(
        f"output: ours\nreference: {{{table.replace('file:', 'files:')}, first: 9, every: 10, train: 300, test: 300}}\n"
        "descriptor: {cutoff: 5.0, cutoff_width: 0.5, density_width: 0.3, max_angular: 4, max_radial: 5}\n"
        f"trajectory: {{files: {data}/sio2/XDATCAR.gz, frame_interval: 1.0, first: 9, every: 10}}\n{smoothing}"
    )
    for deck in ("dfpt.yaml", "ours.yaml"):
        done = run_command(0, ["run", deck], folder)
        assert done.returncode == 0, done.stderr
    with h5py.File(folder / "ours/raman.h5") as ours, h5py.File(folder / "dfpt/raman.h5") as dfpt:
        return ours["wavenumber"][:], ours["intensity/total"][:], dfpt["intensity/total"][:]


def test_spectrum_agrees_with_the_one_from_first_principles(spectra):
    nu, ours, dfpt = spectra
    shown = (nu >= 20) & (nu <= 1500)
    assert np.linalg.norm((ours - dfpt)[shown]) < 0.003 * np.linalg.norm(dfpt[shown])


@pytest.mark.parametrize("band", [117, 244, 272, 342, 506, 791, 1088])
def test_bands_of_quartz(spectra, band):
    nu, ours, _ = spectra
    peaks = nu[find_peaks(ours, prominence=0.003 * ours.max())[0]]
    assert np.abs(peaks - band).min() < 2


def test_committee_bars_cover_labels_never_seen(labels, known):
    """One standard deviation of the members holds 60 to 76 % of the errors on 300 left-out labels (two draws)."""
    covered = []
    for seed in range(2):
        order = np.random.default_rng(seed).permutation(len(labels))
        model, _ = fit(known, labels, order[300:600], order[:300], DESCRIPTOR, committee=16, seed=seed)
        unseen = known.take(order[:300])
        members = np.array(
            [
                components(
                    predict_features(
                        replace(model, baseline=baseline, isotropic=isotropic, anisotropic=anisotropic), unseen
                    )
                )
                for baseline, isotropic, anisotropic in model.members
            ]
        )
        error = components(labels.polarizability[order[:300]]) - components(predict_features(model, unseen))
        covered.append(np.abs(error) < members.std(axis=0, ddof=1))
    assert 0.60 < np.mean(covered) < 0.76
