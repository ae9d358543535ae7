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
class Standing:
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
    unforced = replace(run, force=False)  # --force is for calculations that failed
    with command.folder(run):
        failed = command.computed(
            unforced, [material for material in run.plan.materials if material.model is not COMPUTED]
        )
        problems = _rounds(run, labelled)
        failed |= problems | command.computed(
            unforced, [material for material in labelled if material.name not in problems]
        )
        command.finish(unforced, failed)


def _rounds(run: Run, labelled: list[Material]) -> dict[str, str]:
    """All rounds; messages of materials that failed, by name."""
    failed: dict[str, str] = {}
    verdicts = {material.name: _attempted(run, material, resumed, failed, run.force) for material in labelled}
    shares = {material.name: material.deck.labelling.stop_share for material in labelled if material.deck.labelling}
    while True:
        for name in failed:
            verdicts.pop(name, None)
        standings = run.session.on_root(standings_of, run.plan.materials, verdicts)
        chosen = next_materials(standings, shares)
        run.session.only_on_root(_tell, run, standings, chosen)
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
        waiting = [material for material in begun if verdicts[material.name] is None and material.name not in failed]
        if waiting:
            _wait(run, waiting)


def _calculate(run: Run, materials: list[Material], failed: dict[str, str]) -> None:
    """The open calculations of all materials; those with the same command and `parallel` share the slots."""
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
    verdicts: list[Verdict | None] = []

    def work(job: Job) -> None:
        with job.located():
            verdicts.append(action(job))

    session = run.session
    level = session.on_root(lambda: run.console.level)
    problem = attempt(material, session, level, force, work)
    if problem is not None:
        _fail(run, material.name, problem, failed)
    return verdicts[0] if verdicts else None


def standings_of(materials: Sequence[Material], verdicts: dict[str, Verdict | None]) -> list[Standing]:
    """Of every material that may be ranked, in the deck's order; on root."""
    standings = [
        _standing(material, verdicts.get(material.name))
        for material in materials
        if material.model != NONE and (material.model is not COMPUTED or material.name in verdicts)
    ]
    for standing in standings:
        others = [
            other.number for other in standings if other is not standing and other.convention == standing.convention
        ]
        distances = [abs(standing.number - other) for other in others if math.isfinite(other)]
        standing.gap = min(distances, default=NAN)
        if math.isfinite(standing.number) and math.isfinite(standing.model_error):
            scale = max(value for value in (standing.statistical_error, standing.gap, 0.0) if math.isfinite(value))
            standing.need = standing.model_error / scale if scale > 0 else math.inf
    return standings


def _standing(material: Material, verdict: Verdict | None) -> Standing:
    standing = Standing(material.name, convention=convention_of(material))
    if material.model is COMPUTED:
        standing.verdict = (verdict or Verdict.GO_ON).value
        manifest = read_manifest(material.folder / MANIFEST)
        standing.open = len(manifest.open) if manifest is not None else 0
        history = history_of(material.folder)
        if history is None:
            return standing
        standing.labels = int(history.labels[-1])
        if history.statistical_error[-1] > 0:
            standing.need = float(history.model_error[-1] / history.statistical_error[-1])
    path = material.folder / RamanSpectrum.file_name
    spectrum = hdf5.load(RamanSpectrum, path) if path.exists() else None
    peak = None if spectrum is None else spectrum.central_peak
    if spectrum is not None and peak is not None:
        standing.number, standing.model_error, standing.statistical_error = (
            NAN if value is None else spectrum.relative(value)
            for value in (peak.relaxing_below, peak.relaxing_below_model_error, peak.relaxing_below_error)
        )
    return standing


def next_materials(standings: Sequence[Standing], shares: dict[str, float]) -> list[str]:
    """Names of those that get the next round: all without a spectrum or with open calculations, else the neediest."""
    continuing = [standing for standing in standings if standing.name in shares and standing.goes_on]
    begun = [standing.name for standing in continuing if standing.open or math.isnan(standing.need)]
    if begun:
        return begun
    needy = [standing for standing in continuing if standing.need > shares[standing.name]]
    largest = max((standing.need for standing in needy), default=0.0)
    return [standing.name for standing in needy if standing.need >= SHARE_OF_LARGEST * largest]


def _tell(run: Run, standings: list[Standing], chosen: list[str]) -> None:
    """labels.csv and the log: what each place is worth, and who is next."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*(field.name for field in fields(Standing)), "next"])
    for standing in standings:
        values = ["" if isinstance(value, float) and math.isnan(value) else value for value in astuple(standing)]
        writer.writerow([*values, "yes" if standing.name in chosen else ""])
    write(run.plan.output / TABLE, text.getvalue())
    width = max(len(standing.name) for standing in standings)
    run.console.say("labels and what they leave open in the ranking (need: model's error over trajectory's or gap):")
    for standing in standings:
        known = number(standing.number, standing.model_error) if math.isfinite(standing.number) else "not known"
        need = f"need {standing.need:.2g}" if math.isfinite(standing.need) else ""
        after = (
            "next" if standing.name in chosen else standing.verdict if standing.verdict and not standing.goes_on else ""
        )
        labels = f"{standing.labels:4d} labels" if standing.verdict else f"{'-':>11}"
        run.console.say(f"  {standing.name:<{width}}  {labels}  relaxing {known}  {need}  {after}".rstrip())


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
