"""The deck: every section and key, each with type, default, unit and one sentence, declared once.

`mlraman schema` prints what is declared here and in the modules of sections.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PrivateAttr

from mlraman_hpc.base.errors import DataError, DeckError, KeyLocations, Location, Mistake
from mlraman_hpc.config.keys import Section, Walltime, key
from mlraman_hpc.config.labelling_sections import LabellingSection
from mlraman_hpc.config.model_sections import (
    ConvergenceSection,
    DescriptorSection,
    LearningCurveSection,
    ModelSection,
    Reference,
)
from mlraman_hpc.config.motion_sections import DynamicsSection, ForcesSection, MdSection, TrajectorySection
from mlraman_hpc.config.spectrum_sections import ComparisonSection, SeriesSection, SpectrumSection


def _auto_section(value: Any) -> Any:
    return {"mode": "auto"} if value == "auto" else value


class Deck(Section):
    """One calculation, from labelled structures and a trajectory to a Raman spectrum."""

    title: str = key("", "shown in figures and reports")
    output: str = key(..., "folder of the results, relative to the current folder")
    walltime: Walltime = key(
        None,
        "time limit, 'HH:MM:SS', 'D-HH:MM:SS' or a number: some time before it the run stops with exit code 75; "
        "under Slurm the job's own limit is known",
        "minutes",
    )
    figures: bool = key(True, "draw figures; false: numbers alone, for hundreds of small systems")
    reference: Reference | None = key(None, "labelled structures to train on")
    descriptor: Annotated[
        DescriptorSection, BeforeValidator(_auto_section, json_schema_input_type=DescriptorSection | Literal["auto"])
    ] = Field(default_factory=lambda: DescriptorSection(mode="auto"), description="lambda-SOAP; or 'auto'")
    model: ModelSection = Field(default_factory=ModelSection, description="the linear model")
    learning_curve: LearningCurveSection | None = key(None, "error against the number of labels")
    convergence: ConvergenceSection | None = key(None, "spectra against labels and length")
    md: MdSection | None = key(None, "molecular dynamics of our own")
    labelling: LabellingSection | None = key(None, "labels to be computed")
    trajectory: TrajectorySection | None = key(None, "molecular dynamics")
    spectrum: SpectrumSection = Field(default_factory=SpectrumSection, description="the Raman spectrum")
    series: SeriesSection | None = key(None, "polarizabilities made elsewhere")
    comparison: ComparisonSection | None = key(None, "other spectra to compare with")
    dynamics: DynamicsSection | None = key(None, "motion of the atoms")
    forces: ForcesSection | None = key(None, "forces of the force field against the reference")

    _locations: KeyLocations = PrivateAttr(default_factory=lambda: KeyLocations({(): Location("deck")}))
    _folder: str = PrivateAttr(default=".")

    def set_source(self, locations: KeyLocations, folder: str = ".") -> None:
        """Where the deck comes from: location of each key, and the folder that its paths start from."""
        self._locations, self._folder = locations, folder

    @property
    def source(self) -> Location:
        """The file of the deck, or the line of a campaign's material; its text names the deck in messages."""
        return self._locations[()]

    @property
    def folder(self) -> str:
        """The folder that relative paths of input files start from."""
        return self._folder

    def location(self, dotted: str) -> str:
        """'deck.yaml:12: 'reference.train'' for messages about a key's value."""
        return f"{self._locations.nearest(_path(dotted))}: '{dotted}'"

    def mistake(self, dotted: str, text: str) -> Mistake:
        """What is wrong with the key 'reference.train', with its location."""
        return self._locations.mistake(_path(dotted), text)

    def error(self, dotted: str, text: str) -> DeckError:
        """To be raised where the key itself is wrong."""
        return DeckError.from_mistakes([self.mistake(dotted, text)])

    def data_error(self, dotted: str, text: str) -> DataError:
        """To be raised where a file that the key names is wrong."""
        return DataError(str(self.mistake(dotted, text)))


def _path(dotted: str) -> tuple[str, ...]:
    return tuple(dotted.split("."))
