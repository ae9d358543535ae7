"""GPUs of the ranks, with a PyTorch that says it sees some; and the message for each package that is missing."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest

from mlraman_hpc.base.errors import DeckKeyError
from mlraman_hpc.pipeline.predictors import _say_devices
from mlraman_hpc.predictors import making
from mlraman_hpc.predictors.metatomic import MetatomicModel
from mlraman_hpc.predictors.other_model import Resources, Settings


class Cuda:
    """What `torch.cuda` says on a host with `count` GPUs."""

    def __init__(self, count: int):
        self.count, self.current = count, None

    def is_available(self):
        return self.count > 0

    def device_count(self):
        return self.count

    def set_device(self, number):
        self.current = number

    def get_device_name(self, number):
        return "A100"

    def get_device_properties(self, number):
        return SimpleNamespace(uuid=f"GPU-{number}")


def torch_with(count: int) -> ModuleType:
    torch = ModuleType("torch")
    torch.cuda, torch.set_num_threads, torch.device = Cuda(count), lambda threads: None, lambda *of: of
    return torch


@pytest.fixture
def mace(monkeypatch):
    """A package that looks like MACE; the arguments of its calculator are kept."""
    module = ModuleType("mace.calculators")

    class MACECalculator(SimpleNamespace):
        def calculate(self):
            """Never called here."""

    module.MACECalculator = MACECalculator
    monkeypatch.setitem(sys.modules, "mace", ModuleType("mace"))
    monkeypatch.setitem(sys.modules, "mace.calculators", module)
    return Settings("mace", ("polar.model",), unit="angstrom^3")


@pytest.mark.parametrize(("gpus", "rank", "number"), [(2, 0, 0), (2, 1, 1), (2, 2, 0), (1, 3, 0), (0, 1, None)])
def test_a_rank_uses_the_gpu_of_its_number_on_the_host(monkeypatch, mace, gpus, rank, number):
    torch = torch_with(gpus)
    monkeypatch.setitem(sys.modules, "torch", torch)
    model = making.make(mace, Resources(1, rank))
    assert torch.cuda.current == number
    assert model._calculators[0].device == ("cpu" if number is None else "cuda")
    assert model.device == ("CPU" if number is None else f"GPU {number} (A100)")
    chosen = SimpleNamespace(capabilities=lambda: SimpleNamespace(supported_devices=["cpu", "cuda"]))
    metatomic = SimpleNamespace(_models=[chosen], _torch=torch, _use_gpu=model._use_gpu)
    device = MetatomicModel._choose_device(metatomic, None, Resources(1, rank))
    assert device == (("cpu",) if number is None else ("cuda", number))


def test_the_deck_may_keep_a_model_off_the_gpu(monkeypatch, mace):
    monkeypatch.setitem(sys.modules, "torch", torch_with(2))
    model = making.make(Settings(mace.calculator, mace.files, ({"device": "cpu"},), unit=mace.unit), Resources())
    assert (model.device, model.gpu, model._calculators[0].device) == ("CPU", "", "cpu")


@pytest.mark.parametrize(
    ("hosts", "gpus", "said", "warned"),
    [
        ("aabb", "0101", "ranks: 4, hosts: 2, GPUs used: 4; the ranks of a run on GPU 0, GPU 1", ""),
        ("aaa", "010", "ranks: 3, hosts: 1, GPUs used: 2", "2 ranks of a share one GPU: start one rank for each GPU"),
        ("ab", "0-", "ranks: 2, hosts: 2, GPUs used: 1", "1 of 2 ranks see no GPU and compute on the CPU"),
        ("ab", "--", "", ""),
    ],
)
def test_one_rank_for_each_gpu_is_said(hosts, gpus, said, warned):
    lines, warnings = [], []
    job = SimpleNamespace(console=SimpleNamespace(say=lines.append, warn=warnings.append))
    devices = [("CPU", "") if gpu == "-" else (f"GPU {gpu}", f"GPU-{gpu}") for gpu in gpus]
    _say_devices(job, list(hosts), devices)
    assert [said in line for line in lines] == [True] * bool(said)
    assert [warned in line for line in warnings] == [True] * bool(warned)


@pytest.mark.parametrize(
    ("calculator", "missing", "message"),
    [
        ("metatomic", "torch", "'metatomic' needs the package metatomic-torch, .*; 'pip install metatomic-torch'$"),
        ("metatomic", "metatomic", "'metatomic' needs the package metatomic-torch, .*; 'pip install metatomic-torch'$"),
        ("tnep", "calorine", "needs the package calorine, .*; 'pip install calorine'$"),
        ("mace", "mace", "needs the package mace-torch, .*; 'pip install mace-torch'$"),
        ("mace", "torch", "needs the package mace-torch, .*; 'pip install mace-torch'$"),
        ("own_model:Model", "torch", "needs the module own_model, .*; 'pip install torch'$"),
        ("own_model:Model", "unheard", "needs the module own_model, .*; own_model imports unheard, which is to be"),
        ("no_model:Model", "", "needs the module no_model, .*; one of your own is found through PYTHONPATH$"),
    ],
)
def test_a_missing_package_is_one_message(monkeypatch, tmp_path, calculator, missing, message):
    """Also where the package is installed: Python refuses to import a module that is None among the loaded ones."""
    for name in [name for name in sys.modules if missing and name.split(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, name)
    if missing:
        monkeypatch.setitem(sys.modules, missing, None)
    if missing == "metatomic":
        monkeypatch.setitem(sys.modules, "torch", torch_with(0))
    (tmp_path / "own_model.py").write_text(f"import {missing or 'json'}\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DeckKeyError, match=message) as error:
        making.make(Settings(calculator, ("polar.pt",), unit="angstrom^3"), Resources())
    assert error.value.key == "model.predictor.calculator" and "\n" not in str(error.value)
