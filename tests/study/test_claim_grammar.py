"""The language of claims: what can be said, that it is read as it is written, and that mistakes are named."""

from pathlib import Path

import pytest
import yaml
from conftest import study_of
from hypothesis import given
from hypothesis import strategies as st

from phasemap.results.merge import trial_schema
from phasemap.results.schema import SHARD_SCHEMA
from phasemap.study.axes import Axis
from phasemap.study.claim_grammar import ClaimError, parse_claim
from phasemap.study.claims import (
    STATISTICS,
    Area,
    Claim,
    Condition,
    Correlation,
    Frontier,
    Share,
    Statistic,
    chosen_values,
    vocabulary,
)
from phasemap.study.errors import StudyError
from phasemap.study.expressions import KEYWORDS, MAX_CHARACTERS, Negative, Number, Operation
from phasemap.study.names import FRONTIERS
from phasemap.study.spec import PhaseRule
from phasemap.study.templates import template
from phasemap.study.values import rounded
from phasemap.study.writing import dump_study

WORDS = vocabulary(study_of())
COLUMNS, LABELS = WORDS.columns, WORDS.labels
AXES = (
    Axis(name="corruption", values=(0.0, 0.1, 0.3)),
    Axis(name="weight_decay", values=(0.0, 5.0, 10.0)),
    Axis(name="batch_size", values=("full", 64)),
    Axis(name="path", values=("a b.npz", "and")),
    Axis(name="weight_tying", values=(False, True)),
)
WD5 = Condition("weight_decay", "=", 5.0)
BATCH_64 = Condition("batch_size", "=", 64.0)
LOW = Condition("corruption", "<=", 0.1)


def read(text):
    return parse_claim(text, AXES, WORDS)


@pytest.mark.parametrize(
    ("text", "sides", "comparisons"),
    [
        ("area(full_inversion, weight_decay=5) > .5", (Area("full_inversion", (WD5,)), Number(0.5)), (">",)),
        ("test_accuracy >= 1e-1", (Statistic("mean", "test_accuracy"), Number(0.1)), (">=",)),
        (
            "mean(test_accuracy, corruption<=0.1 and weight_decay=5) < 1",
            (Statistic("mean", "test_accuracy", (LOW, WD5)), Number(1.0)),
            ("<",),
        ),
        (
            "0 < median(grokking_step) < 500 where corruption <= 0.1 at weight_decay = 5.0",
            (Number(0.0), Statistic("median", "grokking_step", (LOW, WD5)), Number(500.0)),
            ("<", "<"),
        ),
        (
            "share(train_accuracy < clean_accuracy, weight_decay=5) <= share(test_loss != -1) where corruption<=.1",
            (
                Share("train_accuracy", "<", "clean_accuracy", (WD5, LOW)),
                Share("test_loss", "!=", -1.0, (LOW,)),
            ),
            ("<=",),
        ),
        ("correlation(mean_ipr, width) > -1", (Correlation("mean_ipr", "width"), Negative(Number(1.0))), (">",)),
        (
            "frontier(inversion, weight_decay=5, along=corruption, batch_size=64, path='and', weight_tying=true) > 0",
            (
                Frontier(
                    "inversion",
                    "corruption",
                    (WD5, BATCH_64, Condition("path", "=", "and"), Condition("weight_tying", "=", "true")),
                ),
                Number(0.0),
            ),
            (">",),
        ),
        (
            "1 - 2 - width * -(3 + 4) / 2 > 0",
            (
                Operation(
                    Operation(Number(1.0), "-", Number(2.0)),
                    "-",
                    Operation(
                        Operation(Statistic("mean", "width"), "*", Negative(Operation(Number(3.0), "+", Number(4.0)))),
                        "/",
                        Number(2.0),
                    ),
                ),
                Number(0.0),
            ),
            (">",),
        ),
    ],
)
def test_every_form_is_read_as_the_page_of_claims_says(text, sides, comparisons):
    assert read(text) == Claim(sides, comparisons)


def test_a_bare_name_is_a_mean_and_at_and_where_hold_for_every_term():
    assert read("test_accuracy > train_accuracy at weight_decay=5") == read(
        "mean(test_accuracy, weight_decay=5) > mean(train_accuracy, weight_decay=5)"
    )
    assert read("test_accuracy > 0 at weight_decay=5") == read("test_accuracy > 0 where weight_decay=5")
    assert read("test_accuracy > 0 at weight_decay=5").text == "test_accuracy > 0 at weight_decay=5"


names = st.sampled_from(COLUMNS)
values = st.floats(0, 1e9, allow_nan=False).map(rounded)


