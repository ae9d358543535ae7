"""`mlraman report`: one self-contained document with every figure and number, and where they come from."""

from __future__ import annotations

import math
from pathlib import Path

from mlraman_hpc import __version__
from mlraman_hpc.base.atomic_files import atomic_write
from mlraman_hpc.base.errors import DataError
from mlraman_hpc.config.deck_reader import resolved_yaml
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.pipeline.jumps import sentence as jump_sentence
from mlraman_hpc.pipeline.spectra import coupling_sentence
from mlraman_hpc.records.forces import Forces
from mlraman_hpc.records.model import Model
from mlraman_hpc.records.spectra import Coupling, PolarizabilitySeries, RamanSpectrum
from mlraman_hpc.records.training import Convergence, LearningCurve
from mlraman_hpc.records.transport import Dynamics, Jumps
from mlraman_hpc.reports import html
from mlraman_hpc.reports import wording as verdict
from mlraman_hpc.reports.text import text_report
from mlraman_hpc.storage import hdf5
from mlraman_hpc.storage.alpha_file import read_outliers

RESULTS = {
    record.file_name: record
    for record in (Model, LearningCurve, PolarizabilitySeries, RamanSpectrum, Dynamics, Convergence, Coupling, Forces)
}


def report(job: Job) -> None:
    """Write report.html from the results that are there."""
    job.session.on_root(_report, job)


def report_text(job: Job) -> None:
    """`mlraman report --text`: the numbers on the terminal; nothing is written."""
    job.session.on_root(lambda: print(text_report(job.deck.title, str(job.output), _results(job))))


def _results(job: Job) -> dict:
    found = {name: _load(job.output / name) for name in RESULTS if (job.output / name).exists()}
    if not found:
        raise DataError(f"{job.output}: no results to report on; 'mlraman run' makes them")
    return found


def _report(job: Job) -> None:
    found = _results(job)
    parts = _summary(found)
    for section in (_spectrum, _coupling, _model, _convergence, _dynamics, _forces):
        parts += section(job.output, found)
    parts += [*_warnings(found), *_origin(job, found)]
    title = job.deck.title or "Raman spectrum"
    path = job.output / "report.html"
    with atomic_write(path) as temporary:
        temporary.write_text(html.page(title, f"mlraman_hpc {__version__}", parts), encoding="utf-8")
    job.console.say(f"wrote {path}")


def _load(path: Path):
    """The record in a file; of alpha.h5, which may be long, the outliers alone, None where there are none."""
    return read_outliers(path) if path.name == "alpha.h5" else hdf5.load(RESULTS[path.name], path)


def _summary(found: dict) -> list[str]:
    rows = verdict.table(found.get("raman.h5"), found.get("dynamics.h5"))
    if not rows:
        return []
    parts = [html.heading("Summary"), html.table(["quantity", "value", "error", "unit"], rows)]
    return parts + [html.verdict(text) for text in verdict.sentences(found.get("raman.h5"), found.get("dynamics.h5"))]


def _figures(folder: Path, captions: dict[str, str]) -> list[str]:
    return [html.figure(folder / name, caption) for name, caption in captions.items() if (folder / name).exists()]


def _spectrum(folder: Path, found: dict) -> list[str]:
    if "raman.h5" not in found:
        return []
    spectrum = found["raman.h5"]
    model = "" if spectrum.error_model is not None else " The model's error is not included."
    return [
        html.heading("Raman spectrum"),
        *_figures(
            folder,
            {
                "raman.png": f"Spherically averaged intensity (equations S1 to S3) of {spectrum.frames} frames "
                f"{spectrum.frame_interval:g} fs apart, smoothed with {spectrum.smoothing_kind} "
                f"{spectrum.smoothing:g} cm⁻¹; bands are one standard error.{model}",
                "comparison.png": "Against reference tensors and measurement, as far as given; the measurement is "
                "scaled to equal area.",
                "comparison_spectra.png": "Above spectra of other runs, each relative to its highest value; bands are "
                "one standard error. Right: the low-frequency region, magnified as noted.",
                "raman_species.png": "Auto and cross spectra of the species' shares of the polarizability; they add "
                "up to the total.",
                "raman_polarization.png": "Parallel (VV) and crossed (VH) polarization, and their ratio.",
                "raman_angle.png": "Oriented single crystal: square root of the intensity against polarization angle.",
                "central_peak.png": "Spectral density of the polarizability's fluctuations, and its fit.",
            },
        ),
    ]


