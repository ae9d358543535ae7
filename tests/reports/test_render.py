"""Pages: well-formed, self-contained, escaped; every number and every warning is in them."""

import re
import struct
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest

from mlraman_hpc.base.numbers import number, scientific
from mlraman_hpc.records.model import Descriptor, Model
from mlraman_hpc.records.spectra import CentralPeak
from mlraman_hpc.records.transport import JumpMotion
from mlraman_hpc.reports import wording
from mlraman_hpc.reports.conductivity_wording import conductivity_sentences
from mlraman_hpc.reports.render import Figure, figures_in, render
from tests.plots import gallery

VOID = {"meta", "img", "br", "input"}


class Checker(HTMLParser):
    """Every element is closed, in order; its text is collected, and what the page would fetch."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open, self.text, self.addresses, self.classes = [], [], [], []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.addresses += [attributes[name] for name in ("src", "href") if name in attributes]
        self.classes.append(attributes.get("class"))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        self.text.append(text)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def png(width: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, 500)


def model() -> Model:
    scores = {"r2": {"diagonal": 0.98765, "off_diagonal": 0.91234}, "rmse": {"diagonal": 1.234, "off_diagonal": 0.4567}}
    fields = {"regularization": {}, "calibration": {}, "train": np.arange(80), "test": np.arange(20), "scores": scores}
    names = ("baseline", "isotropic", "anisotropic", "lowest", "highest", "number_density")
    arrays = dict.fromkeys([*names, *(f"committee_{name}" for name in names[:3])], np.zeros(3))
    return Model(Descriptor(5.5, 0.5, 0.3, 4, 5), ("Ag", "I"), **arrays, **fields)


def everything() -> dict:
    """What the report's template asks for, with a result of each kind."""
    spectrum, dynamics = gallery.raman("usual"), gallery.motion("usual")
    dynamics = replace(dynamics, jumps=gallery.jumps("usual"), conductivity=gallery.charged("usual"))
    records = {
        "raman": spectrum,
        "coupling": gallery.coupling(),
        "model": model(),
        "learning_curve": gallery.learning_curve(),
        "convergence": gallery.convergence(spectrum),
        "dynamics": dynamics,
        "forces": gallery.forces("usual"),
        "labelling": None,
    }
    return records | {
        "title": "α-AgI <b>&",
        "figures": {},
        "deck": "title: <script>",
        "warning_texts": ["too short & <small>", "frames are far apart"],
        "calculation": [("composition", "Ag16 I16", "of the cell")],
        "method": "Method: a paper",
        "convention": "laser <514.5> nm; no Bose factor",
        "summary": wording.summary(spectrum, dynamics),
        "sentences": wording.sentences(spectrum, dynamics),
        "coupling_sentence": wording.coupling_sentence(records["coupling"]),
        "conductivity_sentences": conductivity_sentences(dynamics.conductivity),
        "jump_sentences": [wording.jump_sentence(dynamics.jumps, name) for name in dynamics.jumps.jumps],
        "origins": [{"name": "raman.h5", "made": "2026-01-01", "content": "1234abcd", "parents": "alpha.h5 99887766"}],
        "packages": "numpy 2.0",
        "verified": "all files are intact",
    }


@pytest.fixture(scope="module")
def values() -> dict:
    return everything()


def test_report_is_well_formed_and_has_each_number_and_warning(values):
    page = Checker(render("report.html", **values))
    dynamics, forces, peak = values["dynamics"], values["forces"], values["raman"].central_peak
    expected = [
        *values["warning_texts"],
        *values["sentences"],
        *(" ".join(row).strip() for row in values["summary"] if "VDOS" in row[0]),
        values["coupling_sentence"],
        *values["jump_sentences"],
        *values["conductivity_sentences"],
        *("1.67 ± 0.20", "2.13 ± 0.20", "2.08 ± 0.20", "0.79 ± 0.20"),
        number(peak.weight, peak.full_weight_error),
        scientific(dynamics.diffusion["Ag"], dynamics.diffusion_error["Ag"]),
        "< " + scientific(dynamics.diffusion_upper["I"]),
        *(f"{dynamics.rms_displacement[name]:.3f}" for name in dynamics.diffusion),
        *dynamics.verdict.values(),
        *("0.988", "0.912", "1.234", "0.4567", "trained on 80 labels and tested on 20 others"),
        *(f"{values['learning_curve'].rmse['diagonal'][k]:.4g}" for k in range(5)),
        *(f"{100 * distance:.2g} %" for distance in values["convergence"].length_distance),
        f"{forces.rmse['Ag']:.4f}",
        f"{100 * forces.relative_rmse['Ag']:.1f} %",
        *("raman.h5", "1234abcd", "alpha.h5 99887766", "numpy 2.0", "title: <script>", "α-AgI <b>&"),
    ]
    for text in expected:
        assert " ".join(text.split()) in page.words, text
    rows = values["summary"] + [("model of the polarizability", 50 * "x", "")]
    assert "<p>Model of the polarizability: xxx" in render("report.html", **values | {"summary": rows})
    assert page.classes.count("warning") == 2 and page.classes.count("verdict") == len(values["sentences"]) + 1
    assert not page.addresses


def test_what_users_write_is_escaped(values):
    page = render("report.html", **values)
    assert "<title>α-AgI &lt;b&gt;&amp;</title>" in page
    assert "<script" not in page and "<small" not in page


def test_a_report_of_little_is_no_error(values):
    nothing = dict.fromkeys(name for name in values)
    little = nothing | {"title": "a", "figures": {}, "origins": [], "summary": [], "warning_texts": []}
    page = Checker(render("report.html", **little))
    assert "Where it comes from" in page.words and "Summary" not in page.words and "Warnings" not in page.words


