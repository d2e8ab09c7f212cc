from __future__ import annotations

import re
import shutil

import pytest
import yaml
from omegaconf import OmegaConf

from beatwise.core.errors import BeatwiseError
from beatwise.data.representations import REPRESENTATIONS
from beatwise.networks.zoo import MODELS, build_model, list_models
from tests.conftest import ROOT
from tools.models_table import FILES, MARKER, main, models_table, with_table

DOCS = (ROOT / "docs" / "reference" / "models.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", FILES)
def test_the_table_in_the_documentation_is_that_of_the_registry(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert text == with_table(text), "run `.venv/bin/python -m tools.models_table --write` to update"


def test_the_table_has_one_row_a_model_and_as_many_cells_in_each():
    head, line, *rows = models_table().splitlines()
    assert sorted(re.findall(r"^\| `(\w+)` \|", "\n".join(rows), re.MULTILINE)) == sorted(list_models())
    assert {row.count("|") for row in (head, line, *rows)} == {6}


def test_the_table_is_printed_or_written_in_place(tmp_path, monkeypatch, capsys):
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    stale = f"above\n\n{MARKER}\nold\n{MARKER}\n\nbelow\n"
    (tmp_path / "README.md").write_text(stale, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    main([])
    assert capsys.readouterr().out == f"{models_table()}\n"
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == stale
    main(["--write"])
    expected = f"above\n\n{MARKER}\n\n{models_table()}\n\n{MARKER}\n\nbelow\n"
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == expected


@pytest.mark.parametrize("text", ["", MARKER, MARKER * 3])
def test_a_text_without_two_markers_is_refused(text):
    with pytest.raises(BeatwiseError, match=f"{MARKER} stands {text.count(MARKER)} times"):
        with_table(text)


def test_the_parameters_that_the_documentation_gives_make_a_model():
    for given in sorted(set(re.findall(r"`(model\.use=[^`…<]+)`", DOCS))):
        parameters = OmegaConf.to_container(OmegaConf.from_dotlist(given.split(",")))
        assert isinstance(parameters, dict)
        name = parameters["model"].pop("use")
        assert set(parameters["model"]) <= {name}, given
        representation = parameters.get("tensors", {"use": MODELS[name].representation})["use"]
        assert representation in REPRESENTATIONS, given
        MODELS.options(name, parameters["model"].get(name, {}))


def test_the_file_that_the_documentation_gives_makes_the_model_of_the_size_it_says():
    (block,) = re.findall(r"```yaml\n(.*?)```", DOCS, re.DOTALL)
    model = yaml.safe_load(block)["model"]
    network = build_model(model["use"], input_shape=(1, 187), n_outputs=5, **model[model["use"]])
    assert f"{sum(p.numel() for p in network.parameters()):,} instead of 696,991" in DOCS
