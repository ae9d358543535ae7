"""Sections of the deck on spectra and what they are compared with."""

from __future__ import annotations

from typing import Literal

from mlraman_hpc.config.keys import Components, PolarizabilityUnit, Quantity, Section, Vector, key


class Geometry(Section):
    """One scattering geometry of an oriented single crystal, in the axes of the trajectory's cell."""

    name: str | None = key(None, "label in file and figure; null: made from the vectors")
    incident: Vector = key(..., "polarization of the incident light")
    scattered: Vector = key(..., "polarization of the scattered light")
    incident_direction: Vector | None = key(None, "propagation of the incident light, checked to be orthogonal")
    scattered_direction: Vector | None = key(None, "propagation of the scattered light, checked to be orthogonal")


class AngleMap(Section):
    """Polarization-orientation map: both polarizations turn about the propagation direction."""

    direction: Vector = key(..., "propagation of the light (backscattering)")
    start: Vector = key(..., "polarization at angle zero")
    step: float = key(5.0, "angle between two spectra", "degree", ge=0.1, le=90)


class SpectrumSection(Section):
    """The Raman spectrum from alpha(t)."""

    smoothing: float = key(4.0, "width of the convolution", "cm^-1", gt=0)
    smoothing_kind: Literal["gaussian", "lorentzian"] = key("gaussian", "its shape")
    smoothing_measure: Literal["sigma", "fwhm"] = key(
        "sigma", "whether the width is sigma (half width at half maximum for a Lorentzian) or the full width"
    )
    laser_wavelength: float | None = key(514.5, "wavelength of the laser; null: no (nu_in - nu)^4 factor", "nm", gt=50)
    temperature: float | None = key(None, "given: Bose-Einstein factor", "K", gt=0)
    blocks: int = key(8, "trajectory blocks for the error bars", ge=2)
    max_wavenumber: float | None = key(None, "end of the spectrum; null: where it has vanished", "cm^-1", gt=0)
    step: float | None = key(None, "grid of the smoothed spectrum; null: an eighth of the width", "cm^-1", gt=0)
    time_step: float | None = key(
        None, "time step of the Verlet integrator, to correct the frequency axis for it", "fs", gt=0
    )
    max_correlation_time: float | None = key(None, "longest lag of the autocorrelation", "fs", gt=0)
    window: Literal["none", "hann", "gaussian"] = key("none", "window on the autocorrelation up to that lag")
    low_frequency: float = key(50.0, "upper end of the low-frequency weight", "cm^-1", gt=0)
    remove_cell: Literal["volume", "strain"] | None = key(
        None,
        "cell that varies (NPT): take out of alpha what is linear in its volume, or in all components of its strain; "
        "null: nothing",
    )
    geometries: list[Geometry] = key([], "oriented single-crystal spectra")
    angle_map: AngleMap | None = key(None, "angle-resolved single-crystal map")


class SeriesSection(Section):
    """A polarizability series made elsewhere, instead of reference, model and trajectory."""

    file: str = key(..., "table, .npy, extended XYZ, or what GPUMD, CP2K (.polar) or i-PI write along a run")
    format: Literal["auto", "table", "npy", "extxyz", "gpumd", "cp2k", "ipi"] = key("auto", "format of the file")
    order: Components | None = key(None, "columns, such as [xx, yy, zz, xy, yz, zx]; never guessed")
    quantity: Quantity = key("polarizability", "what the tensors are")
    unit: PolarizabilityUnit | None = key(None, "unit of a polarizability; a dielectric tensor has none")
    tensor: str | None = key(None, "name of the tensor in extended XYZ, where several are there")
    volume: float | None = key(
        None,
        "volume of the cell, to turn a dielectric tensor into a polarizability; null: one, and arbitrary units",
        "Angstrom^3",
        gt=0,
    )
    frame_interval: float | None = key(
        None, "time between two tensors; needed where the file does not say, as those of GPUMD and CP2K do", "fs", gt=0
    )


class Experiment(Section):
    """A measured spectrum: Raman shift (cm^-1) and intensity."""

    file: str = key(..., "two columns, JCAMP-DX (.jdx, .dx) or Raman Open Database (.rod)")
    label: str = key("measured", "label in the figure")
    start: float = key(0.0, "lower end of the range over which areas are made equal", "cm^-1", ge=0)
    end: float | None = key(None, "upper end of that range; null: of the measurement", "cm^-1", gt=0)
    instrument_width: float | None = key(
        None,
        "full width at half maximum of the instrument's line (a Gaussian), to which the spectrum is broadened",
        "cm^-1",
        gt=0,
    )
    background: Literal["none", "constant", "linear"] = key(
        "none", "what is taken off the measurement, fitted over that range together with the scale"
    )
    temperature: float | None = key(
        None,
        "of a measurement with the Bose-Einstein factor, for which that of spectrum.temperature is put in (null there: "
        "the measurement is reduced); null here: measured and computed are alike",
        "K",
        gt=0,
    )
    laser_wavelength: float | None = key(
        None, "of the measurement, whose factor is replaced by that of the spectrum; null: that one", "nm", gt=50
    )


class OtherSpectrum(Section):
    """The spectrum of another run, such as another material's."""

    file: str = key(..., "its raman.h5")
    label: str = key(..., "label in the figure", min_length=1)


class ComparisonSection(Section):
    """The spectrum against that of reference tensors, against a measured one, and above those of other runs."""

    series: SeriesSection | None = key(None, "reference tensors along the same trajectory; keys as in 'series'")
    experiment: Experiment | None = key(None, "a measured spectrum")
    label: str = key("this run", "label of the spectrum itself, beside those of 'spectra'", min_length=1)
    spectra: list[OtherSpectrum] = key([], "spectra of other runs, to be drawn below this one")
    overlay: bool = key(False, "draw 'spectra' over this one, in absolute units with all errors, instead of below it")
