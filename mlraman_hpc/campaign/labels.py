"""`mlraman label` on a campaign: labels go to the materials whose place in the ranking is least known.

Every material that has no labels of its own begins with a round. After that the next round is for those whose number
(`relaxing`) has an error by the model that is large against what else makes their place uncertain:

    need = s/max(t, g) > stop_share,

with s the model's error, t the trajectory's, and g the distance to the nearest number of another material. Of these the
ones above half of the largest need are next. A material whose own loop has ended gets no more.
"""

from __future__ import annotations

import argparse
import csv
import io
import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path

from mlraman_hpc.base.errors import DataError, DeckError, StoppedEarly, UserError
from mlraman_hpc.base.numbers import number
from mlraman_hpc.campaign import command
from mlraman_hpc.campaign.material import attempt, message_of, opened, write
from mlraman_hpc.campaign.plan import Run
from mlraman_hpc.campaign.rows import convention_of
from mlraman_hpc.commands.label import begun_round, ended_round, resumed, work_of
from mlraman_hpc.config.campaign_deck import COMPUTED, NONE, Material
from mlraman_hpc.labelling.evaluation import history_of
from mlraman_hpc.labelling.inputs import SUBMIT, array_script
from mlraman_hpc.labelling.manifest import FILE_NAME as MANIFEST
from mlraman_hpc.labelling.manifest import read_manifest
from mlraman_hpc.labelling.preparation import FOLDER, HEADER, listed_runs
from mlraman_hpc.labelling.rounds import required_manifest
from mlraman_hpc.labelling.runner import Work, run_calculations
from mlraman_hpc.labelling.stopping import Verdict
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.records.spectra import RamanSpectrum
from mlraman_hpc.runtime.session import Session
from mlraman_hpc.storage import hdf5

TABLE, LISTING, ARRAY = "labels.csv", "label_folders.txt", "label_array.sh"
SHARE_OF_LARGEST = 0.5
NAN = math.nan


@dataclass
class Place:
    """What is known of a material's place in the ranking.

    labels, open     frames trained on; calculations without a result
    number           it is ranked by; model_error, statistical_error: its errors; gap: to the nearest other number
    need             s/max(t, g); of a material without a number, of its own spectrum: model's error over trajectory's
    verdict          of its own loop; '' where no labels are computed for it
    """

    name: str
    labels: int = 0
    open: int = 0
    number: float = NAN
    model_error: float = NAN
    statistical_error: float = NAN
    gap: float = NAN
    need: float = NAN
    verdict: str = ""
    convention: str = ""

    @property
    def goes_on(self) -> bool:
        return self.verdict == Verdict.GO_ON.value


def label(session: Session, options: argparse.Namespace) -> None:
    """Rounds until no place needs labels, then the campaign. StoppedEarly while job arrays are to run."""
    run = command.begun(session, options, "label")
    labelled = [material for material in run.plan.materials if material.model is COMPUTED]
    if not labelled:
        error = DeckError(
            f"{run.plan.name}: no material's labels are to be computed; that needs the section 'labelling', and no "
            "'reference' or model"
        )
        error.shared = True
        raise error
    later = replace(run, force=False)  # --force is for calculations that failed
    with command.folder(run):
        failed = command.computed(later, [one for one in run.plan.materials if one.model is not COMPUTED])
        problems = _rounds(run, labelled)
        failed |= problems | command.computed(later, [one for one in labelled if one.name not in problems])
        command.finish(later, failed)


def _rounds(run: Run, labelled: list[Material]) -> dict[str, str]:
    """All rounds; messages of materials that failed, by name."""
    failed: dict[str, str] = {}
    verdicts = {material.name: _attempted(run, material, resumed, failed, run.force) for material in labelled}
    shares = {material.name: material.deck.labelling.stop_share for material in labelled if material.deck.labelling}
    while True:
        for name in failed:
            verdicts.pop(name, None)
        places = run.session.on_root(places_of, run.plan.materials, verdicts)
        chosen = next_materials(places, shares)
        run.session.only_on_root(_tell, run, places, chosen)
        if not chosen:
            return failed
        begun = [material for material in labelled if material.name in chosen]
        for material in begun:
            verdicts[material.name] = _attempted(run, material, begun_round, failed, False)
        begun = [material for material in begun if verdicts[material.name] is Verdict.GO_ON]
        _calculate(run, begun, failed)
        begun = [material for material in begun if material.name not in failed]
        for material in begun:
            verdicts[material.name] = _attempted(run, material, ended_round, failed, False)
        waiting = [one for one in begun if verdicts[one.name] is None and one.name not in failed]
        if waiting:
            _wait(run, waiting)


def _calculate(run: Run, materials: list[Material], failed: dict[str, str]) -> None:
    """The open calculations of all materials; those with the same command and `parallel` share the places."""
    alike: dict[tuple[str, int], list[Material]] = {}
    for material in materials:
        section = material.deck.labelling
        if section is not None and section.command:
            alike.setdefault((section.command, section.parallel), []).append(material)
    for together in alike.values():
        _calculate_together(run, together, failed)


def _calculate_together(run: Run, materials: list[Material], failed: dict[str, str]) -> None:
    """A material whose folder another job uses is left out; a command that cannot run is the fault of all."""
    session, level = run.session, run.session.on_root(lambda: run.console.level)
    works: dict[str, Work] = {}
    try:
        with ExitStack() as stack:
            for material in materials:
                try:
                    work = work_of(stack.enter_context(opened(material, session, level, False)))
                except StoppedEarly:
                    raise
                except UserError as error:
                    _fail(run, material.name, message_of(error, session), failed)
                    continue
                if work is not None:
                    works[material.name] = work
            if works:
                with run.job.stage("calculate"), next(iter(works.values())).job.located():
                    run_calculations(session, run.console, list(works.values()))
    except StoppedEarly:
        raise
    except UserError as error:
        for name in works:
            _fail(run, name, message_of(error, session), failed)