@st.composite
def a_condition(draw):
    axis = draw(st.sampled_from(AXES))
    value = draw(st.sampled_from(axis.values))
    if isinstance(value, bool):
        value = str(value).lower()
    comparison = draw(st.sampled_from(["=", "!=", "<=", ">="]))
    numbers = all(type(value) in (int, float) for value in axis.values)
    return Condition(axis.name, comparison if numbers else "=", value if isinstance(value, str) else float(value))


conditions = st.lists(a_condition(), max_size=2, unique_by=lambda c: c.axis).map(tuple)
others_fixed = tuple(
    Condition(axis.name, "=", value) for axis, value in zip(AXES[1:], (0.0, "full", "a b.npz", "false"), strict=True)
)
terms = st.one_of(
    st.builds(Area, st.sampled_from(LABELS), conditions),
    st.builds(Statistic, st.sampled_from(STATISTICS), names, conditions),
    st.builds(Share, names, st.sampled_from(["<", "<=", ">", ">=", "=", "!="]), values | names, conditions),
    st.builds(Correlation, names, names, conditions),
    st.builds(Frontier, st.sampled_from(FRONTIERS), st.just("corruption"), st.just(others_fixed)),
)
expressions = st.recursive(
    terms | values.map(Number),
    lambda inner: st.builds(Negative, inner) | st.builds(Operation, inner, st.sampled_from("+-*/"), inner),
    max_leaves=5,
)


def chooses_something(claim):
    return all(chosen_values(axis, term.conditions) for term in claim.terms for axis in AXES)


