"""A campaign deck becomes ordinary decks; all mistakes come at once, with line and material."""

import json

import pytest

from mlraman_hpc.base.errors import DeckError, Location
from mlraman_hpc.config.campaign_deck import MaterialKeys, ordinary_yaml
from mlraman_hpc.config.campaign_reader import is_campaign, read_campaign
from mlraman_hpc.config.deck_reader import read_deck, resolved_yaml
from mlraman_hpc.config.describe import json_schema, key_table

HEAD = """title: test
output: out
trajectory: {files: "runs/{name}/XDATCAR", frame_interval: 10}
spectrum: {smoothing: 8, blocks: 4}
dynamics: {mobile: [Li]}
"""
MATERIAL = {
    "name": "A",
    "temperature": "300",
    "mobile": "[Na]",
    "trajectory": "a.xyz",
    "model": "m.h5",
    "arrhenius": "A",
    "forces": "f.xyz",
    "reference": None,
    "series": None,
}  # the last two exclude others
LABELS = "{files: l.xyz, unit: bohr^3, quantity: polarizability}"


def read(tmp_path, text, *changes):
    (tmp_path / "c.yaml").write_text(text)
    return read_campaign(tmp_path / "c.yaml", list(changes))


def by_name(campaign):
    return {material.name: material for material in campaign.materials}


def test_the_schema_has_every_key_of_a_campaign(tmp_path):
    table, values = key_table(), {name: value for name, value in MATERIAL.items() if value}
    assert set(MATERIAL) == set(MaterialKeys.model_fields)
    for name in ("groups ", "train_together ", "materials ", *(f"materials[].{name} " for name in MATERIAL)):
        assert f"\n{name}" in table
    text = ", ".join(f"{name}: {value}" for name, value in values.items())
    materials = by_name(read(tmp_path, HEAD + f"forces: {{predicted: mace}}\nmaterials:\n  - {{{text}}}\n"))
    assert (
        materials["A"].deck.forces.files == [str(tmp_path / "f.xyz")] and materials["A"].deck.dynamics.arrhenius == "A"
    )
    schema = json.loads(json_schema())["properties"]
    assert {"groups", "train_together", "materials", "trajectory"} <= set(schema)
    assert set(MATERIAL) == set(schema["materials"]["anyOf"][0]["items"]["properties"])


def test_overlays_shorthands_and_patterns(tmp_path):
    materials = by_name(
        read(
            tmp_path,
            HEAD
            + f"""materials:
  - {{name: A, reference: {LABELS}, temperature: 500, mobile: [Na], spectrum: {{blocks: 6}}}}
  - {{name: B, trajectory: [x/1.xyz, ../x/2.xyz], trajectory.every: 2, dynamics.drift: total}}
""",
            "spectrum.smoothing=3",
        )
    )
    a, b = materials["A"].deck, materials["B"].deck
    assert a.trajectory.files == [str(tmp_path / "runs/A/XDATCAR")] and a.trajectory.frame_interval == 10
    assert (a.spectrum.temperature, a.spectrum.smoothing, a.spectrum.blocks, a.dynamics.mobile) == (500, 3, 6, ["Na"])
    assert a.title == "A" and a.output.endswith("/out/A") and a.output.startswith("/")
    assert b.trajectory.files == [str(tmp_path / "x/1.xyz"), str(tmp_path.parent / "x/2.xyz")]
    assert (b.trajectory.every, b.dynamics.drift, b.spectrum.blocks) == (2, "total", 4)
    assert (materials["A"].model, materials["B"].model) == ("own", "none")


def test_a_table_with_variables(tmp_path):
    (tmp_path / "m.csv").write_text(
        '# x\nname, run, spectrum.temperature, mobile, trajectory.every\nA, 007, 300, Na,\n\nB, 8,, "[Li, Na]", 3\n'
    )
    materials = by_name(read(tmp_path, HEAD.replace("{name}", "{run}") + "materials: {table: m.csv}\n"))
    assert materials["A"].deck.trajectory.files == [str(tmp_path / "runs/007/XDATCAR")]
    assert materials["A"].deck.spectrum.temperature == 300 and materials["B"].deck.spectrum.temperature is None
    assert materials["B"].deck.dynamics.mobile == ["Li", "Na"] and materials["B"].deck.trajectory.every == 3