def test_figures_are_embedded_with_their_captions(values, tmp_path):
    for name in ("raman.png", "msd.png", "raman.pdf"):
        (tmp_path / name).write_bytes(png(900))
    page = Checker(render("report.html", **values | {"figures": figures_in(tmp_path)}))
    assert "α₂ = 3⟨r⁴⟩/(5⟨r²⟩²) − 1: 0 for vibrations in a harmonic well and for free diffusion" in page.words
    assert len(page.addresses) == 2 and all(address.startswith("data:image/png;base64,") for address in page.addresses)
    assert "Mean squared displacements over all time origins" in page.words
    assert "Convention: laser <514.5> nm; no Bose factor." in page.words
    assert page.classes.count("zoom") == 2 and "Ag16 I16 of the cell" in page.words


def test_figures_are_on_one_scale_and_stay_legible_on_a_phone(tmp_path):
    """3 inches at 300 dots are 30 rem at most, and never less than 16.5."""
    (tmp_path / "a.png").write_bytes(png(900))
    figure = Figure.read(tmp_path / "a.png")
    assert (figure.width, figure.least_width) == (30.0, 16.5)


def campaign(**changes) -> Checker:
    ranking = gallery.campaign_ranking("usual")
    count = len(ranking)
    ranking = replace(
        ranking,
        status=("done", "done", "dynamics only", "failed"),
        model=("own", "common", "none", "given"),
        tested=np.array([8, 8, 0, 0]),
        tested_on=("own", "own", "", ""),
        warnings=np.zeros(count, int),
    )
    values = {
        "title": "Four",
        "ranking": replace(ranking, **changes),
        "computed": 3,
        "correlation": "Too few materials",
        "unlike_texts": ["d: smoothing <9>"],
        "cutoffs": [50.0],
        "conventions": ["low_frequency 50 cm^-1"],
        "most_spectra": 24,
        "figures": {},
        "models": dict.fromkeys([*ranking.name, *changes.get("name", ())], "own labels"),
        "problems": ["d: failed: no such file"],
        "warning_texts": ["a: too short"],
    }
    page = Checker(render("campaign.html", **values))
    for row in (
        "Too few materials",
        "d: smoothing <9>",
        "below 50 cm⁻¹",
        "d: failed: no such file",
        "a: too short",
        "3 of 4 materials",
    ):
        assert row in page.words
    return page


def test_printed_pages_hold_two_figures_and_the_deck_in_two_columns(values):
    printed = render("report.html", **values).partition("@media print")[2].partition("</style>")[0]
    assert "figure img { max-height: 10.5cm" in printed and "columns: 2" in printed


def test_campaign_page_is_well_formed_and_has_its_numbers():
    page, ranking = campaign(), gallery.campaign_ranking("usual")
    for k in range(2):
        assert number(ranking.weight[k], ranking.weight_error[k]) in page.words
        assert number(ranking.relaxing[k], ranking.relaxing_error[k]) in page.words
        assert scientific(ranking.diffusion[k], ranking.diffusion_error[k]) in page.words
    assert page.addresses == [f"{name}/report.html" for name in ranking.name[:3]]
    arrhenius = ranking.arrhenius
    for name in arrhenius.energy:
        assert number(arrhenius.energy[name], arrhenius.energy_error[name]) in page.words
    assert "Activation energies" not in campaign(arrhenius=None).words


def test_links_are_quoted():
    names = ("a b&c", "ü", "d", "e")
    ranking = gallery.campaign_ranking("usual")
    page = campaign(name=names, spectrum=dict(zip(names, ranking.spectrum.values())))
    assert page.addresses[:2] == ["a%20b%26c/report.html", "%C3%BC/report.html"]


def test_an_upper_bound_is_marked():
    diffusion = np.array([np.nan] * 4)
    assert re.search("< 2.0 × 10⁻⁶", campaign(diffusion=diffusion).words)


def test_sentences_follow_from_verdicts():
    peak, still, unknown = (
        replace(CentralPeak(50.0, 0.1, 0.01, 1.0, 0.1, 1.0, 0.1, verdict="", debye_width=5.0), probability=probability)
        for probability in (0.99, 0.01, 0.5)
    )
    moving = gallery.motion("usual")
    bound = replace(
        moving, verdict=dict.fromkeys(moving.verdict, "no diffusion"), diffusion={"Ag": np.nan, "I": np.nan}
    )

    def last(peak, dynamics) -> str:
        return wording.sentences(SimpleNamespace(central_peak=peak), dynamics)[-1]

    assert "as in liquid-like conduction" in last(peak, moving)
    assert "as in conduction by hopping" in last(still, moving)
    assert "something else relaxes" in last(peak, bound)
    assert "Neither diffusion nor relaxation" in last(still, bound)
    assert "undecided" in last(unknown, bound) and "undecided" in last(unknown, moving)
    assert "conduction" not in last(unknown, moving)


def test_hopping_is_never_called_liquid_like():
    moving = replace(gallery.motion("usual"), jumps=gallery.jumps("usual"))
    peak = CentralPeak(50.0, 0.1, 0.01, 1.0, 0.1, 1.0, 0.1, probability=0.99, debye_width=5.0)
    for motion in (JumpMotion.HOPPING, JumpMotion.LIQUID):
        jumps = replace(moving.jumps, verdict=dict.fromkeys(moving.jumps.verdict, f"{motion}: 5 % of the time"))
        text = wording.sentences(SimpleNamespace(central_peak=peak), replace(moving, jumps=jumps))[-1]
        assert ("liquid-like" in text) == (motion is JumpMotion.LIQUID)
        assert ("within 1.1 ps" in text) == (motion is JumpMotion.HOPPING)