@given(
    term=terms,
    others=st.lists(expressions, min_size=1, max_size=2),
    comparisons=st.lists(st.sampled_from(["<", "<=", ">", ">="]), min_size=2, max_size=2),
)
def test_reading_a_written_claim_gives_the_same_claim(term, others, comparisons):
    claim = Claim((term, *others), tuple(comparisons[: len(others)]))
    if len(str(claim)) <= MAX_CHARACTERS and chooses_something(claim):
        assert read(str(claim)) == claim


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "found the end"),
        ("test_accuracy", "found the end; allowed there: < <= > >="),
        ("area(foo) > 0", "'foo' at character 6 is not a label; allowed: memorization, forgetting"),
        ("area(memorisation) > 0", "(did you mean memorization?)"),
        ("mean(test_acuracy) > 0", "(did you mean test_accuracy?)"),
        ("0 < full_inversion", "'full_inversion' at character 5 is not a quantity"),
        ("medain(test_loss) > 0", "(did you mean median?)"),
        ("test_loss(corruption=0) > 0", "(for a quantity: mean(test_loss, conditions))"),
        ("mean(optimizer) > 0", "is not a quantity"),
        ("test_loss > 0 at wieght_decay=5", "is not an axis of the study; allowed: corruption, weight_decay"),
        ("test_loss > 0 at corruption=0.2", "'0.2' at character 29 is not a value of corruption; allowed: 0, 0.1, 0.3"),
        ("test_loss > 0 at batch_size=32", "is not a value of batch_size; allowed: full, 64"),
        ("test_loss > 0 where batch_size<64", "whose values have no order; allowed: = and !="),
        ("test_loss > 0 where corruption<low", "is compared with corruption; allowed: a number"),
        ("test_loss > 0 at corruption<0.3", "can't stand after at, which fixes values; allowed: =, or where"),
        ("test_loss > 0 where corruption>0.3", "chooses no point of the study with corruption>0.3"),
        ("mean(test_loss, corruption=0) > 0 at corruption=0.1", "with corruption=0 and corruption=0.1"),
        ("area(confusion, 3) > 0", "found '3' at character 17; allowed there: a name"),
        ("area(confusion, test_loss) > 0", "'test_loss' at character 17 is not a condition"),
        ("area(corruption=0) > 0", "needs a name first; allowed: area(LABEL, conditions)"),
        ("correlation(width) > 0", "needs two names first"),
        ("share(test_loss) > 0", "needs a comparison first"),
        ("frontier(generalization) > 0", "needs the axis that it crosses"),
        ("frontier(grokking, along=corruption) > 0", "is not a frontier; allowed: generalization, inversion"),
        ("frontier(inversion, along=corruption) > 0", "is crossed at one value of weight_decay; allowed: fix it, e.g."),
        ("frontier(inversion, along=batch_size) > 0", "can't be crossed"),
        ("frontier(inversion, along=corruption, corruption=0) > 0", "can't be crossed"),
        ("1 < 2", "names nothing that was measured"),
        ("test_loss > 1e999", "'1e999' at character 13 is too large"),
        ("test_loss = 1", "found '=' at character 11"),
        ("test_loss > 1 > 2 > 3", "found '>' at character 19"),
        ("area(€) > 0", "found '\\u20ac' at character 6"),
        ("__import__('os').system('ls') > 0", "can't be read: found \"'os'\" at character 12"),
        ("width.__class__ > 0", "found '.' at character 6"),
        ("(lambda: 1)() > 0", "'lambda' at character 2 is not a quantity|found ':'"),
        ("-" * 300 + "1 > width", "found '-' at character 2"),
        ("(" * 500 + "1", "has 501 characters; allowed: at most 400"),
        ("9" * 399, "found the end"),
        ("(" * 399, "found the end"),
        ("\x00\u202e", "found '\\x00' at character 1"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_place_and_what_is_allowed(text, message):
    with pytest.raises(ClaimError) as caught:
        read(text)
    assert any(part in str(caught.value) for part in message.split("|"))


words = ["area", "mean", "(", ")", ",", "<", "=", "5", "test_loss", "weight_decay", "at", "where", "and", "-", "*"]


@given(st.text(max_size=60) | st.lists(st.sampled_from(words), max_size=20).map(" ".join))
def test_whatever_is_written_is_a_claim_or_a_named_mistake(text):
    try:
        claim = read(text)
    except ClaimError:
        return
    assert claim.terms
    assert len(str(claim)) > MAX_CHARACTERS or read(str(claim)) == claim


def test_the_deepest_claims_that_fit_are_read_and_written():
    for text in (
        "1" + "+1" * 190 + " > width",
        "-(" * 120 + "1" + ")" * 120 + " > width",
        "(" * 180 + "1" + ")" * 180 + ">width",
    ):
        claim = read(text)
        assert claim == read(text)
        assert str(claim).endswith("> mean(width)")
        assert str(claim).count("1") == text.count("1")


def test_numbers_are_equal_to_twelve_digits_and_texts_to_the_letter():
    assert Condition("corruption", "=", 0.3).chooses(0.1 + 0.2)
    assert not Condition("corruption", "<", 0.3).chooses(0.1 + 0.2)
    assert not Condition("batch_size", "=", 64.0).chooses("full")
    assert Condition("batch_size", "!=", 64.0).chooses("full")
    assert Condition("batch_size", "=", "full").chooses("full")
    assert not Condition("batch_size", "=", "full").chooses(64)
    assert Condition("weight_tying", "=", "true").chooses(True)
    assert not Condition("weight_tying", "!=", "true").chooses(True)


def test_quantities_are_the_columns_of_numbers_in_the_table_of_trials(finished):
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pq.read_schema(finished[1].trials)
    numbers = {field.name for field in schema if pa.types.is_integer(field.type) or pa.types.is_floating(field.type)}
    assert set(COLUMNS) <= set(trial_schema(SHARD_SCHEMA, PhaseRule()).names)
    assert set(COLUMNS) == numbers - {"seed"} | {"scale_to_batch"}  # which is null here
    assert not set(KEYWORDS) & {*COLUMNS, *LABELS}


def test_mistakes_in_claims_are_reported_with_the_others_of_the_study_and_their_lines(tmp_path):
    with pytest.raises(StudyError) as caught:
        study_of(
            "name: x\ntask: {kind: modular_addition}\naxes: {corruption: [0, 0.5]}\nfixed: {dropout: 2}\nclaims:\n"
            "  - area(coexistence) > 0.5 at corruption=0.5\n  - area(foo) > bar\n  - test_loss > 1 at corruption=1\n"
        )
    assert [(problem.path, problem.line) for problem in caught.value.problems] == [
        ("fixed.dropout", 4), ("claims[1]", 7), ("claims[1]", 7), ("claims[2]", 8),
    ]  # fmt: skip
    assert "claims[2] '1' at character 29 is not a value of corruption; allowed: 0, 0.5  (study.yaml:8)" in str(
        caught.value
    )


def test_the_examples_of_the_page_of_claims_are_claims_about_the_template():
    page = (Path(__file__).parents[2] / "docs" / "claims.md").read_text()
    examples = yaml.safe_load(page.partition("```yaml")[2].partition("```")[0])["claims"]
    assert len(examples) == 6
    assert study_of(template("t"), claims=examples).claims == tuple(examples)


def test_claims_of_a_study_are_written_and_read_again():
    claims = ["area(coexistence, weight_decay=2) > 0.5 where corruption<0.2, weight_decay!=0", 'test_loss >= 0 # "x"']
    study = study_of(claims=claims[:1])
    assert study_of(dump_study(study)) == study
    with pytest.raises(StudyError, match="found '#'"):
        study_of(claims=claims)