@pytest.mark.parametrize(
    ("common", "own", "kind", "file"),
    [
        ("", f"reference: {LABELS}", "own", None),
        ("", "temperature: 3", "none", None),
        ("model: given.h5\n", "temperature: 3", "given", "given.h5"),
        ("model: given.h5\n", f"reference: {LABELS}", "own", None),
        ("model: given.h5\n", "model: none", "none", None),
        ("model: none\n", "temperature: 3", "none", None),
        ("model: none\n", f"reference: {LABELS}", "own", None),
        ("model: none\n", "model: own.h5", "given", "own.h5"),
        (f"reference: {LABELS}\n", "temperature: 3", "common", "out/common_model/model.h5"),
        (f"reference: {LABELS}\n", "model: none", "none", None),
        (f"reference: {LABELS}\n", "model: own.h5", "given", "own.h5"),
        (f"reference: {LABELS}\n", "reference: {train: 5}", "own", None),
        ("reference: {files: '{name}.xyz'}\n", "temperature: 3", "own", None),
    ],
)
def test_which_model_serves(tmp_path, monkeypatch, common, own, kind, file):
    monkeypatch.chdir(tmp_path)
    material = by_name(read(tmp_path, HEAD + common + f"materials: [{{name: A, {own}}}]\n"))["A"]
    assert material.model == kind
    assert material.deck.model.file == (None if file is None else str(tmp_path / file))
    assert (material.deck.reference is not None) == (kind == "own")


def test_all_paths_become_absolute(tmp_path):
    deck = by_name(
        read(
            tmp_path,
            HEAD
            + """materials: [{name: A, model: m.h5, dynamics.lattice_sites: sites.vasp}]
comparison: {experiment: {file: measured.dat}, spectra: [{file: other.h5, label: other}]}
""",
        )
    )["A"].deck
    assert deck.dynamics.lattice_sites == str(tmp_path / "sites.vasp")
    assert deck.comparison.experiment.file == str(tmp_path / "measured.dat")
    assert deck.comparison.spectra[0].file == str(tmp_path / "other.h5")


def test_labels_that_are_trained_together(tmp_path):
    campaign = read(
        tmp_path,
        HEAD
        + f"""train_together: [A, B]
materials:
  - {{name: A, reference: {LABELS}}}
  - {{name: B, reference: {{files: '*.OUTCAR'}}}}
  - {{name: C, model: common}}
  - {{name: D}}
""",
    )
    assert [material.model for material in campaign.materials] == ["common", "common", "common", "none"]
    assert [material.labels is not None for material in campaign.materials] == [True, True, False, False]
    assert [path.rsplit("/", 1)[1] for path in campaign.common.reference.files] == ["A.extxyz", "B.extxyz"]


def test_an_expanded_deck_is_an_ordinary_one(tmp_path):
    material = read(tmp_path, HEAD + f"materials: [{{name: A, reference: {LABELS}}}]\n").materials[0]
    path = tmp_path / "elsewhere.yaml"
    path.write_text(ordinary_yaml(material.deck))
    assert resolved_yaml(read_deck(path)) == resolved_yaml(material.deck)


def test_all_mistakes_at_once(tmp_path):
    text = (
        HEAD
        + """train_together: [nobody]
bogus: 3
materials:
  - {name: A, spectrum: {smothing: 3}}
  - {name: A, temperature: -3}
  - {trajectory: x}
  - {name: B, trajectory: "{T}/x"}
  - {name: a/b}
  - {name: C, model: common}
"""
    )
    with pytest.raises(DeckError) as caught:
        read(tmp_path, text)
    mistakes = caught.value.mistakes
    for line, label, key, text in [
        (6, "", "train_together", "no material 'nobody'"),
        (7, "", "bogus", "unknown key"),
        (9, "material 'A'", "spectrum.smothing", "unknown key, did you mean 'smoothing'?"),
        (10, "", "", "'A' is there already"),
        (10, "material 'A'", "spectrum.temperature", "should be greater than 0"),
        (11, "", "", "no 'name'"),
        (12, "material 'B'", "", "has no 'T'"),
        (13, "", "", "'a/b' cannot be the name"),
    ]:
        location = Location(str(tmp_path / "c.yaml"), line, label)
        assert any((m.location, m.key) == (location, key) and text in m.text for m in mistakes), (text, mistakes)
    assert [m.location.line for m in mistakes] == sorted(m.location.line for m in mistakes)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("materials: 3\n", "should be a list"),
        ("materials: []\n", "is empty"),
        ("materials: [3]\n", "a material is a list"),
        ("materials: {table: x.csv}\n", "no such table"),
        ("materials: {tabel: x.csv}\n", "nothing else"),
        ("materials: [{name: A, model: common}]\n", "there is no common model"),
        ("materials: [{name: A, dynamics: null}]\n", "neither labels nor a model"),
        ("title: x\n", "needs the section 'materials'"),
        (f"reference: {LABELS}\ntrain_together: [A]\nmaterials: [{{name: A}}]\n", "keep one of them"),
        ("train_together: [A]\nmaterials: [{name: A}]\n", "has no 'reference'"),
        ("materials:\n", "is empty"),
        ("model: 3\nmaterials: [{name: A}]\n", ":6: 'model': should be a section with keys of its own, found 3"),
        ("reference: 3\nmaterials: [{name: A}]\n", ":6: 'reference': should be a section"),
    ],
)
def test_mistakes(tmp_path, text, words):
    with pytest.raises(DeckError, match=words):
        read(tmp_path, text if text.startswith("title") else HEAD + text)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("", "the table is empty"),
        ("a,b\n1,2\n", "there is no 'name'"),
        ("name,a,a\nA,1,2\n", "'a' is there twice"),
        ("name,trajectory.every\nA\n", "1 cells, but 2 columns"),
        ("name,trajectory.evry\nA,2\n", r"m.csv:2: material 'A': 'trajectory.evry': unknown key"),
    ],
)
def test_mistakes_in_tables(tmp_path, table, words):
    (tmp_path / "m.csv").write_text(table)
    with pytest.raises(DeckError, match=words):
        read(tmp_path, HEAD + "materials: {table: m.csv}\n")


