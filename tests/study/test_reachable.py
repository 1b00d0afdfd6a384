"""Labels that no trial can get are found, and no label is called so that some trial gets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasemap.phases.curves import Curves
from phasemap.phases.labels import label_curves_by
from phasemap.study.condition_grammar import Scope, parse_condition
from phasemap.study.names import QUANTITY_KINDS
from phasemap.study.reachable import unreachable
from phasemap.study.rule import Label, Rule

SCOPE = Scope(quantities=QUANTITY_KINDS, parameters=("p",), facts=("corruption", "n_corrupted"))


def rule_of(*conditions, p=0.9):
    labels = tuple(
        Label(name=f"label_{number}", when=None if text == "otherwise" else parse_condition(text, SCOPE))
        for number, text in enumerate(conditions)
    )
    return Rule(name="mine", labels=labels, parameters=(("p", p),))


def found(*conditions, p=0.9):
    return {
        int(name.removeprefix("label_")): why for name, why in unreachable(rule_of(*conditions, p=p), QUANTITY_KINDS)
    }


@pytest.mark.parametrize(
    ("conditions", "never", "why"),
    [
        (["test_accuracy > 1", "otherwise"], {0}, "its condition never holds"),
        (["test_loss < 0", "otherwise"], {0}, "its condition never holds"),
        (["n_corrupted < 0", "corruption > 1", "otherwise"], {0, 1}, "its condition never holds"),
        (["step(test_loss > 1) < 0", "otherwise"], {0}, "its condition never holds"),
        (["1 > 2", "otherwise"], {0}, "its condition never holds"),
        (["p * 2 < 1", "otherwise"], {0}, "its condition never holds"),
        (["test_accuracy > 0.9 and test_accuracy < 0.1", "otherwise"], {0}, "its condition never holds"),
        (
            ["test_accuracy > train_accuracy and train_accuracy >= test_accuracy", "otherwise"],
            {0},
            "its condition never",
        ),
        (["otherwise", "test_accuracy > 0.5"], {1}, "it stands after label_0: otherwise"),
        (["test_accuracy > p", "test_accuracy > p", "otherwise"], {1}, "label_0 comes first with the same condition"),
        (["test_accuracy > p", "0.9 < test_accuracy", "otherwise"], {1}, "label_0 comes first and holds wherever"),
        (["test_accuracy > 0.5", "test_accuracy > 0.6", "otherwise"], {1}, "label_0 comes first and holds wherever"),
        (["test_accuracy > 0.5 or test_loss > 1", "test_loss > 2", "otherwise"], {1}, "label_0 comes first and holds"),
        (["test_accuracy > 0.5", "test_accuracy <= 0.5", "otherwise"], {2}, "the labels before it leave no trial"),
        (
            ["test_loss > train_loss", "train_loss > test_loss", "train_loss = test_loss", "otherwise"],
            {3},
            "the labels",
        ),
        (["test_accuracy >= 0", "otherwise"], {1}, "label_0 comes first and holds wherever"),
        (["test_accuracy > 0.6", "test_accuracy > 0.5", "otherwise"], set(), ""),
        (["test_accuracy > 0.5", "last(test_accuracy) > 0.6", "otherwise"], set(), ""),
        (["test_accuracy > train_accuracy", "train_accuracy > test_accuracy", "otherwise"], set(), ""),
        (["earlier(test_accuracy) < 0", "otherwise"], set(), ""),  # where there is no record before the window
        (["step(test_loss > 1) > 1e15", "otherwise"], set(), ""),  # where it is never reached
    ],
)
def test_labels_that_no_trial_can_get_are_found(conditions, never, why):
    said = found(*conditions)
    assert set(said) == never
    assert all(reason.startswith(f"can never be given: {why}") for reason in said.values())


def test_a_threshold_may_make_a_label_unreachable():
    conditions = ["test_accuracy >= p", "test_accuracy > 1 - p", "otherwise"]
    assert found(*conditions) == {}
    assert set(found(*conditions, p=0.5)) == {1}


def test_rules_with_more_cases_than_can_be_tried_are_still_compared_label_by_label():
    quantities = list(QUANTITY_KINDS)
    many = [f"{name} > 0.{digit}" for digit in (9, 7, 5) for name in quantities[:7]]
    assert found(*many) == {}
    assert set(found(*many, "test_accuracy > 0.8")) == {21}
    assert set(found(*many, "test_accuracy > 1")) == {21}


atoms = st.sampled_from([
    f"{left} {sign} {right}"
    for left in ("test_accuracy", "last(test_accuracy)", "earlier(test_accuracy)", "train_loss", "n_corrupted")
    for sign in ("<", "<=", ">", ">=", "=")
    for right in ("0", "0.5", "1", "p", "train_accuracy")
])  # fmt: skip
conditions = st.recursive(
    atoms,
    lambda c: (
        c.map("not ({})".format) | st.builds("({}) and ({})".format, c, c) | st.builds("({}) or ({})".format, c, c)
    ),
    max_leaves=3,
)


@given(texts=st.lists(conditions | st.just("otherwise"), min_size=1, max_size=5), seed=st.integers(0, 2**32 - 1))
def test_no_label_that_a_trial_gets_is_called_unreachable(texts, seed):
    rng = np.random.default_rng(seed)
    levels = [0.0, 0.25, 0.5, 0.7, 0.9, 0.95, 1.0]
    n = 500
    curves = Curves(
        steps=np.asarray([1, 2, 3]),
        values={
            **{name: rng.choice(levels, (n, 3)) for name in ("test_accuracy", "train_accuracy")},
            "train_loss": rng.choice([*levels, 2.0], (n, 3)),
        },
        facts={"corruption": np.zeros(n), "n_corrupted": rng.integers(0, 3, n)},
    )
    rule = rule_of(*texts)
    given_to_some = {int(code) for code in label_curves_by(curves, rule).codes if code >= 0}
    assert not given_to_some & set(found(*texts))
