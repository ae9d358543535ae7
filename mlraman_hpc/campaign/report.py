"""The ranking of a campaign: campaign.h5, campaign.csv, campaign.html and its figures."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import fields, replace

import numpy as np

from mlraman_hpc.base.numbers import diffusion, number, probability
from mlraman_hpc.campaign import arrhenius
from mlraman_hpc.campaign.material import write as write_text
from mlraman_hpc.campaign.rows import NAN, Row, mark_extrapolated, mark_unlike, row_of
from mlraman_hpc.config.campaign_deck import (
    COMPUTED,
    GIVEN,
    NONE,
    OWN,
    PREDICTOR,
    SHARED,
    Campaign,
    Material,
    ordinary_yaml,
)
from mlraman_hpc.numerics.regression.scores import LEAST_PAIRS, spearman_with_interval
from mlraman_hpc.plots import campaign as figures
from mlraman_hpc.plots.transport import arrhenius_figure
from mlraman_hpc.records.campaign import DONE, DYNAMICS_ONLY, FAILED, Ranking
from mlraman_hpc.reports.render import figures_in, render
from mlraman_hpc.storage import hdf5, provenance
from mlraman_hpc.storage.provenance import Origin

MOST_SPECTRA = 24  # in one figure
_ORDER = {DONE: 0, DYNAMICS_ONLY: 1, FAILED: 2}
_MODELS = {
    OWN: "own labels",
    SHARED: "common model",
    GIVEN: "given model",
    PREDICTOR: "model of another program",
    COMPUTED: "own labels, computed for it",
    NONE: "none",
}


def write(plan: Campaign, rows: list[Row] | None = None) -> str:
    """Write the ranking of all materials that have results (`rows`, or read now); returns it as a table for the log."""
    rows = rows or [row_of(material) for material in plan.materials]
    mark_unlike(rows)
    mark_extrapolated(rows)
    rows = sorted(rows, key=_rank)
    ranking = replace(_ranking(rows), arrhenius=arrhenius.series_of(plan, [row.name for row in rows if row.diffusing]))
    output = plan.output
    _draw(plan, ranking)
    write_text(output / "campaign.csv", _csv(ranking))
    write_text(output / "campaign.html", _page(plan, ranking))
    hdf5.save(ranking, output, _origin(plan, rows))
    return _table(ranking) + f"\nwrote {output / 'campaign.h5'}, campaign.csv, campaign.html"


def _rank(row: Row) -> tuple:
    """By what relaxes; then those that cannot be compared, those without a model by D, and those without results."""

    def falling(value: float) -> float:
        return -value if math.isfinite(value) else math.inf

    unlike = bool(row.unlike)
    return (
        _ORDER.get(row.status, 3),
        unlike,
        falling(NAN if unlike else row.relaxing),
        falling(NAN if unlike else row.weight),
        falling(row.diffusion),
        row.name,
    )


def _ranking(rows: list[Row]) -> Ranking:
    columns = {
        field.name: [getattr(row, field.name) for row in rows] for field in fields(Row) if field.name != "spectrum"
    }
    values = {
        name: tuple(column) if isinstance(column[0], str) else np.array(column) for name, column in columns.items()
    }
    like = np.equal(values["unlike"], "")
    pairs = np.isfinite(values["relaxing"]) & np.isfinite(values["diffusion"]) & like
    rho, interval = spearman_with_interval(values["relaxing"][pairs], values["diffusion"][pairs])
    return Ranking(
        **values,
        correlation=rho,
        correlation_interval=interval,
        correlated=int(pairs.sum()),
        spectrum={row.name: row.spectrum for row in rows if row.spectrum},
    )


def _origin(plan: Campaign, rows: list[Row]) -> Origin:
    folder = {material.name: material.folder for material in plan.materials}
    parents = {
        f"{row.name}/{name}": hdf5.content_of(folder[row.name] / name)
        for row in rows
        if row.status in (DONE, DYNAMICS_ONLY)
        for name in ("raman.h5", "dynamics.h5")
        if (folder[row.name] / name).exists()
    }
    decks = "---\n".join(ordinary_yaml(material.deck) for material in plan.materials)
    return Origin(Ranking.kind, decks, provenance.hash_of(Ranking.kind, list(parents.values()), decks), parents)


def _draw(plan: Campaign, ranking: Ranking) -> None:
    """The figures that there are data for; older files of the others are removed."""
    for name, drawable, figure, *options in (
        ("campaign_spectra.png", bool(ranking.spectrum), figures.spectra_figure, MOST_SPECTRA),
        ("campaign_diffusion.png", ranking.correlated > 0, figures.diffusion_figure),
        ("campaign_arrhenius.png", arrhenius.drawable(ranking.arrhenius), arrhenius_figure),
    ):
        if drawable:
            figure(plan.output / name, ranking, *options)
        else:
            for suffix in (".png", ".pdf"):
                (plan.output / name).with_suffix(suffix).unlink(missing_ok=True)


# words


def sentence(material: Material, problem: str | None) -> str:
    """The result of one material in one line."""
    if problem is not None:
        return f"failed: {problem}"
    row = row_of(material)
    relaxing = f"relaxing variance {number(row.relaxing, row.relaxing_error)}"
    parts = [relaxing] if math.isfinite(row.relaxing) else []
    parts += [f"low-frequency weight {number(row.weight, row.weight_error)}"] if math.isfinite(row.weight) else []
    parts += [DYNAMICS_ONLY] if row.status == DYNAMICS_ONLY else []
    parts += [_motion(row.diffusing, row.diffusion, row.diffusion_error, row.diffusion_upper)] if row.diffusing else []
    parts += [f"{row.warnings} warning{'s' if row.warnings > 1 else ''}"] if row.warnings else []
    return ", ".join(parts) or "done"


def _motion(name: str, value: float, error: float, upper: float) -> str:
    text = diffusion(value, error, upper)
    if math.isfinite(value):
        return f"D({name}) = {text} cm²/s"
    return f"D({name}) {text} cm²/s" if math.isfinite(upper) else f"D({name}) {text}"


def correlation_text(ranking: Ranking) -> str:
    if ranking.correlated < LEAST_PAIRS:
        return (
            f"Too few materials for a correlation of relaxing variance and diffusion: {ranking.correlated} with "
            f"both, at least {LEAST_PAIRS} are needed."
        )
    if not math.isfinite(ranking.correlation):
        return "There is no rank correlation of relaxing variance and diffusion: one of them is the same for all."
    low, high = ranking.correlation_interval
    means = "" if low > 0 or high < 0 else " It cannot be told from none."
    return (
        f"Rank correlation of relaxing variance and diffusion coefficient: ρ = {ranking.correlation:.2f}, 95 % "
        f"bootstrap interval {low:.2f} to {high:.2f}, {ranking.correlated} materials.{means}"
    )


def _table(ranking: Ranking) -> str:
    cutoff = ranking.cutoff[ranking.ranked][0] if ranking.ranked.any() else math.nan
    below = f" below {cutoff:g} cm^-1" if math.isfinite(cutoff) else ""
    lines = ["", f"ranking by the relaxing variance of the polarizability{below}, per atom and relative:"]
    width = max(map(len, ranking.name))
    for k, name in enumerate(ranking.name):
        text = ranking.message[k].splitlines()[0] if ranking.message[k] else ""
        if ranking.status[k] == DONE:
            text = _relaxing(ranking, k)
        elif ranking.status[k] == DYNAMICS_ONLY:
            text = DYNAMICS_ONLY
        else:
            text = f"{ranking.status[k]}: {text}"
        if ranking.diffusing[k]:
            text += "   " + _motion(
                ranking.diffusing[k], ranking.diffusion[k], ranking.diffusion_error[k], ranking.diffusion_upper[k]
            )
        rank = f"{k + 1:4d}" if ranking.ranked[k] else "   -"
        lines.append(f"{rank}  {name:<{width}}  {text}")
        if ranking.unlike[k]:
            lines.append(f"      {'':<{width}}  not ranked: {ranking.unlike[k]}")
    return "\n".join([*lines, correlation_text(ranking), *arrhenius.lines(ranking.arrhenius)])


def _relaxing(ranking: Ranking, k: int) -> str:
    """'0.0217 ± 0.0044 (probability 0.97, half width 15.7 cm^-1), weight 0.306 ± 0.015'."""
    weight = f"weight {number(ranking.weight[k], ranking.weight_error[k])}"
    if not math.isfinite(ranking.relaxing[k]):
        return f"relaxing variance not known, {weight}"
    chance, width = ranking.relaxing_probability[k], ranking.relaxing_half_width[k]
    half = f", half width {width:.3g} cm^-1" if math.isfinite(width) and chance > 0.05 else ""
    variance = number(ranking.relaxing[k], ranking.relaxing_error[k])
    return f"{variance} (probability {probability(chance)}{half}), {weight}"


# files


def _csv(ranking: Ranking) -> str:
    """One line for each material; empty where there is no number. Units are in the names."""
    text = io.StringIO()
    columns = [
        field
        for field in fields(Ranking)
        if field.name
        not in ("spectrum", "correlation", "correlation_interval", "correlated", "warning_text", "arrhenius")
    ]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["rank", *(_column(field) for field in columns)])
    for k in range(len(ranking)):
        writer.writerow(
            [k + 1 if ranking.ranked[k] else "", *(_plain(getattr(ranking, field.name)[k]) for field in columns)]
        )
    return text.getvalue()


def _column(field) -> str:
    unit = field.metadata["unit"]
    return field.name if unit == "1" else f"{field.name} [{unit}]"


def _plain(value) -> str:
    if isinstance(value, str):
        return value
    return "" if isinstance(value, (float, np.floating)) and not math.isfinite(value) else f"{value:.7g}"


def _page(plan: Campaign, ranking: Ranking) -> str:
    return render(
        "campaign.html",
        title=plan.keys.title or "Campaign",
        ranking=ranking,
        computed=sum(status in (DONE, DYNAMICS_ONLY) for status in ranking.status),
        correlation=correlation_text(ranking),
        unlike_texts=[f"{name}: {text}" for name, text in zip(ranking.name, ranking.unlike) if text],
        conventions=list(dict.fromkeys(filter(None, ranking.convention))),
        cutoffs=sorted({float(x) for x in ranking.cutoff[ranking.ranked]}),
        most_spectra=MOST_SPECTRA,
        figures=figures_in(plan.output),
        models={material.name: _model(material) for material in plan.materials},
        problems=[
            f"{name}: {status}: {message}"
            for name, status, message in zip(ranking.name, ranking.status, ranking.message)
            if message
        ],
        warning_texts=[
            f"{name}: {text}" for name, texts in zip(ranking.name, ranking.warning_text) for text in texts.splitlines()
        ],
    )


def _model(material: Material) -> str:
    kind, model = _MODELS[material.model], material.deck.model
    detail = {GIVEN: model.file, PREDICTOR: model.predictor and model.predictor.calculator}.get(material.model)
    return f"{kind}: {detail}" if detail else kind
