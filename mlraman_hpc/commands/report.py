"""`mlraman report`: one self-contained document with every figure and number, and where they come from."""

from __future__ import annotations

from pathlib import Path

from mlraman_hpc.base.atomic_files import atomic_write
from mlraman_hpc.base.errors import DataError
from mlraman_hpc.config.deck_reader import resolved_yaml
from mlraman_hpc.pipeline.freshness import refuse_other_deck
from mlraman_hpc.pipeline.job import Job
from mlraman_hpc.pipeline.spectra import convention
from mlraman_hpc.pipeline.verification import findings, sentence
from mlraman_hpc.records.forces import Forces
from mlraman_hpc.records.labelling import LabellingHistory
from mlraman_hpc.records.model import Model
from mlraman_hpc.records.spectra import Coupling, PolarizabilitySeries, RamanSpectrum
from mlraman_hpc.records.training import Convergence, LearningCurve
from mlraman_hpc.records.transport import Dynamics
from mlraman_hpc.reports import wording
from mlraman_hpc.reports.calculation import METHOD, Row, calculation_rows
from mlraman_hpc.reports.conductivity_wording import conductivity_sentences
from mlraman_hpc.reports.render import figures_in, render
from mlraman_hpc.reports.text import text_report
from mlraman_hpc.storage import hdf5
from mlraman_hpc.storage.alpha_file import read_outliers

RESULTS = {  # file -> record; a template knows the record by the file's stem
    record.file_name: record
    for record in (
        LabellingHistory,
        Model,
        LearningCurve,
        PolarizabilitySeries,
        RamanSpectrum,
        Dynamics,
        Convergence,
        Coupling,
        Forces,
    )
}


def report(job: Job) -> None:
    """Write report.html from the results that are there."""
    job.session.on_root(_report, job)


def report_text(job: Job) -> None:
    """`mlraman report --text`: the numbers on the terminal; nothing is written."""
    job.session.on_root(_print_text, job)


def _print_text(job: Job) -> None:
    files = _files(job)
    records = _records(files)
    words = _words(records, job, _other_model(files))
    texts = [
        *words["sentences"],
        *words["jump_sentences"],
        *words["conductivity_sentences"],
        words["coupling_sentence"],
    ]
    rows = [*_calculation(job, records, files), *words["summary"]]
    print(text_report(job.deck.title, str(job.output), rows, texts, _warnings(records, files)))


def _files(job: Job) -> list[Path]:
    """Result files that are there."""
    files = [job.output / name for name in RESULTS if (job.output / name).exists()]
    if not files:
        raise DataError(f"{job.output}: no results to report on; 'mlraman run' makes them")
    for path in files:
        refuse_other_deck(job, path)
    return files


def _report(job: Job) -> None:
    files = _files(job)
    records = _records(files)
    page = render(
        "report.html",
        title=job.deck.title or "Raman spectrum",
        figures=figures_in(job.output),
        deck=resolved_yaml(job.deck),
        warning_texts=_warnings(records, files),
        calculation=_calculation(job, records, files),
        method=METHOD,
        **records,
        **_words(records, job, _other_model(files)),
        **_origins(files),
        verified=sentence(findings(job.output)),
    )
    path = job.output / "report.html"
    with atomic_write(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    job.console.say(f"wrote {path}")


def _calculation(job: Job, records: dict, files: list[Path]) -> list[Row]:
    deck = job.deck
    stated = (deck.dynamics.temperature if deck.dynamics is not None else None) or deck.spectrum.temperature
    dates = [hdf5.history_of(path)[-1]["date"] for path in files]
    return calculation_rows(records, stated, max(dates)[:16].replace("T", " "))


def _records(files: list[Path]) -> dict:
    """{'raman': its record}; None for files that are not there."""
    return dict.fromkeys(Path(name).stem for name in RESULTS) | {path.stem: _load(path) for path in files}


def _load(path: Path):
    """The record in a file; of alpha.h5, which may be long, the outliers alone, None where there are none."""
    return read_outliers(path) if path.name == "alpha.h5" else hdf5.load(RESULTS[path.name], path)


def _other_model(files: list[Path]) -> str:
    """The model of another program that alpha.h5 was made with, in words; empty where it was a linear one."""
    made = next((hdf5.history_of(path)[-1] for path in files if path.name == PolarizabilitySeries.file_name), {})
    if "predictor" not in made:
        return ""
    versions = [f"{name} {version}" for name, version in made["predictor"]["packages"].items()]
    return ", ".join([made["predictor"]["calculator"], *versions])


def _words(records: dict, job: Job, other_model: str) -> dict:
    """What is said of the numbers."""
    raman, dynamics, coupling = records["raman"], records["dynamics"], records["coupling"]
    tuning = records["model"].tuning if records["model"] is not None else None
    jumps = dynamics.jumps if dynamics is not None else None
    rows = [("convention of the spectrum", convention(job), "")] if raman is not None else []
    if other_model:
        rows.append(("model of the polarizability", other_model, ""))
    return {
        "convention": convention(job),
        "summary": rows + wording.summary(raman, dynamics),
        "sentences": wording.sentences(raman, dynamics),
        "coupling_sentence": wording.coupling_sentence(coupling) if coupling is not None else "",
        "tuning_sentence": wording.tuning_sentence(tuning) if tuning is not None else "",
        "conductivity_sentences": [f"{text[0].upper()}{text[1:]}." for text in _of_conductivity(dynamics)],
        "jump_sentences": [f"{name}: {wording.jump_sentence(jumps, name)}." for name in (jumps.jumps if jumps else ())],
    }


def _of_conductivity(dynamics: Dynamics | None) -> list[str]:
    conductivity = dynamics.conductivity if dynamics is not None else None
    return conductivity_sentences(conductivity) if conductivity is not None else []


def _warnings(records: dict, files: list[Path]) -> list[str]:
    """Of the results, and of the log of every step that led to them; each once."""
    with_warnings = [records[name] for name in ("raman", "dynamics", "forces") if records[name] is not None]
    texts = [text for record in with_warnings for text in record.warnings]
    logged = [text for path in files for entry in hdf5.history_of(path) for text in entry.get("warnings", ())]
    outliers = records["alpha"]
    if outliers is not None and outliers.any() and not any("outside the training range" in text for text in logged):
        texts.append(
            f"In {int((outliers > 0).sum())} of {len(outliers)} frames some atoms are far "
            "outside the model's training range; the model extrapolates there."
        )
    return list(dict.fromkeys([*texts, *logged]))


def _origins(files: list[Path]) -> dict:
    """When each file was made, from what, and with which packages."""
    rows, packages = [], {}
    for path in files:
        origin = hdf5.read_origin(path)
        last = origin.history[-1]
        packages = last["packages"]
        rows.append(
            {
                "name": path.name,
                "made": f"{last['date'][:16].replace('T', ' ')} UTC",
                "content": hdf5.content_of(path)[:8],
                "parents": ", ".join(f"{Path(file).name} {digest[:8]}" for file, digest in origin.parents.items()),
            }
        )
    return {"origins": rows, "packages": ", ".join(f"{name} {version}" for name, version in packages.items())}
