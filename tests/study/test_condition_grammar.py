"""The language of conditions: what can be said, that it is read as it is written, and that mistakes are named."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phasemap.study.condition_grammar import MAX_NESTING, ConditionError, Scope, parse_condition, parse_value
from phasemap.study.conditions import (
    REDUCTIONS,
    And,
    At,
    Comparison,
    Condition,
    Fact,
    Not,
    Or,
    Parameter,
    Reduced,
    Step,
    Value,
    quantities_of,
)
from phasemap.study.expressions import MAX_CHARACTERS, Negative, Number, Operation
from phasemap.study.values import rounded

KINDS = {"test_accuracy": "accuracy", "train_loss": "loss", "gradient_norm": "number"}
SCOPE = Scope(quantities=KINDS, parameters=("generalized",), facts=("corruption", "n_train"))
TEST, LOSS, GENERALIZED = Value("test_accuracy"), Value("train_loss"), Parameter("generalized")
HIGH = Comparison(TEST, ">=", GENERALIZED)

MANY = Comparison(Fact("n_train"), ">", Number(1.0))


def read(text):
    return parse_condition(text, SCOPE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("test_accuracy >= generalized", HIGH),
        ("(test_accuracy) >= ((generalized))", HIGH),
        ("((test_accuracy >= generalized))", HIGH),
        (
            "train_loss > 10 * min(train_loss)",
            Comparison(LOSS, ">", Operation(Number(10.0), "*", Reduced("min", "train_loss"))),
        ),
        ("earlier(test_accuracy) != -.5", Comparison(Reduced("earlier", "test_accuracy"), "!=", Negative(Number(0.5)))),
        ("at(train_loss, 100) = 2", Comparison(At("train_loss", Number(100.0)), "=", Number(2.0))),
        (
            "at(train_loss, step(test_accuracy >= generalized)) < n_train",
            Comparison(At("train_loss", Step(HIGH)), "<", Fact("n_train")),
        ),
        ("lasting(test_accuracy >= generalized) < 5", Comparison(Step(HIGH, lasting=True), "<", Number(5.0))),
        ("step((test_accuracy >= generalized)) < 5", Comparison(Step(HIGH), "<", Number(5.0))),
        (
            "0 < train_loss <= 1",
            And((Comparison(Number(0.0), "<", LOSS), Comparison(LOSS, "<=", Number(1.0)))),
        ),
        (
            "not test_accuracy >= generalized and corruption = 0 or n_train > 1",
            Or((And((Not(HIGH), Comparison(Fact("corruption"), "=", Number(0.0)))), MANY)),
        ),
        ("1.05 - corruption - 1 > 0", Comparison(
            Operation(Operation(Number(1.05), "-", Fact("corruption")), "-", Number(1.0)), ">", Number(0.0)
        )),
    ],
)  # fmt: skip
def test_every_form_is_read_as_the_page_of_rules_says(text, expected):
    assert read(text) == expected


def test_names_that_start_like_a_word_of_the_language_are_names():
    scope = Scope(quantities=dict.fromkeys(("notable", "order", "android", "at_end"), "number"))
    text = "notable > 1 and not order > 2 or android < at_end"
    assert quantities_of(parse_condition(text, scope)) == {"notable", "order", "android", "at_end"}


numbers = st.floats(0, 1e9).map(rounded).map(Number)
quantities = st.sampled_from(list(KINDS))
simple = (
    numbers
    | st.builds(Value, quantities)
    | st.builds(Reduced, st.sampled_from(REDUCTIONS), quantities)
    | st.builds(At, quantities, numbers)
    | st.sampled_from([GENERALIZED, Fact("corruption"), Fact("n_train")])
)


def arithmetic(terms):
    return st.recursive(
        terms, lambda e: st.builds(Negative, e) | st.builds(Operation, e, st.sampled_from("+-*/"), e), max_leaves=4
    )


def logic(sides):
    comparisons = st.builds(Comparison, sides, st.sampled_from(["<", "<=", ">", ">=", "=", "!="]), sides)

    def joined(inner):
        several = st.lists(inner, min_size=2, max_size=3).map(tuple)
        ands = several.filter(lambda parts: not any(isinstance(p, And) for p in parts))
        ors = several.filter(lambda parts: not any(isinstance(p, Or) for p in parts))
        return st.builds(Not, inner) | st.builds(And, ands) | st.builds(Or, ors)

    return st.recursive(comparisons, joined, max_leaves=4)


flat = logic(arithmetic(simple))
conditions = logic(arithmetic(simple | st.builds(Step, flat, st.booleans())))


@settings(max_examples=40)  # they are slow to draw
@given(condition=conditions)
def test_reading_a_written_condition_gives_the_same_condition(condition):
    text = str(condition)
    if len(text) <= MAX_CHARACTERS and text.count("(") + text.count("not ") <= MAX_NESTING:
        assert read(text) == condition
        assert set(quantities_of(condition)) <= set(KINDS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "found the end; allowed there: -, (, a name, a number, not"),
        ("test_accuracy", "found the end; allowed there: < <= > >=, = !="),
        ("test_accuracy == 1", "found '=' at character 16"),
        ("test_accuracy => 1", "found '>' at character 16"),
        ("test_acuracy > 1", "'test_acuracy' at character 1 is not a quantity, parameter, setting or fact; allowed:"),
        ("test_acuracy > 1", "(did you mean test_accuracy?)"),
        ("min > 1", "(min is a function: min(QUANTITY))"),
        ("minimum(train_loss) > 1", "is not a function; allowed: last, first, min, max, median, earlier, at, step,"),
        ("lats(train_loss) > 1", "(did you mean last?)"),
        ("last(3) > 1", "'last' at character 1 needs a quantity; allowed: last(QUANTITY)"),
        ("last(train_loss, 3) > 1", "needs a quantity; allowed: last(QUANTITY)"),
        ("last(corruption) > 1", "'corruption' at character 6 is not a quantity; allowed: test_accuracy"),
        ("at(train_loss) > 1", "needs a quantity and a step; allowed: at(QUANTITY, STEP)"),
        ("at(train_loss, train_loss) > 1", "'train_loss' at character 16 is not a step; allowed: a number"),
        ("at(train_loss, 1 > 2) > 1", "needs a step after its quantity"),
        ("step(train_loss) > 1", "needs one condition; allowed: step(CONDITION)"),
        ("step(((train_loss))) > 1", "needs one condition; allowed: step(CONDITION)"),
        ("step(train_loss > 1, 2) > 1", "needs one condition; allowed: step(CONDITION)"),
        (
            "step(step(train_loss > 1) > 2) > 1",
            "'step' at character 6 stands inside step; allowed: step and lasting one",
        ),
        ("lasting(at(train_loss, step(train_loss > 1)) > 2) > 1", "stands inside lasting"),
        ("train_loss > 1e999", "'1e999' at character 14 is too large; allowed: a finite number"),
        ("train_loss > 1 > 2 > 3", "found '>'"),
        ("not train_loss", "found the end"),
        ("(train_loss > 1) > 2", "found '>' at character 18"),
        ("1 + " * 100 + "1 > 2", "has 405 characters; allowed: at most 400"),
        ("(" * 17 + "1" + ")" * 17 + " > train_loss", "is nested more than 16 deep; allowed: at most 16"),
        ("not " * 17 + "1 > train_loss", "is nested more than 16 deep"),
        ("__import__('os').system('ls') > 0", "can't be read: found \"'os'\" at character 12"),
        ("train_loss.__class__ > 0", "found '.' at character 11"),
        ("train_loss > 0 at n_train = 3", "found 'at' at character 16"),
    ],
)
def test_a_mistake_is_named_with_its_place_and_what_is_allowed(text, message):
    with pytest.raises(ConditionError) as caught:
        read(text)
    assert message in str(caught.value)


def test_all_mistakes_of_a_condition_are_named_together():
    with pytest.raises(ConditionError) as caught:
        read("foo > 1 and bar < lst(train_loss)")
    assert len(caught.value.messages) == 3


def test_what_would_not_be_read_again_as_it_is_written_out_is_refused():
    short = "train_loss>0 and " * 23 + "1<2"
    assert len(short) <= MAX_CHARACTERS
    with pytest.raises(ConditionError, match=r"written out with spaces has 4.. characters"):
        read(short)


words = [
    "min",
    "at",
    "step",
    "lasting",
    "(",
    ")",
    ",",
    "<",
    "=",
    "5",
    "train_loss",
    "generalized",
    "and",
    "or",
    "not",
    "-",
    "/",
]


@given(st.text(max_size=60) | st.lists(st.sampled_from(words), max_size=20).map(" ".join))
def test_whatever_is_written_is_a_condition_a_number_or_a_named_mistake(text):
    try:
        found = parse_value(text, SCOPE)
    except ConditionError:
        return
    assert parse_value(str(found), SCOPE) == found
    assert isinstance(found, Condition) or " < " not in str(found)


def test_the_longest_conditions_are_read():
    for text in (
        "1" + "+1" * 90 + " > train_loss",
        "(" * 16 + "1" + ")" * 16 + " > train_loss",
        "not " * 16 + "1 < 2",
    ):
        assert read(text) == read(text)