def _model(folder: Path, found: dict) -> list[str]:
    if "model.h5" not in found:
        return []
    model = found["model.h5"]
    scores = model.scores
    rows = [
        [name.replace("_", "-"), f"{scores['r2'][name]:.5f}", f"{scores['rmse'][name]:.4g}"]
        for name in scores["r2"]
        if len(model.test)
    ]
    descriptor = model.descriptor
    parts = [
        html.heading("Model"),
        html.paragraph(
            f"Linear λ-SOAP model (λ = 0 and 2) of {', '.join(model.species)}, trained on {len(model.train)} labels "
            f"and tested on {len(model.test)} others; cutoff {descriptor.cutoff:g} Å, l ≤ {descriptor.max_angular}, "
            f"{descriptor.max_radial + 1} radial functions, {len(model.members)} committee members."
        ),
    ]
    if rows:
        parts.append(html.table(["component", "R²", "RMSE (Å³)"], rows))
    parts += _figures(
        folder,
        {
            "parity.png": "Predicted against reference polarizabilities of the test labels.",
            "learning_curve.png": "Error on the test labels against the number of labels trained on; bands are one "
            "standard deviation over random draws.",
        },
    )
    return parts + _learning_curve(found)


def _learning_curve(found: dict) -> list[str]:
    if "learning_curve.h5" not in found:
        return []
    curve = found["learning_curve.h5"]
    rows = [
        [
            f"{size}",
            *(_with_spread(curve.r2[part][k], curve.r2_spread[part][k]) for part in curve.r2 if "diagonal" in part),
            *(f"{curve.rmse[part][k]:.4g}" for part in curve.rmse if "diagonal" in part),
        ]
        for k, size in enumerate(curve.train_size)
    ]
    names = [part.replace("_", "-") for part in curve.r2 if "diagonal" in part]
    return [
        html.table(
            ["labels", *(f"R² {name}" for name in names), *(f"RMSE {name} (Å³)" for name in names)], rows, broad=True
        )
    ]


def _with_spread(value: float, spread: float) -> str:
    """'0.9945 ± 0.0018': as many digits as the spread has."""
    if not spread > 0:
        return f"{value:.5f}"
    digits = min(5, max(0, 1 - math.floor(math.log10(spread))))
    return f"{value:.{digits}f} ± {spread:.{digits}f}"


def _convergence(folder: Path, found: dict) -> list[str]:
    if "convergence.h5" not in found:
        return []
    result = found["convergence.h5"]
    parts = [
        html.heading("Convergence"),
        html.paragraph(
            "Distance of a spectrum to the final one: root of the integrated square of the difference, relative to "
            f"that of the final spectrum, whose own statistical error is {_percent(result.statistical_error)} in this "
            "measure."
        ),
    ]
    if result.train_size is not None:
        parts.append(
            html.table(
                ["labels", "distance"],
                [[f"{size}", _percent(distance)] for size, distance in zip(result.train_size, result.train_distance)],
            )
        )
    parts.append(
        html.table(
            ["length (ps)", "distance", "expected by chance"],
            [
                [f"{length:.4g}", _percent(distance), _percent(expected)]
                for length, distance, expected in zip(result.length, result.length_distance, result.length_expected)
            ],
        )
    )
    return parts + _figures(
        folder,
        {
            "convergence.png": "Spectra from fewer labels and from shorter trajectories, with their distance; grey: "
            "the final spectrum."
        },
    )


def _percent(value: float) -> str:
    return f"{100 * value if value > 1e-6 else 0:.2g} %" if math.isfinite(value) else "–"