def _fail(run: Run, name: str, problem: str, failed: dict[str, str]) -> None:
    failed[name] = problem
    run.console.say(f"{name}: failed: {' '.join(problem.split())}")


def _attempted(run: Run, material: Material, action, failed: dict[str, str], force: bool) -> Verdict | None:  # type: ignore[no-untyped-def]
    """The verdict of a step of the material's own loop; None where it waits for an array, or has failed."""
    found: list[Verdict | None] = []

    def work(job: Job) -> None:
        with job.located():
            found.append(action(job))

    session = run.session
    level = session.on_root(lambda: run.console.level)
    problem = attempt(material, session, level, force, work)
    if problem is not None:
        _fail(run, material.name, problem, failed)
    return found[0] if found else None


def places_of(materials: Sequence[Material], verdicts: dict[str, Verdict | None]) -> list[Place]:
    """Of every material that may be ranked, in the deck's order; on root."""
    places = [
        _place(material, verdicts.get(material.name))
        for material in materials
        if material.model != NONE and (material.model is not COMPUTED or material.name in verdicts)
    ]
    for place in places:
        others = [one.number for one in places if one is not place and one.convention == place.convention]
        distances = [abs(place.number - other) for other in others if math.isfinite(other)]
        place.gap = min(distances, default=NAN)
        if math.isfinite(place.number) and math.isfinite(place.model_error):
            scale = max(value for value in (place.statistical_error, place.gap, 0.0) if math.isfinite(value))
            place.need = place.model_error / scale if scale > 0 else math.inf
    return places


def _place(material: Material, verdict: Verdict | None) -> Place:
    place = Place(material.name, convention=convention_of(material))
    if material.model is COMPUTED:
        place.verdict = (verdict or Verdict.GO_ON).value
        manifest = read_manifest(material.folder / MANIFEST)
        place.open = len(manifest.open) if manifest is not None else 0
        history = history_of(material.folder)
        if history is None:
            return place
        place.labels = int(history.labels[-1])
        if history.statistical_error[-1] > 0:
            place.need = float(history.model_error[-1] / history.statistical_error[-1])
    path = material.folder / RamanSpectrum.file_name
    spectrum = hdf5.load(RamanSpectrum, path) if path.exists() else None
    peak = None if spectrum is None else spectrum.central_peak
    if spectrum is not None and peak is not None:
        place.number, place.model_error, place.statistical_error = (
            NAN if value is None else spectrum.relative(value)
            for value in (peak.relaxing_below, peak.relaxing_below_model_error, peak.relaxing_below_error)
        )
    return place


def next_materials(places: Sequence[Place], shares: dict[str, float]) -> list[str]:
    """Names of those that get the next round: all without a spectrum or with open calculations, else the neediest."""
    going = [place for place in places if place.name in shares and place.goes_on]
    begun = [place.name for place in going if place.open or math.isnan(place.need)]
    if begun:
        return begun
    needy = [place for place in going if place.need > shares[place.name]]
    largest = max((place.need for place in needy), default=0.0)
    return [place.name for place in needy if place.need >= SHARE_OF_LARGEST * largest]


def _tell(run: Run, places: list[Place], chosen: list[str]) -> None:
    """labels.csv and the log: what each place is worth, and who is next."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*(field.name for field in fields(Place)), "next"])
    for place in places:
        values = ["" if isinstance(value, float) and math.isnan(value) else value for value in astuple(place)]
        writer.writerow([*values, "yes" if place.name in chosen else ""])
    write(run.plan.output / TABLE, text.getvalue())
    width = max(len(place.name) for place in places)
    run.console.say("labels and what they leave open in the ranking (need: model's error over trajectory's or gap):")
    for place in places:
        known = number(place.number, place.model_error) if math.isfinite(place.number) else "not known"
        need = f"need {place.need:.2g}" if math.isfinite(place.need) else ""
        after = "next" if place.name in chosen else place.verdict if place.verdict and not place.goes_on else ""
        labels = f"{place.labels:4d} labels" if place.verdict else f"{'-':>11}"
        run.console.say(f"  {place.name:<{width}}  {labels}  relaxing {known}  {need}  {after}".rstrip())


def _wait(run: Run, waiting: list[Material]) -> None:
    """One array of all open calculations; StoppedEarly on every rank."""
    count, hint = run.session.on_root(_write_array, run, waiting)
    stop = StoppedEarly(
        f"{count} calculations of {len(waiting)} materials are to be run ({hint}); start the same command again when "
        "they have"
    )
    stop.shared = True
    raise stop


def _write_array(run: Run, waiting: list[Material]) -> tuple[int, str]:
    """Number of calculations, and the command that submits them; the first material says by which batch system."""
    output, lines = run.plan.output, []
    for material in waiting:
        job = Job(material.deck, run.session, run.console)
        names = listed_runs(job, required_manifest(job).open)
        lines += [" ".join(f"{material.name}/{FOLDER}/{name}" for name in line.split()) for line in names]
    section = waiting[0].deck.labelling
    if section is None:
        raise DataError(f"{waiting[0].name}: no section 'labelling'")
    header = str(section.parameters.get(HEADER, ""))
    write(output / LISTING, "".join(f"{line}\n" for line in lines))
    write(output / ARRAY, array_script(section.scheduler, Path(output).absolute(), len(lines), header, LISTING))
    return len(lines), SUBMIT[section.scheduler].format(script=output / ARRAY)
