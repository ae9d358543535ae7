"""The linear model as a metatomic model: lambda-SOAP by featomic in TorchScript. Imported where it is exported alone.

Annotations are what TorchScript reads, so none is postponed, and they have the names of `typing`.
"""

import json
from math import sqrt
from pathlib import Path
from typing import Dict, List, Optional, Tuple  # noqa: UP035 (TorchScript knows these names alone)

import numpy as np
import torch
from featomic.torch import SphericalExpansion
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatomic.torch import AtomisticModel, ModelCapabilities, ModelMetadata, ModelOutput, System

from mlraman_hpc import __version__
from mlraman_hpc.model.descriptors import feature_layout
from mlraman_hpc.model.featomic_reference import clebsch_gordan, spherical_expansion
from mlraman_hpc.records.model import Model

OUTPUT = "mlraman::polarizability"


class LinearPolarizability(torch.nn.Module):
    """alpha (systems, 3, 3) Angstrom^3 of the cell, or of the selected atoms.

    alpha^lambda_mu = sum_i sum_(l1 l2) sum_(m1 m2) C^(l1 l2 lambda)_(m1 m2 mu) rho_(i l1 m1) W^(s_i) rho_(i l2 m2)^T,
    with the density coefficients rho (2l + 1, Q) of atom i and the model's weights W (Q, Q); to alpha^0 is added
    sqrt(3) b_s for each atom.
    """

    def __init__(self, model: Model):
        super().__init__()
        self.output = OUTPUT
        self.numbers: List[int] = [int(number) for number in model.numbers]  # noqa: UP006
        calculator = spherical_expansion(model.descriptor)
        self.expansion = SphericalExpansion(**json.loads(calculator.parameters))
        coefficients = clebsch_gordan(model.descriptor.max_angular)
        layout = feature_layout(coefficients, len(self.numbers) * (model.descriptor.max_radial + 1))
        pairs = sorted({(l1, l2) for l1, l2, _ in coefficients})
        shape = (len(self.numbers), -1)
        squares = {
            0: layout.unpack(model.isotropic.reshape(shape), 0),
            2: layout.unpack(model.anisotropic.reshape(shape), 2),
        }
        self.terms: List[Tuple[int, int, int]] = sorted(coefficients)  # noqa: UP006
        self.couplings: List[torch.Tensor] = [torch.tensor(coefficients[key]) for key in self.terms]  # noqa: UP006
        weights = [squares[order][:, pairs.index((l1, l2))] for l1, l2, order in self.terms]
        self.weights: List[torch.Tensor] = [torch.tensor(one) for one in weights]  # noqa: UP006
        self.baseline: List[float] = [float(one) for one in model.baseline]  # noqa: UP006

    def forward(
        self,
        systems: List[System],  # noqa: UP006
        outputs: Dict[str, ModelOutput],  # noqa: UP006
        selected_atoms: Optional[Labels] = None,  # noqa: UP045
    ) -> Dict[str, TensorMap]:  # noqa: UP006
        types = torch.tensor(self.numbers).reshape(-1, 1)
        density = self.expansion.compute(systems, selected_samples=selected_atoms)
        density = density.keys_to_properties(Labels(["neighbor_type"], types))
        isotropic = torch.zeros(len(systems), 1, dtype=torch.float64)
        anisotropic = torch.zeros(len(systems), 5, dtype=torch.float64)
        for s, number in enumerate(self.numbers):
            if not bool(torch.any(density.keys.column("center_type") == number)):
                continue
            rho: List[torch.Tensor] = []  # noqa: UP006
            for l in range(self.terms[-1][1] + 1):
                rho.append(density.block({"o3_lambda": l, "center_type": number}).values)
            system = density.block({"o3_lambda": 0, "center_type": number}).samples.column("system").to(torch.int64)
            atoms = torch.full((len(system), 1), sqrt(3.0) * self.baseline[s], dtype=torch.float64)
            isotropic = isotropic.index_add(0, system, atoms)
            for k, (l1, l2, order) in enumerate(self.terms):
                products = torch.matmul(torch.matmul(rho[l1], self.weights[k][s]), rho[l2].transpose(1, 2))
                values = torch.tensordot(products, self.couplings[k], dims=2)
                if order == 0:
                    isotropic = isotropic.index_add(0, system, values)
                else:
                    anisotropic = anisotropic.index_add(0, system, values)
        return {self.output: self.tensor_map(isotropic[:, 0], anisotropic)}

    def tensor_map(self, isotropic: torch.Tensor, anisotropic: torch.Tensor) -> TensorMap:
        """Cartesian components of the spherical ones, as `numerics.tensors.from_spherical` has them."""
        third = isotropic / sqrt(3.0)
        axial, planar = anisotropic[:, 2] / sqrt(6.0), anisotropic[:, 4] / sqrt(2.0)
        xy, yz, zx = anisotropic[:, 0] / sqrt(2.0), anisotropic[:, 1] / sqrt(2.0), anisotropic[:, 3] / sqrt(2.0)
        rows = [third - axial + planar, xy, zx, xy, third - axial - planar, yz, zx, yz, third + 2 * axial]
        axis = torch.arange(3).reshape(-1, 1)
        block = TensorBlock(
            values=torch.stack(rows, dim=1).reshape(-1, 3, 3, 1),
            samples=Labels(["system"], torch.arange(len(isotropic)).reshape(-1, 1)),
            components=[Labels(["xyz_1"], axis), Labels(["xyz_2"], axis)],
            properties=Labels(["polarizability"], torch.tensor([[0]])),
        )
        return TensorMap(Labels(["_"], torch.tensor([[0]])), [block])


def write(model: Model, path: Path, extensions: Path) -> None:
    """The metatomic model at `path`; the compiled parts that it needs in `extensions`, a folder that is made anew."""
    scores = ", ".join(f"R2 {name} {model.scores['r2'][name]:.5f}" for name in ("diagonal", "off_diagonal"))
    metadata = ModelMetadata(
        name="lambda-SOAP polarizability",
        description=f"linear lambda-SOAP model of mlraman_hpc {__version__} for {', '.join(model.species)}, "
        f"{len(model.train)} labels; test labels: {scores}",
        references={"model": ["https://doi.org/10.1103/PhysRevLett.120.036002"]},
    )
    capabilities = ModelCapabilities(
        outputs={OUTPUT: ModelOutput(unit="angstrom^3", sample_kind="system", description="of the whole cell")},
        atomic_types=[int(number) for number in np.sort(model.numbers)],
        interaction_range=model.descriptor.cutoff,
        length_unit="angstrom",
        supported_devices=["cpu"],
        dtype="float64",
    )
    exported = AtomisticModel(LinearPolarizability(model).eval(), metadata, capabilities)
    exported.save(str(path), collect_extensions=str(extensions))