def test_other_commands_say_what_a_campaign_is(tmp_path):
    (tmp_path / "c.yaml").write_text(HEAD + "materials: [{name: A}]\n")
    assert is_campaign(tmp_path / "c.yaml")
    with pytest.raises(DeckError, match=r":6: this is the deck of a campaign; 'mlraman campaign"):
        read_deck(tmp_path / "c.yaml")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_tables_with_commas_semicolons_and_tabs(tmp_path, delimiter):
    rows = [["name", "temperature", "mobile"], ["A", "300", "'[Li, Na]'"], ["B", "301,5", "Li"]]
    if delimiter == ",":
        rows[1][2], rows[2][1] = '"[Li, Na]"', "301.5"
    (tmp_path / "t.csv").write_text("\n".join(map(delimiter.join, rows)) + "\n")
    materials = by_name(read(tmp_path, HEAD + "model: none\nmaterials: {table: t.csv}\n"))
    assert materials["A"].deck.dynamics.mobile == ["Li", "Na"] and materials["B"].deck.dynamics.mobile == ["Li"]
    assert materials["B"].deck.spectrum.temperature == 301.5


def test_home_and_variables_in_a_campaign(tmp_path, monkeypatch):
    monkeypatch.setenv("RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("HOME", str(tmp_path))
    text = "output: ~/out\ntrajectory: {files: '${RUNS}/{name}/XDATCAR'}\nmodel: none\ndynamics: {}\n"
    campaign = read(tmp_path, text + "materials:\n  - name: A\n")
    assert campaign.materials[0].deck.trajectory.files == [str(tmp_path / "runs" / "A" / "XDATCAR")]
    assert campaign.output == tmp_path / "out"
    with pytest.raises(DeckError, match=r"c.yaml:1: 'output': '\$NOTHING' in"):
        read(tmp_path, text.replace("~/out", "$NOTHING") + "materials:\n  - name: A\n")


PREDICTOR = "{predictor: {calculator: metatomic, files: '{name}.pt', unit: bohr^3}}"


def test_a_model_of_another_program_serves_all_but_those_with_a_model_of_their_own(tmp_path):
    tnep = "{predictor: {calculator: tnep, files: nep.txt}}"
    text = HEAD + f"model: {PREDICTOR}\nmaterials:\n  - name: A\n  - {{name: B, reference: {LABELS}}}\n"
    text += f"  - {{name: C, model: c.h5}}\n  - {{name: D, model: none}}\n  - {{name: E, model: {tnep}}}\n"
    materials = by_name(read(tmp_path, text))
    assert [m.model.value for m in materials.values()] == ["predictor", "own", "given", "none", "predictor"]
    a, e = materials["A"].deck.model.predictor, materials["E"].deck.model.predictor
    assert (a.calculator, a.files, a.unit) == ("metatomic", [str(tmp_path / "A.pt")], "bohr^3")
    assert (e.calculator, e.files) == ("tnep", [str(tmp_path / "nep.txt")])
    assert not any(materials[name].deck.model.predictor for name in "BCD")


def test_a_predictor_of_one_material_beside_a_common_linear_model(tmp_path):
    text = HEAD + f"model: {{committee: 8}}\nreference: {LABELS}\nmaterials:\n  - name: A\n"
    text += f"  - {{name: B, model: {PREDICTOR}}}\n"
    materials = by_name(read(tmp_path, text))
    assert [material.model.value for material in materials.values()] == ["common", "predictor"]
    assert materials["A"].deck.model.committee == 8 and materials["B"].deck.model.predictor


@pytest.mark.parametrize("place", ["common", "material"])
def test_a_predictor_and_labels_exclude_one_another(tmp_path, place):
    text = HEAD + (f"model: {PREDICTOR}\nreference: {LABELS}\n" if place == "common" else "")
    own = f", model: {PREDICTOR}, reference: {LABELS}" if place == "material" else ""
    with pytest.raises(DeckError, match=r"'model\.predictor': takes the place of reference; keep one of them"):
        read(tmp_path, text + f"materials:\n  - {{name: A{own}}}\n")
