"""Colours of elements; titles, legends and tick labels are complete, apart from one another and off the data."""

import itertools
import re

import numpy as np
import pytest

from mlraman_hpc.base.elements import ELEMENTS
from mlraman_hpc.plots import style
from tests.plots.gallery import LONG, TITLE, gallery

pytestmark = pytest.mark.slow

MATERIALS = (
    "AgI RbAgI AgBr AgSI AgHgI AgCrSe AgGeSe CuBr CuSe CuPSBr LiPSCl LiPSBr LiPSI LiGePS LiSnPS LiSiPSCl "
    "LiLaZrAlO LiLaZrTaO LiLaZrNbO LiLaTiO LiAlTiPO LiAlGePO LiPON LiYCl LiInCl LiYClBr LiTaOCl LiNiMnCoO "
    "LiFePO LiBHI NaPS NaSbWS NaZrSiPO NaAlMgO NaScSiPO NaBCH NaYZrCl CsPbIBr CHNPbI CsHSO CsHPO BaZrCeYOH "
    "LaSrGaMgO LaSrCoFeO CeGdO PbSnF BaSnF SrTiO BiVO GeSbTe SiO LiCFSON"
)
DEUTERANOPIA = [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]  # Machado et al. 2009
PROTANOPIA = [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab(colour: str, vision) -> np.ndarray:
    """CIE L*a*b* of '#rrggbb' as it appears with this vision."""
    channels = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    x, y, z = np.cbrt(np.maximum(XYZ @ np.clip(vision @ linear, 0, 1) / [0.9505, 1, 1.089], 1e-3))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("vision", [np.eye(3), np.array(DEUTERANOPIA), np.array(PROTANOPIA)], ids=["all", "deu", "pro"])
def test_elements_of_one_material_are_told_apart(vision):
    for material in MATERIALS.split():
        for pair in itertools.combinations(re.findall("[A-Z][a-z]?", material), 2):
            first, second = (lab(style.colour_of(name), vision) for name in pair)
            assert np.linalg.norm(first - second) > 11, (material, pair)


def test_a_colour_follows_from_the_symbol_alone():
    assert style.colour_of("total") == style.BLACK
    assert (style.colour_of("Ag"), style.colour_of("I")) == ("#0072B2", "#D55E00")
    assert style.colour_of("Ag-I") == style.colour_of("I-Ag") == "#6A6859"
    assert style.colour_of("α-AgI, sixth Ag") == style.colour_of("Ag")
    for name in ELEMENTS[1:]:
        assert re.fullmatch("#[0-9A-F]{6}", style.colour_of(name))
    assert len({style.colour_of(name) for name in ELEMENTS}) == 12


def test_species_of_one_colour_differ_in_their_dashes():
    styles = style.line_styles(["total", "S", "Se", "Te", "Ag"])
    assert styles["S"]["color"] == styles["Se"]["color"] == styles["Te"]["color"]
    assert len({str(styles[name]["linestyle"]) for name in ("S", "Se", "Te")}) == 3
    assert styles["Ag"]["linestyle"] == styles["total"]["linestyle"] == "-"


@pytest.fixture(scope="module", params=["usual", "crowded"])
def drawn(request, tmp_path_factory):
    """{name: figure} of every figure, as it is when it is saved."""
    figures: dict = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "save", lambda figure, path: figures.__setitem__(path.stem, figure))
        for name, draw in gallery(request.param).items():
            draw(tmp_path_factory.getbasetemp() / name)
            figures[name].draw_without_rendering()
    return request.param, figures


def texts(figure) -> list:
    """Everything written on the figure."""
    from matplotlib.text import Text

    return [
        text
        for text in figure.findobj(Text)
        if text.get_visible() and text.get_text().strip() and text.get_window_extent().width > 0
    ]


def tick_labels(axes) -> list:
    """Those that are drawn: the ticks within the axis' limits."""
    return [
        label
        for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim()))
        for tick in axis.get_major_ticks()
        for label in (tick.label1, tick.label2)
        if min(low, high) <= tick.get_loc() <= max(low, high) and label.get_visible() and label.get_text()
    ]


