"""The ranking of a campaign: campaign.h5, campaign.csv, campaign.html and its figures."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import fields, replace

import numpy as np

from mlraman_hpc import __version__
from mlraman_hpc.base.numbers import number, scientific
from mlraman_hpc.campaign import arrhenius
from mlraman_hpc.campaign.material import write as write_text
from mlraman_hpc.campaign.rows import Row, row_of
from mlraman_hpc.config.campaign_deck import GIVEN, NONE, OWN, SHARED, Campaign, Material, ordinary_yaml
from mlraman_hpc.numerics.regression.scores import LEAST_PAIRS, spearman_with_interval
from mlraman_hpc.plots import campaign as figures
from mlraman_hpc.plots.transport import arrhenius_figure
from mlraman_hpc.records.campaign import DONE, DYNAMICS_ONLY, FAILED, Ranking
from mlraman_hpc.reports import html
from mlraman_hpc.storage import hdf5, provenance
from mlraman_hpc.storage.provenance import Origin

KIND = "campaign"
SPECTRA, DIFFUSION, ARRHENIUS = "campaign_spectra.png", "campaign_diffusion.png", "campaign_arrhenius.png"
MOST_SPECTRA = 24  # in one figure
_ORDER = {DONE: 0, DYNAMICS_ONLY: 1, FAILED: 2}
_MODELS = {OWN: "own labels", SHARED: "common model", GIVEN: "given model", NONE: "none"}


def write(plan: Campaign, rows: list[Row] | None = None) -> str:
    """Write the ranking of all materials that have results (`rows`, or read now); returns it as a table for the log."""
    rows = sorted(rows or [row_of(one) for one in plan.materials], key=_place)
    ranking = replace(_ranking(rows), arrhenius=arrhenius.series_of(plan, [row.name for row in rows if row.diffusing]))
    output = plan.output
    _draw(plan, ranking)
    write_text(output / "campaign.csv", _csv(ranking))
    write_text(output / "campaign.html", _page(plan, ranking))
    hdf5.save(ranking, output, _origin(plan, rows))
    return _table(ranking) + f"\nwrote {output / 'campaign.h5'}, campaign.csv, campaign.html"


def _place(row: Row) -> tuple:
    """By weight; those without one by D; what is not there at the end."""

    def falling(value: float) -> float:
        return -value if math.isfinite(value) else math.inf

    return _ORDER.get(row.status, 3), falling(row.weight), falling(row.diffusion), row.name


def _ranking(rows: list[Row]) -> Ranking:
    columns = {
        field.name: [getattr(row, field.name) for row in rows] for field in fields(Row) if field.name != "spectrum"
    }
    values = {
        name: tuple(column) if isinstance(column[0], str) else np.array(column) for name, column in columns.items()
    }
    pairs = correlated(values["weight"], values["diffusion"])
    rho, interval = spearman_with_interval(values["weight"][pairs], values["diffusion"][pairs])
    return Ranking(
        **values,
        correlation=rho,
        correlation_interval=interval,
        correlated=int(pairs.sum()),
        spectrum={row.name: row.spectrum for row in rows if row.spectrum},
    )


def correlated(weight: np.ndarray, diffusion: np.ndarray) -> np.ndarray:
    """Which materials have both numbers."""
    return np.isfinite(weight) & np.isfinite(diffusion)


def _origin(plan: Campaign, rows: list[Row]) -> Origin:
    parents = {}
    for one, row in zip(sorted(plan.materials, key=lambda one: [row.name for row in rows].index(one.name)), rows):
        for name in ("raman.h5", "dynamics.h5") if row.status in (DONE, DYNAMICS_ONLY) else ():
            if (one.folder / name).exists():
                parents[f"{one.name}/{name}"] = hdf5.content_of(one.folder / name)
    decks = "---\n".join(ordinary_yaml(one.deck) for one in plan.materials)
    return Origin(KIND, decks, provenance.hash_of(KIND, list(parents.values()), decks), parents)


def _draw(plan: Campaign, ranking: Ranking) -> None:
    for name, figure, there in (
        (SPECTRA, _draw_spectra, bool(ranking.spectrum)),
        (DIFFUSION, figures.diffusion_figure, ranking.correlated > 0),
        (ARRHENIUS, arrhenius_figure, arrhenius.drawable(ranking.arrhenius)),
    ):
        if there:
            figure(plan.output / name, ranking)
        else:
            for suffix in (".png", ".pdf"):
                (plan.output / name).with_suffix(suffix).unlink(missing_ok=True)


def _draw_spectra(path, ranking: Ranking) -> None:
    figures.spectra_figure(path, ranking, MOST_SPECTRA)


# words


def sentence(one: Material, problem: str | None) -> str:
    """The result of one material in one line."""
    if problem is not None:
        return f"failed: {problem}"
    row = row_of(one)
    parts = [f"low-frequency weight {number(row.weight, row.weight_error)}"] if math.isfinite(row.weight) else []
    parts += [DYNAMICS_ONLY] if row.status == DYNAMICS_ONLY else []
    parts += [_motion(row.diffusing, row.diffusion, row.diffusion_error, row.diffusion_upper)] if row.diffusing else []
    parts += [f"{row.warnings} warning{'s' if row.warnings > 1 else ''}"] if row.warnings else []
    return ", ".join(parts) or "done"


def _motion(name: str, value: float, error: float, upper: float) -> str:
    if math.isfinite(value):
        return f"D({name}) = {scientific(value, error)} cm²/s"
    return f"D({name}) < {upper:.1e} cm²/s" if math.isfinite(upper) else f"D({name}) not determined"


def correlation_text(ranking: Ranking) -> str:
    if ranking.correlated < LEAST_PAIRS:
        return (
            f"Too few materials for a correlation of low-frequency weight and diffusion: {ranking.correlated} with "
            f"both, at least {LEAST_PAIRS} are needed."
        )
    low, high = ranking.correlation_interval
    means = "" if low > 0 or high < 0 else " It cannot be told from none."
    return (
        f"Rank correlation of low-frequency weight and diffusion coefficient: ρ = {ranking.correlation:.2f}, 95 % "
        f"bootstrap interval {low:.2f} to {high:.2f}, {ranking.correlated} materials.{means}"
    )


def _table(ranking: Ranking) -> str:
    lines = ["", "ranking by low-frequency Raman weight:"]
    width = max(map(len, ranking.name))
    for k, name in enumerate(ranking.name):
        text = ranking.message[k].splitlines()[0] if ranking.message[k] else ""
        if ranking.status[k] == DONE:
            text = number(ranking.weight[k], ranking.weight_error[k])
        elif ranking.status[k] == DYNAMICS_ONLY:
            text = DYNAMICS_ONLY
        else:
            text = f"{ranking.status[k]}: {text}"
        if ranking.diffusing[k]:
            text += "   " + _motion(
                ranking.diffusing[k], ranking.diffusion[k], ranking.diffusion_error[k], ranking.diffusion_upper[k]
            )
        lines.append(f"{k + 1:4d}  {name:<{width}}  {text}")
    return "\n".join([*lines, correlation_text(ranking), *arrhenius.lines(ranking.arrhenius)])


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
        writer.writerow([k + 1, *(_plain(getattr(ranking, field.name)[k]) for field in columns)])
    return text.getvalue()


def _column(field) -> str:
    unit = field.metadata["unit"]
    return field.name if unit == "1" else f"{field.name} [{unit}]"


def _plain(value) -> str:
    if isinstance(value, str):
        return value
    return "" if isinstance(value, (float, np.floating)) and not math.isfinite(value) else f"{value:.7g}"


def _page(plan: Campaign, ranking: Ranking) -> str:
    title = plan.keys.title or "Campaign"
    done = sum(status in (DONE, DYNAMICS_ONLY) for status in ranking.status)
    parts = [
        html.paragraph(
            f"{done} of {len(ranking)} materials are computed, "
            f"{ranking.status.count(DYNAMICS_ONLY)} of them dynamics only, since there is no model of "
            f"their polarizability. D is that of the mobile element that diffuses fastest."
        ),
        html.heading("Ranking"),
        _ranking_table(plan, ranking),
        html.verdict(correlation_text(ranking)),
        *_figures(plan, ranking),
        *arrhenius.parts(ranking.arrhenius, plan.output / ARRHENIUS),
        html.heading("Models"),
        _model_table(plan, ranking),
        *_problems(ranking),
        *_warnings(ranking),
    ]
    return html.page(title, f"mlraman_hpc {__version__}", parts, wide=True)


def _ranking_table(plan: Campaign, ranking: Ranking) -> str:
    head = [
        "",
        "material",
        "weight below cutoff",
        "cutoff (cm⁻¹)",
        "element",
        "D (cm²/s)",
        "D from VDOS(0) (cm²/s)",
        "R² diagonal / off-diagonal",
        "error of spectrum",
        "length (ps)",
        "T (K)",
        "warnings",
    ]
    return html.table(
        head,
        [
            [f"{k + 1}", html.link(name, f"{name}/report.html"), *_cells(ranking, k)]
            if ranking.status[k] in (DONE, DYNAMICS_ONLY)
            else ["", name, ranking.status[k], *[""] * 9]
            for k, name in enumerate(ranking.name)
        ],
    )


def _cells(ranking: Ranking, k: int) -> list[str]:
    only = ranking.status[k] == DYNAMICS_ONLY
    motion = scientific(ranking.diffusion[k], ranking.diffusion_error[k])
    if motion == "–" and math.isfinite(ranking.diffusion_upper[k]):
        motion = f"< {ranking.diffusion_upper[k]:.1e}"
    return [
        DYNAMICS_ONLY if only else number(ranking.weight[k], ranking.weight_error[k]),
        "" if only else f"{ranking.cutoff[k]:g}",
        ranking.diffusing[k],
        motion,
        scientific(ranking.diffusion_from_vdos[k], ranking.diffusion_from_vdos_error[k]),
        _r2(ranking, k),
        "" if only else f"{100 * ranking.statistical_error[k]:.2g} %",
        f"{ranking.length[k]:.4g}",
        f"{ranking.temperature[k]:.0f}" if math.isfinite(ranking.temperature[k]) else "",
        f"{ranking.warnings[k]}" if ranking.warnings[k] else "",
    ]


def _r2(ranking: Ranking, k: int) -> str:
    pair = ranking.r2_diagonal[k], ranking.r2_off_diagonal[k]
    return " / ".join(f"{value:.3f}" for value in pair) if ranking.tested[k] else ""


def _figures(plan: Campaign, ranking: Ranking) -> list[str]:
    captions = {
        SPECTRA: "Spectra in the order of the ranking, each relative to its highest value; bands are one standard "
        "error. Right: the low-frequency region, magnified as noted.",
        DIFFUSION: "Diffusion coefficient against low-frequency weight, with standard errors. Triangles: no diffusion "
        "was found; D is below them (two standard errors).",
    }
    if len(ranking.spectrum) > MOST_SPECTRA:
        captions[SPECTRA] += f" The first {MOST_SPECTRA} of {len(ranking.spectrum)}."
    return [
        html.figure(plan.output / name, caption) for name, caption in captions.items() if (plan.output / name).exists()
    ]


def _model_table(plan: Campaign, ranking: Ranking) -> str:
    files = {one.name: one.deck.model.file for one in plan.materials if one.model == GIVEN}
    rows = []
    for k, name in enumerate(ranking.name):
        kind = _MODELS[ranking.model[k]] + (f": {files[name]}" if name in files else "")
        if ranking.tested[k]:
            rows.append(
                [
                    name,
                    kind,
                    f"{ranking.tested[k]} ({ranking.tested_on[k]})",
                    f"{ranking.r2_diagonal[k]:.4f} / {ranking.r2_off_diagonal[k]:.4f}",
                    f"{ranking.rmse_diagonal[k]:.3g} / {ranking.rmse_off_diagonal[k]:.3g}",
                ]
            )
        else:
            rows.append([name, kind, "no labels" if ranking.model[k] != NONE else "", "", ""])
    return html.table(
        ["material", "model", "tested on labels", "R² diagonal / off-diagonal", "RMSE diagonal / off-diagonal (Å³)"],
        rows,
    )


def _problems(ranking: Ranking) -> list[str]:
    texts = [
        f"{name}: {ranking.status[k]}: {ranking.message[k]}"
        for k, name in enumerate(ranking.name)
        if ranking.message[k]
    ]
    return [html.heading("Not computed"), *map(html.warning, texts)] if texts else []


def _warnings(ranking: Ranking) -> list[str]:
    texts = [f"{name}: {text}" for k, name in enumerate(ranking.name) for text in ranking.warning_text[k].splitlines()]
    return [html.heading("Warnings"), *map(html.warning, texts)] if texts else []
