import pytest

from mlraman_hpc.model.predictor import Predictor
from tests.model.small_model import fit_labels, labels_of, training_frames


@pytest.fixture(scope="package")
def labels():
    return labels_of(training_frames())


@pytest.fixture(scope="package")
def model(labels):
    return fit_labels(labels, regularization=1e-4, committee=6)[0]


@pytest.fixture(scope="package")
def predictor(model):
    return Predictor(model)