def test_nothing_is_cut_by_the_edge(drawn):
    _, figures = drawn
    for name, figure in figures.items():
        hidden = {label for axes in figure.axes for label in hidden_tick_labels(axes)}
        for text in texts(figure):
            if text in hidden:
                continue
            extent = text.get_window_extent()
            inside = extent.x0 >= -1 and extent.y0 >= -1
            inside &= extent.x1 <= figure.bbox.x1 + 1 and extent.y1 <= figure.bbox.y1 + 1
            assert inside, (name, text.get_text(), extent)


def hidden_tick_labels(axes) -> set:
    """Labels of ticks beyond the axis, which Matplotlib keeps but does not draw."""
    ticks = [*axes.xaxis.get_major_ticks(), *axes.xaxis.get_minor_ticks()]
    ticks += [*axes.yaxis.get_major_ticks(), *axes.yaxis.get_minor_ticks()]
    labels = {label for tick in ticks for label in (tick.label1, tick.label2)}
    return labels - set(tick_labels(axes))


def test_titles_are_complete(drawn):
    case, figures = drawn
    for name, figure in figures.items():
        if not name.startswith("campaign"):
            written = figure.get_suptitle()
            assert written.replace("\n", " ") == TITLE[case], name
    if case == "crowded":
        assert "\n" in figures["raman"].get_suptitle() and figures["raman"].get_suptitle().endswith("500 K")


def test_legends_and_texts_keep_off_the_data(drawn):
    """A legend lies outside its panel and the other panels; of texts, only names of points lie in one."""
    _, figures = drawn
    for name, figure in figures.items():
        panels = [axes.bbox.shrunk(0.99, 0.99) for axes in figure.axes]
        for axes in figure.axes:
            if axes.get_legend() is not None:
                extent = axes.get_legend().get_window_extent()
                assert not any(extent.overlaps(panel) for panel in panels), name
            if name != "campaign_diffusion":
                for text in axes.texts:
                    assert not text.get_window_extent().overlaps(axes.bbox.shrunk(0.99, 0.99)), (name, text.get_text())


def test_texts_do_not_cover_one_another(drawn):
    """Title, legends, headings, labels of axes and rows; tick labels along each axis."""
    _, figures = drawn
    for name, figure in figures.items():
        blocks = [figure._suptitle] if figure.get_suptitle() else []
        for axes in figure.axes:
            blocks += [axes.get_legend()] if axes.get_legend() else []
            blocks += [
                text for text in (axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts) if text.get_text()
            ]
            blocks += tick_labels(axes)
        extents = [block.get_window_extent() for block in blocks]
        for (k, first), (m, second) in itertools.combinations(enumerate(extents), 2):
            shrunk = [extent.padded(-1) for extent in (first, second)]
            assert not shrunk[0].overlaps(shrunk[1]), (name, blocks[k], blocks[m])


def test_bands_are_not_clipped(drawn):
    """Filled error bands end within their panel, up and down."""
    from matplotlib.collections import PolyCollection

    _, figures = drawn
    for name, figure in figures.items():
        for axes in figure.axes if name != "parity" else ():  # its hexagons are no bands
            low, high = axes.get_ylim()
            left, right = axes.get_xlim()
            for band in (item for item in axes.collections if isinstance(item, PolyCollection)):
                for path in band.get_paths():
                    x, y = path.vertices.T
                    y = y[(x >= left) & (x <= right)]
                    assert low - 1e-9 <= y.min() and y.max() <= high + 1e-9, name


def test_dollar_signs_in_titles_are_text(tmp_path):
    with style.drawing(tmp_path / "a.png", title="5 $ for $_x") as figure:
        figure.subplots()
    assert (tmp_path / "a.png").exists()


def test_a_word_longer_than_the_figure_is_broken(tmp_path):
    with style.drawing(tmp_path / "a.png", title=LONG.replace(" ", "_")) as figure:
        figure.subplots()
    assert figure.get_suptitle().count("\n") >= 1
    assert figure.get_suptitle().replace("\n", "") == LONG.replace(" ", "_")
