"""Labels that are nearly linear in the features, and a model fitted to them."""

import numpy as np

from mlraman_hpc.model.descriptors import features
from mlraman_hpc.model.regression import fit
from mlraman_hpc.numerics.tensors import from_components, from_spherical
from mlraman_hpc.records.frames import Frames, Labels
from mlraman_hpc.records.model import Descriptor
from tests.model.structures import CUBE, SKEW, frames, gas

DESCRIPTOR = Descriptor(cutoff=4.0, cutoff_width=0.8, density_width=0.5, max_angular=3, max_radial=2)
NUMBERS = [3, 16]


def training_frames(count=24) -> Frames:
    """Cells of different shape and composition."""
    return frames(*(gas(100 + k, 8 + k % 4, SKEW if k % 2 else CUBE) for k in range(count)))


def labels_of(structures: Frames, noise=0.05) -> Labels:
    """Labels that are linear in the features, with a baseline for each species, and noise."""
    rng = np.random.default_rng(7)
    X = features(structures, DESCRIPTOR, NUMBERS)
    isotropic = np.sqrt(3) * X.composition @ [0.3, 2.9] + X.X0 @ rng.normal(size=X.X0.shape[1])
    alpha = from_spherical(isotropic, X.X2 @ rng.normal(size=X.X2.shape[2]))
    alpha += from_components(rng.normal(size=(len(alpha), 6))) * noise
    return Labels(structures, alpha, tuple(f"made up, frame {k}" for k in range(len(alpha))))


def fit_labels(labels: Labels, **options):
    """The first two thirds for training: (model, warnings)."""
    rows = np.arange(len(labels))
    train, test = np.split(rows, [2 * len(rows) // 3])
    return fit(features(labels.frames, DESCRIPTOR, NUMBERS), labels, train, test, DESCRIPTOR, **options)
