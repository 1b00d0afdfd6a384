"""Study files: what is accepted, and that every mistake is reported with its place."""

import jsonschema
import numpy as np
import pytest
import yaml
from bad_studies import BAD
from conftest import SMALL, study_of
from hypothesis import given, settings
from hypothesis import strategies as st

from phasemap.study.errors import StudyError, UserError
from phasemap.study.file import load_rule, load_study
from phasemap.study.file import study_of as given_study
from phasemap.study.templates import template
from phasemap.study.trials import grid_ids
from phasemap.study.writing import dump_study, json_schema, study_content


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD)
def test_a_bad_study_is_refused_with_its_place(text, message, tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(text)
    with pytest.raises(StudyError) as caught:
        load_study(path)
    assert message.format(file=path) in str(caught.value)


def test_all_mistakes_are_reported_together_in_the_order_of_the_file(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text("name: a b\ntask: {kind: sums}\nmodel: {width: 0}\naxes: {dropout: [1]}\nseeds: x\nfoo: 1\n")
    with pytest.raises(StudyError) as caught:
        load_study(path)
    assert [(p.line, p.path) for p in caught.value.problems] == [
        (1, "name"), (2, "task.kind"), (3, "model.width"), (4, "axes.dropout[0]"), (5, "seeds"), (6, "foo"),
    ]  # fmt: skip


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        load_study(tmp_path / "none.yaml")
    with pytest.raises(UserError, match=r"is a folder; allowed: a file$"):
        load_study(tmp_path)
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("question: caf\xe9".encode("latin-1"))
    with pytest.raises(UserError, match="not UTF-8 text"):
        load_study(latin)
    big = tmp_path / "big.yaml"
    big.write_text("#" * 1_000_001)
    with pytest.raises(UserError, match="larger than"):
        load_study(big)


def test_numbers_in_scientific_notation_are_numbers_and_words_are_words():
    study = study_of(SMALL.replace("{steps: 60}", "{steps: 60, learning_rate: 1e-3, eps: '1e-9'}"), question="no")
    assert study.training.learning_rate == 0.001
    assert study.training.eps == 1e-9
    assert study.question == "no"


def test_ranges_meet_lists_at_twelve_digits():
    study = study_of(axes={"corruption": {"start": 0, "stop": 0.9, "num": 10}})
    assert study.axis("corruption").values == (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    log = study_of(
        SMALL.replace("{width: 16}", "{}"), axes={"width": {"start": 64, "stop": 512, "num": 4, "scale": "log"}}
    )
    assert log.axis("width").values == (64, 128, 256, 512)
    assert log.axis("width").scale == "log"


def test_scales_of_lists_are_told_by_their_spacing():
    def scale(values):
        return study_of(axes={"weight_decay": values}).axis("weight_decay").scale

    assert scale([0, 1, 2, 3]) == "linear"
    assert scale([0.01, 0.1, 1, 10]) == "log"
    assert scale([0, 1, 3, 10, 30]) == "ordinal"


def test_overrides_are_read_as_yaml_and_checked_like_the_file(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(SMALL)
    study = load_study(path, ["training.steps=1e3", "axes.weight_decay=[0, 1, 2, 3]", "resources.pack_size=2"])
    assert study.training.steps == 1000
    assert study.axis("weight_decay").values == (0, 1, 2, 3)
    assert study.resources.pack_size == 2
    with pytest.raises(StudyError, match=r"axes.weight_decay\[1\] = -1 is not allowed.*\(--set axes.weight_decay"):
        load_study(path, ["axes.weight_decay=[0, -1]"])
    for wrong in ("steps", "=3", "training..steps=3"):
        with pytest.raises(UserError, match="allowed: KEY=VALUE"):
            load_study(path, [wrong])


def test_overrides_that_can_not_be_applied_hide_no_other_mistake(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(SMALL)
    with pytest.raises(StudyError) as caught:
        load_study(path, ["axes", "training.steps=[", "name.first=3", "training.steps.a.b=3", "seeds=10000000"])
    lines = str(caught.value).splitlines()
    assert len(lines) == 5
    places = (
        "--set axes)",
        "--set training.steps=[)",
        "--set name.first=3)",
        "--set training.steps.a.b=3)",
        "--set seeds=10000000)",
    )
    assert any(line.startswith("training.steps is not a section") for line in lines)
    for place in places:
        assert any(line.endswith(f"({place}") for line in lines), place


def test_the_template_is_a_legal_study(tmp_path):
    path = tmp_path / "t.yaml"
    path.write_text(template("mine"))
    assert load_study(path).name == "mine"


def test_a_rule_file_is_read_like_the_phases_of_a_study(tmp_path):
    path = tmp_path / "rule.yaml"
    path.write_text("{rule: memorized_fraction, generalized: 0.8}")
    assert load_rule(path).generalized == 0.8
    path.write_text("generalized: 2")
    with pytest.raises(StudyError, match=r"generalized = 2 is not allowed; allowed: a number in \(0, 1\]"):
        load_rule(path)


@pytest.mark.parametrize(
    "text", ["1e3", "-1E5", "12e03", ".5", "0x1F", "1:30", "no", "null", "~", " ", "# a", "\u2028"]
)
def test_text_that_looks_like_something_else_is_text_again(text):
    assert study_of(dump_study(study_of(question=text))).question == text


axis_values = st.lists(st.floats(0, 1), min_size=1, max_size=5, unique_by=lambda v: float(f"{v:.12g}"))


@settings(max_examples=50)
@given(
    corruption=axis_values,
    decay=st.lists(st.integers(0, 50), min_size=1, max_size=4, unique=True),
    seeds=st.lists(st.integers(0, 99), min_size=1, max_size=4, unique=True),
    activation=st.sampled_from(["square", "relu"]),
    question=st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40),
)
def test_reading_a_written_study_gives_the_same_study(corruption, decay, seeds, activation, question):
    study = study_of(
        axes={"corruption": corruption, "weight_decay": decay, "activation": [activation]},
        seeds=seeds,
        question=question,
    )
    again = study_of(dump_study(study))
    assert again == study
    assert yaml.safe_load(dump_study(study))["name"] == "small"


def mistakes(text, overrides=(), *, tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(text)
    with pytest.raises(StudyError) as caught:
        load_study(path, overrides)
    return str(caught.value).replace(str(path), "s.yaml").splitlines()


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("modell.width=3", "modell is an unknown key; ... (--set modell.width=3)"),
        ("axes.dropout.start=0", "axes.dropout.num is missing; ... (--set axes.dropout.start=0)"),
        ("axes.modulus=[7, 11]", "task.modulus is given here ... (s.yaml:3, with --set axes.modulus=[7, 11])"),
        ("task.kind=arrays", "task.path is missing; ... (s.yaml:3, with --set task.kind=arrays)"),
        (
            "fixed.data_fraction=0.1",
            "training.batch_size = 20 is larger ... (s.yaml:5, with --set fixed.data_fraction=0.1)",
        ),
        ("seeds=[1", "not valid YAML: ... (--set seeds=[1)"),
        ("seeds={a: 1, a: 2}", "seeds.a is given twice ... (--set seeds={a: 1, a: 2})"),
        ("seeds=#", "seeds = empty is not allowed; ... (--set seeds=#)"),
        (
            "axes.corruption=# all of them",
            "axes.corruption = empty is not allowed; ... (--set axes.corruption=# all of them)",
        ),
    ],
)
def test_mistakes_of_an_override_are_not_blamed_on_the_file(override, told, tmp_path):
    text = SMALL.replace("{steps: 60}", "{steps: 60, batch_size: 20}")
    first, last = told.split(" ... ") if " ... " in told else (told, told)
    lines = mistakes(text, [override], tmp_path=tmp_path)
    assert any(line.startswith(first) and line.endswith(last) for line in lines), lines


def test_mistakes_of_the_file_are_not_blamed_on_an_override(tmp_path):
    text = SMALL.replace("width: 16", "widht: 16").replace("seeds: 2", "seeds: 0")
    lines = mistakes(text, ["training.steps=50", "model.depth=3", "name=other"], tmp_path=tmp_path)
    assert [line.rpartition("  (")[2] for line in lines] == ["s.yaml:4)", "s.yaml:10)"]


@pytest.mark.parametrize("name", ["2024", "007", "2024-11-26", "1e3", "true"])
def test_a_name_is_taken_as_it_is_written(name, tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(SMALL.replace("name: small", f"name: {name}"))
    study = load_study(path)
    assert study.name == name
    assert study_of(dump_study(study)) == study
    path.write_text(SMALL)
    assert load_study(path, [f"name={name}"]).name == name
    validate = jsonschema.Draft202012Validator(json_schema()["$defs"]["NetworkStudy"]["properties"]["name"]).validate
    validate(yaml.safe_load(f'"{name}"'))


def test_a_name_that_is_left_empty_is_missing_and_a_number_is_one_in_the_schema_too(tmp_path):
    (line,) = mistakes(SMALL.replace("name: small", "name:"), tmp_path=tmp_path)
    assert line.startswith("name = empty is not allowed; allowed: letters, digits, - and _")
    jsonschema.validate(2024, json_schema()["$defs"]["NetworkStudy"]["properties"]["name"])


def test_a_study_may_be_a_mapping_of_what_python_has():
    content = {
        "name": "small", "task": {"kind": "modular_addition", "modulus": np.int64(7)}, "model": {"width": 16},
        "training": {"steps": 60}, "axes": {"corruption": np.array([0, 0.3]), "weight_decay": range(0, 4, 2)},
        "fixed": {"data_fraction": np.float64(0.6)}, "seeds": (0, 1),
    }  # fmt: skip
    assert given_study(content) == study_of()
    assert given_study(content | {"name": 2024}).name == "2024"
    with pytest.raises(StudyError) as caught:
        given_study(content | {"axes": {"dropout": [0, 1.3]}, "sedes": 3})
    assert str(caught.value).splitlines() == [
        "axes.dropout[1] = 1.3 is not allowed; allowed: a number in [0, 1)  (the given mapping)",
        "sedes is an unknown key; allowed: name, question, task, model, training, schedule, interventions, axes, "
        "fixed, seeds, phases, record, search, resources, claims (did you mean seeds?)  (the given mapping)",
    ]


def test_labels_at_an_earlier_step_are_part_of_the_rule_and_change_no_hash_where_there_are_none():
    study = study_of()
    assert "at_step" not in study_content(study)["phases"]
    early = study_of(phases={"at_step": 30})
    assert study_of(dump_study(early)) == early != study
    assert grid_ids(early) == grid_ids(study)
    with pytest.raises(StudyError, match=r"phases.at_step = 61 is after the end of the training; allowed: up to 60"):
        study_of(phases={"at_step": 61})
