"""What is tested of another program's model before it is used: memory of earlier frames, behaviour under rotation."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from mlraman_hpc.base.errors import DataError, UserError
from mlraman_hpc.numerics import Floats
from mlraman_hpc.numerics.tensors import rotate
from mlraman_hpc.predictors.other_model import OtherModel
from mlraman_hpc.records.frames import Frames

# By 1 rad about (1, -2, 3): far from every symmetry operation of a cube, so that exchanged components show
_AXIS = np.array([1.0, -2.0, 3.0]) / np.sqrt(14.0)
_CROSS = np.array([[0, -_AXIS[2], _AXIS[1]], [_AXIS[2], 0, -_AXIS[0]], [-_AXIS[1], _AXIS[0], 0]])
ROTATION = np.eye(3) + np.sin(1.0) * _CROSS + (1 - np.cos(1.0)) * _CROSS @ _CROSS

MEMORY = 1e-6  # relative change of a frame's alpha by frames computed before it that is refused
TURNED = 0.1  # of the anisotropic part: deviation under rotation that is told; exchanged components give about 1
ASYMMETRY = 1e-3  # antisymmetric part relative to the largest component


@dataclass
class Findings:
    """Lines and warnings for the log."""

    lines: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def check(model: OtherModel, frames: Frames) -> Findings:
    """Try the model on two frames. Raises DataError where the same frame gives two polarizabilities, or none."""
    findings = Findings()
    first, last = frames.take([0]), frames.take([len(frames) - 1])
    model(first)  # which raises where something is wrong
    if line := model.settle(first):
        findings.lines.append(line)
    alpha = model(first).polarizability[0]
    model(last)
    again = model(first).polarizability[0]
    scale = np.abs(alpha).max()
    change = np.abs(again - alpha).max() / scale if scale else 0.0
    if change > MEMORY:
        raise DataError(
            f"{model.name} gives another polarizability for the same frame after another one was computed (relative "
            f"change {change:.1e}); it keeps something from frame to frame, so no series can be made with it"
        )
    if change > 0:
        findings.warnings.append(
            f"{model.name} gives the first frame again with a relative change of {change:.1e}: on other numbers of "
            "ranks results may differ by as much"
        )
    mean = np.trace(alpha) / 3
    volume = first.volumes[0]
    constant = f", dielectric constant {1 + 4 * np.pi * mean / volume:.4g}" if np.isfinite(volume) else ""
    findings.lines.append(f"first frame: mean polarizability {mean:.5g} Angstrom^3{constant}")
    if mean <= 0:
        findings.warnings.append(
            f"the mean polarizability of the first frame is {mean:.4g} Angstrom^3, which no material in its ground "
            "state has: check the model, model.predictor.quantity and unit"
        )
    _check_rotation(model, first, alpha, findings)
    if model.asymmetry > ASYMMETRY:
        findings.warnings.append(
            f"the tensors of {model.name} are not symmetric (by {model.asymmetry:.1e} of the largest component); "
            "their symmetric part is used"
        )
    return findings


def _check_rotation(model: OtherModel, first: Frames, alpha: Floats, findings: Findings) -> None:
    """alpha(R x) = R alpha(x) R^T; the deviation is given relative to the anisotropic part."""
    turned = replace(first, positions=first.positions @ ROTATION.T, cells=first.cells @ ROTATION.T)
    try:
        after = model(turned).polarizability[0]
    except UserError as error:  # a calculator may want its cell in one orientation
        findings.lines.append(f"a rotated first frame cannot be tried: {error}")
        return
    deviation = np.linalg.norm(after - rotate(alpha, ROTATION))
    anisotropic = np.linalg.norm(alpha - np.trace(alpha) / 3 * np.eye(3))
    relative = deviation / anisotropic if anisotropic > 0 else 0.0
    findings.lines.append(f"first frame rotated: alpha turns with it to {relative:.1e} of its anisotropic part")
    if relative > TURNED and deviation > 1e-6 * np.abs(alpha).max():
        findings.warnings.append(
            f"{model.name} does not turn alpha with the structure: after a rotation of the first frame it deviates by "
            f"{100 * relative:.0f} % of its anisotropic part. Either its components are in another order than it "
            "says, or it was trained in one orientation only; the anisotropic spectrum is doubtful"
        )
