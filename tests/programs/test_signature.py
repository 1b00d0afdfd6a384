"""A function's signature is the schema of its trials."""

from typing import Literal, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasemap.study.marking import program
from phasemap.study.parameters import Parameter, parameter_of
from phasemap.study.programs import Program, program_of, read_function
from phasemap.study.signature import SignatureError, kind_of, parameters_of
from phasemap.study.values import allowed, rounded


def parameters(function):
    return {parameter.name: parameter for parameter in parameters_of(function)}


def test_annotations_and_defaults_become_types():
    def train(
        trial,
        *,
        lr: float,
        depth: int = 2,
        norm: bool = False,
        name: str = "a",
        kind: Literal["x", "y"] = "x",
        limit: int | None = None,
        decay: Optional[float] = 0.5,  # noqa: UP045
        sizes: list[int] = (1, 2),
        text: "float" = 1,
        plain=3,
        words="w",
        anything=None,
    ):
        pass

    found = parameters(train)
    assert {name: " | ".join(one.types) for name, one in found.items()} == {
        "lr": "float",
        "depth": "int",
        "norm": "bool",
        "name": "str",
        "kind": "choice",
        "limit": "int | none",
        "decay": "float | none",
        "sizes": "list[int]",
        "text": "float",
        "plain": "int",
        "words": "str",
        "anything": "none | bool | int | float | str",
    }
    assert found["lr"].required
    assert found["sizes"].default == (1, 2)
    assert allowed(found["kind"].setting.field) == "one of x, y"
    assert allowed(found["limit"].setting.field) == "a whole number or nothing"
    assert found["decay"].setting.numeric
    assert not found["name"].setting.numeric


@pytest.mark.parametrize(
    ("types", "found", "value"),
    [
        (("int",), 3.0, 3),
        (("float",), "1e-4", 1e-4),
        (("float",), 3, 3.0),
        (("int", "float"), 3, 3),
        (("int", "float"), 3.0, 3.0),
        (("bool",), True, True),
        (("none", "float"), None, None),
        (("list[float]",), [1, 2.5], (1.0, 2.5)),
        (("int", "str"), "3", "3"),
    ],
)
def test_values_are_taken_as_their_type(types, found, value):
    got = Parameter(name="p", types=types).value_of(found)
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    ("types", "found"),
    [
        (("int",), 2.5),
        (("int",), "3"),
        (("int",), True),
        (("float",), "fast"),
        (("float",), float("nan")),
        (("float",), False),
        (("bool",), 1),
        (("str",), 3),
        (("str",), True),
        (("float",), None),
        (("list[int]",), [1, "2"]),
        (("float",), [1.0]),
    ],
)
def test_values_of_other_types_are_refused(types, found):
    with pytest.raises(ValueError, match=r".*"):
        Parameter(name="p", types=types).value_of(found)


def bad_keywords(trial, **settings):
    pass


def bad_untyped(trial, width):
    pass


def bad_type(trial, *, net: dict):
    pass


def bad_reserved(trial, *, seed: int, status: str):
    pass


def bad_columns(trial, *, source: str, confidence: float):
    pass


def bad_default(trial, *, depth: int = 1.5):
    pass


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (bad_keywords, r"takes \*\*settings; allowed: every setting as a parameter of its own"),
        (bad_untyped, "has a parameter width without a type and a default; allowed: int, float, bool, str, Literal"),
        (bad_type, "has a parameter net of the type dict; allowed: int, float"),
        (bad_reserved, "has a parameter seed, which is a reserved name.*has a parameter status, which is a reserved"),
        (bad_columns, "has a parameter source, which is a reserved.*has a parameter confidence, which is a reserved"),
        (bad_default, "has a parameter depth whose default 1.5 is not of its type"),
    ],
)
def test_signatures_that_are_no_schema(function, message):
    with pytest.raises(SignatureError, match=message):
        parameters_of(function)


def test_who_calls_a_function_is_told_by_its_first_parameter():
    def ours(trial: "pm.TrialContext", *, lr: float):  # noqa: F821
        pass

    def with_settings(trial, lr: float):
        pass

    def tune(config):
        pass

    def optuna(trial):
        pass

    assert [kind_of(f, decorated=False) for f in (ours, with_settings, tune, optuna)] == [
        "phasemap",
        "phasemap",
        "tune",
        "optuna",
    ]
    assert kind_of(optuna, decorated=True) == "phasemap"
    with pytest.raises(SignatureError, match="class trainables of Ray Tune can't be run"):
        kind_of(type("Trainable", (), {}), decorated=False)
    with pytest.raises(SignatureError, match="has model as its first parameter; allowed: trial"):
        kind_of(lambda model, lr: None, decorated=False)


@pytest.mark.parametrize(
    ("quantities", "message"),
    [
        ({"step": "number"}, "declares the quantity step, which is a reserved name"),
        ({"a b": "number"}, "declares the quantity 'a b'; allowed: letters"),
        ({"auc": "rate"}, "declares auc as 'rate'; allowed: accuracy, loss, number"),
        ({"agreement": "number"}, "declares the quantity agreement, which is a reserved name"),
        ({"train_loss": "accuracy"}, "declares train_loss as accuracy, but it is a loss everywhere"),
        ({"lr": "number"}, "has a parameter lr, which is the name of a quantity"),
        ({"a": "number"}, "has a parameter a_std, which is the name of a quantity"),
    ],
)
def test_quantities_that_can_not_be_declared(quantities, message):
    @program(quantities=quantities)
    def train(trial, *, lr: float, a_std: float = 0.0):
        pass

    with pytest.raises(SignatureError, match=message):
        read_function(train, "train.py:train")


def test_score_and_corrupt_declare_what_they_record():
    @program(quantities={"test_accuracy": "accuracy"})
    def train(trial, *, lr: float):
        labels = trial.corrupt([], lr)
        trial.report(1, **trial.score(labels, [], [], []))

    found = read_function(train, "train.py:train").recorded
    assert len(found.accuracies) == 5
    assert "n_corrupted" in found.facts


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**9), 10**9), st.floats(-1e9, 1e9).map(rounded), st.text(max_size=5)
)


@given(st.lists(scalars, min_size=1, max_size=6), st.integers(0, 5))
def test_parameters_survive_being_written(choices, number):
    default = choices[number % len(choices)]
    for one in (
        Parameter(name="p", types=("choice",), choices=tuple(choices), default=default),
        Parameter(name="p", types=("none", "bool", "int", "float", "str"), default=default, since=2),
        Parameter(name="p", types=("float", "none"), required=True),
    ):
        again = parameter_of("p", one.content())
        assert again == one
        program = Program(reference="a.py:f", folder="/x", source="s", parameters=(one,), quantities=(("q", "loss"),))
        assert program_of("a.py:f", program.content()) == program


@given(scalars)
def test_a_value_that_is_taken_is_taken_again_as_it_is(found):
    for types in (("int",), ("float",), ("bool",), ("str",), ("int", "float"), ("none", "float", "str")):
        parameter = Parameter(name="p", types=types)
        try:
            value = parameter.value_of(found)
        except ValueError:
            continue
        assert parameter.value_of(value) == value
        assert type(parameter.value_of(value)) is type(value)
