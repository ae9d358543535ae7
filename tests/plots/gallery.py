"""Every figure of the package from records made by hand: a usual case, and one that asks much of the layout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from functools import cache, partial

import numpy as np

from mlraman_hpc.numerics.spectra.raman import RamanOptions, raman_spectrum
from mlraman_hpc.plots import campaign, spectra, training, transport
from mlraman_hpc.plots.conductivity import conductivity_figure
from mlraman_hpc.records.campaign import Ranking
from mlraman_hpc.records.conductivity import Conductivity
from mlraman_hpc.records.forces import Forces
from mlraman_hpc.records.spectra import CentralPeak, Comparison, Coupling, RamanSpectrum
from mlraman_hpc.records.training import Convergence, LearningCurve
from mlraman_hpc.records.transport import Arrhenius, Dynamics, Jumps

LONG = "Lithium lanthanum zirconate with aluminium and tantalum, Li6.25Al0.15La3Zr1.8Ta0.2O12, on 12,000 ranks, 500 K"
TITLE = {"usual": "α-AgI, 500 K", "crowded": LONG}
ELEMENTS = {"usual": ("Ag", "I"), "crowded": ("Li", "Al", "La", "Zr", "Ta", "O")}
MATERIALS = {
    "usual": ["AgI", "AgBr", "RbAg4I5", "Ag3SI"],
    "crowded": [f"Li{k}La3Zr1.{k}Ta0.2O12, quarter {k}" for k in range(9)],
}


def gallery(case: str) -> dict[str, Callable]:
    """{file name: function of the path}; `case` is 'usual' or 'crowded'."""
    title, spectrum = TITLE[case], raman(case)
    dynamics, ranking = motion(case), campaign_ranking(case)
    rng = np.random.default_rng(5)
    alpha = 300 + 5 * rng.normal(size=(900 if case == "crowded" else 30, 3, 3))
    return {
        "raman": partial(spectra.raman_figure, spectrum=spectrum, title=title),
        "raman_polarization": partial(spectra.polarization_figure, spectrum=spectrum, title=title),
        "raman_reduced": partial(spectra.reduced_figure, spectrum=spectrum, title=title),
        "raman_species": partial(spectra.species_figure, spectrum=spectrum, title=title),
        "raman_angle": partial(spectra.angle_figure, spectrum=spectrum, title=title),
        "central_peak": partial(spectra.central_peak_figure, spectrum=spectrum, title=title),
        "comparison": partial(
            spectra.comparison_figure,
            comparison=comparison(spectrum),
            end=spectrum.visible_end,
            label="measured at 300 K, A. Author et al., J. Raman Spectrosc. 12, 345" if case == "crowded" else "",
            title=title,
        ),
        "coupling": partial(spectra.coupling_figure, coupling=coupling(), title=title),
        "parity": partial(
            training.parity_figure, reference=alpha, predicted=alpha + rng.normal(size=alpha.shape), title=title
        ),
        "learning_curve": partial(training.learning_curve_figure, curve=learning_curve(), title=title),
        "convergence": partial(training.convergence_figure, convergence=convergence(spectrum), title=title),
        "forces": partial(training.forces_figure, forces=forces(case), title=title),
        "vdos": partial(transport.vdos_figure, dynamics=dynamics, title=title),
        "msd": partial(transport.msd_figure, dynamics=dynamics, title=title),
        "conductivity": partial(
            conductivity_figure, dynamics=replace(dynamics, conductivity=charged(case)), title=title
        ),
        "jumps": partial(transport.jumps_figure, jumps=jumps(case), title=title),
        "campaign_arrhenius": partial(transport.arrhenius_figure, ranking=ranking),
        "campaign_spectra": partial(campaign.spectra_figure, ranking=ranking, most=24),
        "campaign_diffusion": partial(campaign.diffusion_figure, ranking=ranking),
    }


def _alpha(frames: int, white: float, seed: int = 0) -> np.ndarray:
    """A relaxing series with two vibrations, and white noise that reaches the Nyquist wavenumber."""
    rng = np.random.default_rng(seed)
    time = np.arange(frames)
    slow = np.zeros((frames, 3, 3))
    for k in range(1, frames):
        slow[k] = 0.9 * slow[k - 1] + rng.normal(size=(3, 3))
    phase = rng.uniform(0, 6, (2, 3, 3))
    modes = np.cos(0.35 * time[:, None, None] + phase[0]) + np.cos(0.6 * time[:, None, None] + phase[1])
    alpha = slow + modes + white * rng.normal(size=(frames, 3, 3))
    return alpha + np.swapaxes(alpha, 1, 2)


@cache
def raman(case: str) -> RamanSpectrum:
    crowded = case == "crowded"
    species = ELEMENTS[case]
    shares = np.stack([_alpha(400, 1.5 * crowded, seed) for seed in range(len(species))], axis=1)
    alpha = shares.sum(axis=1)
    members = alpha[:, None] * (1 + 0.1 * np.random.default_rng(1).normal(size=(1, 4, 1, 1)))
    options = RamanOptions(angle_map=((0, 0, 1), (1, 0, 0), 30.0), most_modes=1, blocks=4)
    spectrum = raman_spectrum(alpha, 20.0, options, shares=shares, species=species, members=np.moveaxis(members, 1, 0))
    nu = spectrum.wavenumber[spectrum.wavenumber < 150]
    fit = 0.3 + 40 / (nu**2 + 100)
    peak = CentralPeak(50.0, 0.2, 0.01, 1.0, 0.1, 2.0, 0.1, debye_width=10.0, debye_width_error=0.7, debye_area=4.0)
    peak = replace(peak, debye_area_error=0.2, fit_wavenumber=nu, fit=fit)
    return replace(spectrum, central_peak=peak, error_model=None if crowded else spectrum.error_model)


def comparison(spectrum: RamanSpectrum) -> Comparison:
    total = spectrum.intensity["total"]
    return Comparison(
        wavenumber=spectrum.wavenumber,
        ours=total,
        error=spectrum.error_statistical["total"],
        reference=1.1 * total,
        experiment_wavenumber=spectrum.wavenumber,
        experiment=0.8 * total,
    )


def coupling() -> Coupling:
    nu = np.arange(0, 300, 1.0)
    states = np.exp(-(((nu - 100) / 60) ** 2))
    value = np.where(states > 0.01, 0.2 + nu / 300, np.nan)
    return Coupling(
        wavenumber=nu,
        coupling=value,
        error=0.02 + 0.3 * (nu / 300) ** 4,
        activity=np.nan_to_num(value) * states,
        activity_error=0.05 * states,
        vdos=states,
        vdos_error=0.03 * states,
        mean=0.5,
        cutoff=50.0,
        low=0.5,
        low_error=0.1,
        spread=0.3,
        temperature=500.0,
        smoothing=4.0,
        error_model=0.05 * np.nan_to_num(value),
    )


def learning_curve() -> LearningCurve:
    sizes = np.array([10, 20, 50, 100, 200])
    names = ("diagonal", "off_diagonal")
    r2 = {name: 1 - k / sizes for name, k in zip(names, (8, 3))}
    rmse = {name: k / np.sqrt(sizes) for name, k in zip(names, (10, 3))}
    draws = {name: np.zeros((len(sizes), 3)) for name in names}
    r2_deviation = {name: 0.5 / sizes for name in names}
    rmse_deviation = {name: 0.1 * rmse[name] for name in names}
    return LearningCurve(sizes, r2, rmse, r2_deviation, rmse_deviation, draws, draws, 50)


def convergence(spectrum: RamanSpectrum) -> Convergence:
    total = spectrum.intensity["total"]
    parts = np.stack([total * factor for factor in (0.8, 1.3, 1.1, 1.0)])
    distance = np.array([0.2, 0.3, 0.1, 0.0])
    length = np.array([3.0, 6.0, 12.0, 24.0])
    return Convergence(
        spectrum.wavenumber, length, parts, distance, distance, 0.05, np.array([10, 20, 50, 100]), parts, distance
    )


def forces(case: str) -> Forces:
    rng = np.random.default_rng(2)
    names = ("total", *ELEMENTS[case])
    edges = np.linspace(-3, 3, 61)
    reference = rng.normal(size=5000)
    counts = np.histogram2d(reference, reference + 0.1 * rng.normal(size=5000), (edges, edges))[0]
    numbers = dict.fromkeys(names, 0.0973)
    return Forces(
        frames=20,
        atoms=dict.fromkeys(names, 5000),
        **{name: numbers for name in ("rmse", "mae", "rms_reference", "relative_rmse", "r2", "slope", "largest_error")},
        largest_at=dict.fromkeys(names, "a.extxyz, frame 3"),
        density=dict.fromkeys(names, counts),
        edges_reference=dict.fromkeys(names, edges),
        edges_predicted=dict.fromkeys(names, edges),
    )


def motion(case: str) -> Dynamics:
    names = ELEMENTS[case]
    nu = np.arange(0, 800, 2.0)
    width = 600 if case == "crowded" else 60
    vdos = {name: np.exp(-(((nu - 60 * (k + 1)) / width) ** 2)) for k, name in enumerate(names)}
    vdos["total"] = sum(vdos.values())
    time = 10.0 * np.arange(2000)
    first, rest = names[0], names[1:]
    diffusion = {first: 3.03e-5} | dict.fromkeys(rest, np.nan)
    nothing = dict.fromkeys(names, 0.0)
    lag = np.geomspace(10, 10000, 15)
    return Dynamics(
        wavenumber=nu,
        vdos=vdos,
        vdos_error={name: 0.05 * value for name, value in vdos.items()},
        degrees=nothing,
        time=time,
        msd={first: 1e-3 + 1.8e-3 * time} | {name: 0.3 + 0.1 * k - 0.2 / (1 + time) for k, name in enumerate(rest)},
        lag_time=lag,
        non_gaussian={name: 0.1 * k + 0.2 * np.exp(-((np.log(lag) - 6) ** 2)) for k, name in enumerate(names)},
        rms_displacement=dict.fromkeys(names, 0.47),
        diffusion=diffusion,
        diffusion_error={first: 1.9e-6} | dict.fromkeys(rest, np.nan),
        diffusion_axes={},
        diffusion_axes_error={},
        diffusion_upper=dict.fromkeys(names, 2e-7),
        diffusion_from_vdos=dict.fromkeys(names, 3e-5),
        diffusion_from_vdos_error=dict.fromkeys(names, 3e-6),
        fit_window=dict.fromkeys(names, np.array([2000.0, 8000.0])),
        fit_offset=dict.fromkeys(names, 0.1),
        fit_slope=nothing,
        verdict={first: "diffusive"} | dict.fromkeys(rest, "no diffusion"),
        temperature=500.0,
        frames=2000,
        frame_interval=10.0,
        smoothing=4.0,
        resolution=1.0,
        nyquist=830.0,
        mass_weighted=True,
        drift="all",
        source="positions",
        mobile=names[:2] if case == "crowded" else names[:1],
    )


def charged(case: str) -> Conductivity:
    """sigma(nu) with a band beside its limit; the estimates differ."""
    names, time, nu = ELEMENTS[case], np.arange(2000) * 10.0, np.linspace(0, 400, 401)
    sigma = 2.1 / (1 + (nu / 40) ** 2) + 4 * np.exp(-((nu - 120) ** 2) / 800)
    values = dict.fromkeys((field.name for field in fields(Conductivity)), 0.2)
    values |= {
        "charge": {name: 1.0 if name in names[:1] else -1.0 for name in names},
        "charge_source": "oxidation states",
        "temperature_source": "kinetic energy",
        "temperature": 500.0,
        "square_displacement": 16 * (0.4 + 0.0023 * time),
        "square_charge": 16.0,
        "nernst_einstein": 1.67,
        "einstein": 2.13,
        "green_kubo": 2.08,
        "diffusion": 3.8e-5,
        "diffusion_error": 4e-6,
        "haven": 0.787,
        "haven_green_kubo": 0.805,
        "fit_window": np.array([800.0, 9000.0]),
        "fit_offset": 6.4,
        "fit_slope": 16 * 0.0023 / 6,
        "verdict": "diffusive",
        "wavenumber": nu,
        "spectrum": sigma,
        "spectrum_error": 0.1 * sigma,
        "carriers": names[:1],
    }
    return Conductivity(**values)


def jumps(case: str) -> Jumps:
    names = ELEMENTS[case][:3]
    time = np.linspace(0.1, 8, 40)
    values = {field.name: dict.fromkeys(names, 0.4) for field in fields(Jumps)}
    values |= {
        "jumps": dict.fromkeys(names, 900),
        "residence": dict.fromkeys(names, 1.152),
        "residence_error": dict.fromkeys(names, 0.036),
        "lengths": {name: np.array([1.8, 2.5, 3.1]) + 0.1 * k for k, name in enumerate(names)},
        "counts": dict.fromkeys(names, np.array([850, 160, 30])),
        "time": dict.fromkeys(names, time),
        "survival": {name: np.exp(-time / (k + 1)) for k, name in enumerate(names)},
        "expected": {name: np.exp(-time / (k + 1.2)) for k, name in enumerate(names)},
        "verdict": dict.fromkeys(names, "hopping"),
    }
    return Jumps(**values)


def campaign_ranking(case: str) -> Ranking:
    names, elements = MATERIALS[case], ELEMENTS[case]
    count = len(names)
    rng = np.random.default_rng(3)
    nu = np.arange(0, 400, 1.0)
    columns = {field.name: np.full(count, 0.5) for field in fields(Ranking)}
    weight = np.sort(rng.uniform(0.05, 0.4, count))[::-1]
    diffusion = 1e-6 * 10 ** (4 * weight + 0.4 * rng.normal(size=count))
    diffusion[-1] = np.nan
    curve = {"wavenumber": nu, "error": np.full(len(nu), 0.03)}
    columns |= {
        "name": tuple(names),
        "weight": weight,
        "weight_error": 0.05 * weight,
        "relaxing": 0.05 * weight,
        "relaxing_error": 0.004 * weight,
        "unlike": ("",) * count,
        "extrapolated": np.zeros(count),
        "cutoff": np.full(count, 50.0),
        "diffusing": tuple(elements[k % 2] for k in range(count)),
        "diffusion": diffusion,
        "diffusion_error": 0.1 * diffusion,
        "diffusion_upper": np.full(count, 2e-6),
        "spectrum": {
            name: {**curve, "intensity": np.exp(-(((nu - 110) / 30) ** 2)) + 0.5 * share * np.exp(-nu / 20)}
            for name, share in zip(names, weight)
        },
        "arrhenius": arrhenius(case),
    }
    return Ranking(**columns)


def arrhenius(case: str) -> Arrhenius:
    series = ["AgI Ag"] if case == "usual" else [f"LLZO with {k} Ta {name}" for name in ("Li", "O") for k in range(3)]
    temperature = np.array([400.0, 500.0, 600.0, 700.0])
    line = np.linspace(300, 700, 60)

    def value(k: int, t: np.ndarray) -> np.ndarray:
        return 1e-3 * np.exp(-(0.2 + 0.05 * k) / 8.617e-5 / t)

    each = {name: value(k, temperature) for k, name in enumerate(series)}
    diffusion = {name: np.where(temperature > 400, values, np.nan) for name, values in each.items()}
    columns = {field.name: dict.fromkeys(series, 0.1) for field in fields(Arrhenius)}
    columns |= {
        "temperature": dict.fromkeys(series, temperature),
        "diffusion": diffusion,
        "error": {name: 0.1 * values for name, values in diffusion.items()},
        "upper": {name: np.where(temperature > 400, np.nan, 2 * values) for name, values in each.items()},
        "energy": {name: 0.2 + 0.05 * k for k, name in enumerate(series)},
        "energy_error": dict.fromkeys(series, 0.012),
        "room": {name: value(k, np.array(300.0)) * np.array([1, 0.8, 1.25]) for k, name in enumerate(series)},
        "line_temperature": dict.fromkeys(series, line),
        "line": {name: value(k, line) for k, name in enumerate(series)},
        "line_error": dict.fromkeys(series, np.full(60, 0.2)),
        "points": dict.fromkeys(series, 3),
        "verdict": dict.fromkeys(series, ""),
    }
    return Arrhenius(**columns)