def _dynamics(folder: Path, found: dict) -> list[str]:
    if "dynamics.h5" not in found:
        return []
    dynamics = found["dynamics.h5"]
    rows = [
        [
            name,
            _number(dynamics.diffusion[name], dynamics.diffusion_error[name]),
            _number(dynamics.diffusion_from_vdos[name], dynamics.diffusion_from_vdos_error[name]),
            f"{dynamics.rms_displacement[name]:.3f}",
            dynamics.verdict[name],
        ]
        for name in dynamics.diffusion
    ]
    head = ["species", "D (cm²/s)", "D from VDOS(0) (cm²/s)", "rms displacement (Å)", "motion"]
    return [
        html.heading("Dynamics"),
        html.table(head, rows, broad=True),
        *_figures(
            folder,
            {
                "msd.png": "Mean squared displacements over all time origins, and the fitted lines.",
                "vdos.png": "Vibrational density of states by species.",
            },
        ),
        *_jumps(folder, dynamics.jumps),
    ]


def _jumps(folder: Path, jumps: Jumps | None) -> list[str]:
    if jumps is None:
        return []
    texts = [html.paragraph(f"{name}: {jump_sentence(jumps, name)}.") for name in jumps.jumps]
    return [
        html.heading("Jumps between lattice sites"),
        *texts,
        *_figures(
            folder,
            {
                "jumps.png": "Top: share of the stays on a site that outlast a time; dashed: what one rate would give. "
                "Bottom: number of jumps by length. An atom has jumped when it enters the core of another site."
            },
        ),
    ]


def _forces(folder: Path, found: dict) -> list[str]:
    if "forces.h5" not in found:
        return []
    forces = found["forces.h5"]
    rows = [
        [
            name,
            f"{forces.atoms[name]}",
            f"{forces.rmse[name]:.4f}",
            f"{forces.mae[name]:.4f}",
            f"{forces.rms_reference[name]:.4f}",
            f"{100 * forces.relative_rmse[name]:.1f} %",
            f"{forces.r2[name]:.4f}",
            f"{forces.slope[name]:.3f}",
        ]
        for name in forces.rmse
    ]
    head = ["species", "atoms", "RMSE (eV/Å)", "MAE (eV/Å)", "rms force (eV/Å)", "RMSE / rms", "R²", "slope"]
    return [
        html.heading("Forces of the force field"),
        html.table(head, rows, broad=True),
        *_figures(
            folder,
            {
                "forces.png": f"Predicted against reference forces of {forces.frames} structures, "
                "every Cartesian component."
            },
        ),
    ]


def _coupling(folder: Path, found: dict) -> list[str]:
    if "coupling.h5" not in found:
        return []
    coupling = found["coupling.h5"]
    model = "without that of the model" if coupling.error_model is None else "with that of the model"
    return [
        html.heading("Raman intensity over density of states"),
        html.verdict(coupling_sentence(coupling)),
        *_figures(
            folder,
            {
                "coupling.png": "Top: density of states, and the spectral density of the polarizability's rate of "
                "change. Bottom: their ratio, the Raman coupling coefficient C(ν), with one standard "
                f"error, {model}; it is left out where there are hardly any states."
            },
        ),
    ]


def _number(value: float, error: float) -> str:
    return f"{value:.3g} ± {error:.2g}" if math.isfinite(value) else "not determined"


def _warnings(found: dict) -> list[str]:
    with_warnings = ("raman.h5", "dynamics.h5", "forces.h5")
    texts = [text for name in with_warnings if name in found for text in found[name].warnings]
    outliers = found.get("alpha.h5")
    if outliers is not None and outliers.any():
        texts.append(
            f"In {int((outliers > 0).sum())} of {len(outliers)} frames some atoms are far "
            "outside the model's training range; the model extrapolates there."
        )
    return [html.heading("Warnings"), *(html.warning(text) for text in texts)] if texts else []


def _origin(job: Job, found: dict) -> list[str]:
    rows, packages = [], {}
    for name in found:
        origin = hdf5.read_origin(job.output / name)
        last = origin.history[-1]
        packages = last["packages"]
        parents = ", ".join(f"{Path(parent).name} {digest[:8]}" for parent, digest in origin.parents.items())
        made = f"{last['date'][:16].replace('T', ' ')} UTC"
        rows.append([name, made, hdf5.content_of(job.output / name)[:8], parents])
    versions = ", ".join(f"{name} {version}" for name, version in packages.items())
    return [
        html.heading("Where it comes from"),
        html.table(["file", "made", "content", "from"], rows, broad=True),
        html.paragraph(f"mlraman_hpc {__version__}; {versions}"),
        html.folded("The deck, every key", resolved_yaml(job.deck)),
    ]
