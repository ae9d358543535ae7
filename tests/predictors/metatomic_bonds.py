"""A metatomic model of a known polarizability, in several layouts; needs metatomic-torch."""

from math import sqrt
from pathlib import Path
from typing import Dict, List, Optional  # noqa: UP035 (TorchScript knows these names alone)

import torch
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatomic.torch import AtomisticModel, ModelCapabilities, ModelMetadata, ModelOutput, NeighborListOptions, System

NAME = "mtt::polarizability"


class Bonds(torch.nn.Module):
    """alpha = scale (30 + sum w(r) r r^T) over neighbours within 4.5 Angstrom, as `tests.small_system.alpha`."""

    def __init__(self, layout: str, sign: float, scale: float):
        super().__init__()
        self.name, self.layout, self.sign, self.scale = NAME, layout, sign, scale
        self.options = NeighborListOptions(cutoff=4.5, full_list=True, strict=True)

    def requested_neighbor_lists(self) -> List[NeighborListOptions]:  # noqa: UP006
        return [self.options]

    def forward(
        self,
        systems: List[System],  # noqa: UP006
        outputs: Dict[str, ModelOutput],  # noqa: UP006
        selected_atoms: Optional[Labels] = None,  # noqa: UP045
    ) -> Dict[str, TensorMap]:  # noqa: UP006
        tensors: List[torch.Tensor] = []  # noqa: UP006
        for system in systems:
            bonds = system.get_neighbor_list(self.options).values[:, :, 0]
            weights = torch.exp(-torch.linalg.vector_norm(bonds, dim=1) / 2)
            alpha = torch.einsum("n,na,nb->ab", weights, bonds, bonds)
            tensors.append(self.scale * (alpha + 30 * torch.eye(3, dtype=bonds.dtype)))
        t = torch.stack(tensors)
        samples = Labels(["system"], torch.arange(len(systems)).reshape(-1, 1))
        single = Labels(["polarizability"], torch.tensor([[0]]))
        axis = torch.arange(3).reshape(-1, 1)
        if self.layout == "spherical":
            zero = self.sign * (t[:, 0, 0] + t[:, 1, 1] + t[:, 2, 2]) / sqrt(3.0)
            axial = (2 * t[:, 2, 2] - t[:, 0, 0] - t[:, 1, 1]) / sqrt(12.0)
            two = torch.stack([t[:, 0, 1], t[:, 1, 2], axial, t[:, 0, 2], (t[:, 0, 0] - t[:, 1, 1]) / 2], dim=1)
            orders = Labels(["o3_mu"], torch.arange(-2, 3).reshape(-1, 1))
            blocks = [
                TensorBlock(zero.reshape(-1, 1, 1), samples, [Labels(["o3_mu"], torch.tensor([[0]]))], single),
                TensorBlock(sqrt(2.0) * two.unsqueeze(-1), samples, [orders], single),
            ]
            return {self.name: TensorMap(Labels(["o3_lambda", "o3_sigma"], torch.tensor([[0, 1], [2, 1]])), blocks)}
        if self.layout == "vector":
            block = TensorBlock(t[:, 0].unsqueeze(-1), samples, [Labels(["xyz"], axis)], single)
        else:
            components = [Labels(["xyz_1"], axis), Labels(["xyz_2"], axis)]
            if self.layout == "two_properties":
                both = Labels(["polarizability"], torch.tensor([[0], [1]]))
                block = TensorBlock(torch.stack([t, t], dim=-1), samples, components, both)
            else:
                block = TensorBlock(t.unsqueeze(-1), samples, components, single)
        return {self.name: TensorMap(Labels(["_"], torch.tensor([[0]])), [block])}


def write(path: Path, layout: str = "spherical", sign: float = 1.0, scale: float = 1.0, unit: str = "") -> Path:
    """The model exported to `path`."""
    capabilities = ModelCapabilities(
        outputs={NAME: ModelOutput(unit=unit)},
        atomic_types=[47, 53],
        interaction_range=4.5,
        length_unit="angstrom",
        supported_devices=["cpu"],
        dtype="float64",
    )
    AtomisticModel(Bonds(layout, sign, scale).eval(), ModelMetadata(name="bonds"), capabilities).save(str(path))
    return path
