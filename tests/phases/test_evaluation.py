"""Conditions over all trials at once say what a plain reader of one trial says, three truth values included."""

import math
from statistics import median

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phasemap.phases.curves import Curves
from phasemap.phases.evaluation import CurveTerms, number, truth, window_records
from phasemap.phases.labels import columns, curve_terms, label_reasons, label_trials, step_times
from phasemap.study.condition_grammar import Scope, parse_condition, parse_value
from phasemap.study.conditions import (
    REDUCTIONS,
    And,
    At,
    Comparison,
    Fact,
    Not,
    Or,
    Parameter,
    Reduced,
    Step,
    Value,
    comparisons_in,
    terms_of,
)
from phasemap.study.expressions import COMPARISONS, OPERATIONS, Negative, Number, Operation
from phasemap.study.rule_file import parse_rule
from phasemap.study.yaml_lines import parse_document

SCOPE = Scope(quantities={"a": "accuracy", "b": "number"}, parameters=("p",), facts=("corruption", "n_corrupted"))
PARAMETERS = {"p": 0.5}


class OneTrial:
    """An interpreter of one trial in plain Python: None is undefined or unknown."""

    def __init__(self, steps, values, facts, window):
        self.steps, self.values, self.facts, self.window = steps, values, facts, window

    def judged(self):
        if self.window == 0:
            return 1
        inside = sum(1 for step in self.steps if step >= (1 - self.window) * self.steps[-1])
        return max(inside, 5) if len(self.steps) >= 50 else inside

    def number(self, e, record=None):
        if isinstance(e, Number):
            return e.value
        if isinstance(e, Parameter):
            return PARAMETERS[e.name]
        if isinstance(e, Fact):
            return self.facts[e.name]
        if isinstance(e, Negative):
            inner = self.number(e.of, record)
            return None if inner is None else -inner
        if isinstance(e, Operation):
            left, right = self.number(e.left, record), self.number(e.right, record)
            if left is None or right is None or (e.operator == "/" and right == 0):
                return None
            answer = OPERATIONS[e.operator](left, right)
            if e.operator in "+-" and math.isfinite(answer) and abs(answer) <= 1e-12 * max(abs(left), abs(right)):
                return 0.0
            return None if math.isnan(answer) else answer
        if isinstance(e, Step):
            return self.step(e)
        curve = self.values[e.quantity]
        if isinstance(e, Value):
            there = [value for value in curve[-self.judged() :] if value is not None]
            return (median(there) if there else None) if record is None else curve[record]
        if isinstance(e, At):
            step = self.number(e.step)
            if step is None or not self.steps[0] <= step <= self.steps[-1]:
                return None
            return curve[max(i for i, s in enumerate(self.steps) if s <= step)]
        before = curve[: -self.judged()]
        return {
            "last": lambda: curve[-1],
            "first": lambda: curve[0],
            "min": lambda: self.over(curve, min),
            "max": lambda: self.over(curve, max),
            "median": lambda: self.over(curve, median),
            "earlier": lambda: self.over(before, max) if before else -math.inf,
        }[e.function]()

    @staticmethod
    def over(values, function):
        return None if None in values else function(values)

    def truth(self, c, record=None):
        if isinstance(c, Comparison):
            left, right = self.number(c.left, record), self.number(c.right, record)
            if left is None or right is None:
                return None
            scale = max(abs(left), abs(right))
            if c.computed and math.isfinite(scale) and abs(left - right) <= 1e-12 * scale:
                return c.comparison in ("<=", ">=", "=")
            return COMPARISONS[c.comparison](left, right)
        if isinstance(c, Not):
            inner = self.truth(c.of, record)
            return None if inner is None else not inner
        parts = [self.truth(part, record) for part in c.parts]
        deciding = isinstance(c, Or)
        if deciding in parts:
            return deciding
        return None if None in parts else not deciding

    def step(self, e):
        truths = [self.truth(e.condition, record) for record in range(len(self.steps))]
        if e.lasting:
            wrong = [i for i, holds in enumerate(truths) if holds is not True]
            record = wrong[-1] + 1 if wrong else 0
            if wrong and truths[wrong[-1]] is None:
                return None
            if record == len(truths):
                return math.inf
        else:
            open_ = [i for i, holds in enumerate(truths) if holds is not False]
            if not open_:
                return math.inf
            record = open_[0]
            if truths[record] is None:
                return None
        varying = [c for c in comparisons_in(e.condition) if any(isinstance(t, Value) for t in terms_of(c))]
        if record == 0 or len(varying) != 1 or varying[0].comparison in ("=", "!="):
            return float(self.steps[record])
        (crossed,) = varying
        gaps = []
        for at in (record - 1, record):
            sides = self.number(crossed.left, at), self.number(crossed.right, at)
            gaps.append(None if None in sides or not all(map(math.isfinite, sides)) else sides[0] - sides[1])
        if None in gaps or gaps[0] == gaps[1]:
            return None if None in gaps else float(self.steps[record])
        share = min(max(gaps[0] / (gaps[0] - gaps[1]), 0.0), 1.0)
        logs = [math.log(self.steps[i]) for i in (record - 1, record)]
        return math.exp(logs[0] + share * (logs[1] - logs[0]))


levels = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, 2.0, 10.0])
numbers = levels.map(Number)
quantities = st.sampled_from(["a", "b"])
simple = (
    numbers
    | st.builds(Value, quantities)
    | st.builds(Reduced, st.sampled_from(REDUCTIONS), quantities)
    | st.builds(At, quantities, numbers)
    | st.sampled_from([Parameter("p"), Fact("corruption"), Fact("n_corrupted")])
)


def logic(terms):
    sides = st.recursive(
        terms, lambda e: st.builds(Negative, e) | st.builds(Operation, e, st.sampled_from("+-*/"), e), max_leaves=3
    )
    comparisons = st.builds(Comparison, sides, st.sampled_from(["<", "<=", ">", ">=", "=", "!="]), sides)
    several = lambda inner: st.lists(inner, min_size=2, max_size=3).map(tuple)  # noqa: E731
    return st.recursive(
        comparisons,
        lambda c: st.builds(Not, c) | st.builds(And, several(c)) | st.builds(Or, several(c)),
        max_leaves=3,
    )


conditions = logic(simple | st.builds(Step, logic(simple), st.booleans()))


@st.composite
def some_trials(draw):
    n, records = draw(st.integers(1, 4)), draw(st.integers(1, 6) | st.just(52))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = {name: rng.choice([0, 0.25, 0.5, 0.75, 1.0], (n, records)) for name in ("a", "b")}
    if draw(st.booleans()):
        values["b"][rng.random((n, records)) < 0.3] = np.nan
    steps = np.cumsum(rng.integers(1, 5, records))
    return Curves(
        steps=steps,
        values=values,
        facts={"corruption": rng.choice([0, 0.25, 1.0], n), "n_corrupted": rng.integers(0, 3, n)},
    )


def readers(curves, window):
    for row in range(len(curves)):
        values = {q: [None if math.isnan(x) else x for x in v[row].tolist()] for q, v in curves.values.items()}
        facts = {
            "corruption": float(curves.facts["corruption"][row]),
            "n_corrupted": float(curves.facts["n_corrupted"][row]),
        }
        yield OneTrial(curves.steps.tolist(), values, facts, window)


@given(condition=conditions, curves=some_trials(), window=st.sampled_from([0.0, 0.1, 0.5]))
def test_a_condition_over_all_trials_says_what_a_reader_of_one_trial_says(condition, curves, window):
    terms = CurveTerms(curves=curves, window=window, parameters=PARAMETERS)
    found = np.broadcast_to(truth(condition, terms), (len(curves), 1))[:, 0]
    expected = [{True: 1, False: -1, None: 0}[reader.truth(condition)] for reader in readers(curves, window)]
    assert found.tolist() == expected


@given(condition=logic(simple), lasting=st.booleans(), curves=some_trials())
def test_a_step_is_the_one_that_a_reader_of_one_trial_finds(condition, lasting, curves):
    step = Step(condition, lasting)
    found = CurveTerms(curves=curves, window=0.1, parameters=PARAMETERS).value(step)[:, 0]
    expected = [reader.step(step) for reader in readers(curves, 0.1)]
    assert found == pytest.approx([math.nan if value is None else value for value in expected], nan_ok=True)


def curves_of(steps, **values):
    arrays = {name: np.asarray([value], dtype=float) for name, value in values.items()}
    return Curves(
        steps=np.asarray(steps),
        values=arrays,
        facts={"corruption": np.asarray([0.35]), "n_corrupted": np.asarray([10])},
    )


def told(text, curves, window=0.0):
    terms = CurveTerms(curves=curves, window=window, parameters=PARAMETERS)
    return int(truth(parse_condition(text, SCOPE), terms).ravel()[0])


def valued(text, curves, window=0.0):
    terms = CurveTerms(curves=curves, window=window, parameters=PARAMETERS)
    return float(np.ravel(number(parse_value(text, SCOPE), terms))[0])


FALLING = curves_of((1, 10, 100, 1000), a=[1.0, 0.8, 0.4, 0.7], b=[math.nan, 1, 2, 3])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("last(a)", 0.7), ("first(a)", 1.0), ("min(a)", 0.4), ("max(a)", 1.0), ("median(a)", 0.75),
        ("earlier(a)", 1.0), ("at(a, 10)", 0.8), ("at(a, 99)", 0.8), ("at(a, 1000)", 0.7),
        ("at(a, step(a < 0.5))", 0.8),
        ("step(a < 0.6)", 10**1.5), ("step(0.6 > a)", 10**1.5), ("step(a > 0.2)", 1.0), ("step(a > 1)", math.inf),
        ("step(a < 0.6 and a > 0.3)", 100.0), ("step(a < 0.6 and corruption < 1)", 10**1.5),
        ("step(not a >= 0.6)", 10**1.5),
        ("lasting(a > 0.55)", 10**2.5), ("lasting(a > 0.7)", math.inf), ("lasting(a >= 0)", 1.0),
        ("step(a = 0.4)", 100.0), ("step(a <= min(a) * 2)", 10.0), ("step(b > 0)", math.nan),
        ("lasting(b > 1.5)", 10**1.5),
        ("max(b)", math.nan), ("1 / (n_corrupted - 10)", math.nan), ("0.3 - 0.1 - 0.2", 0.0), ("2 - 3 * -2", 8.0),
    ],
)  # fmt: skip
def test_every_function_has_the_value_of_the_page_of_rules(text, value):
    assert valued(text, FALLING) == pytest.approx(value, nan_ok=True)


def test_what_was_computed_is_equal_where_it_agrees_to_twelve_digits():
    at = curves_of((1,), a=[0.7], b=[1e-30])
    assert told("a >= 1.05 - corruption", at) == 1  # 1.05 - 0.35 is 0.7000000000000001
    assert told("a > 1.05 - corruption", at) == -1
    assert told("a = 1.05 - corruption", at) == 1
    assert told("b > 10 * min(b)", at) == -1
    assert told("b < 10 * min(b)", at) == 1


def test_unknown_is_no_more_than_it_must_be():
    unknown = curves_of((1,), a=[0.7], b=[math.nan])
    assert told("b > 0", unknown) == told("not b > 0", unknown) == told("b != b", unknown) == 0
    assert told("b > 0 and a > 1", unknown) == -1
    assert told("b > 0 or a < 1", unknown) == 1
    assert told("b > 0 and a < 1", unknown) == told("b > 0 or a > 1", unknown) == 0


def test_never_is_later_than_any_step_and_differs_from_itself_by_nothing_known():
    assert told("step(a > 1) > 1e15", FALLING) == 1
    assert told("step(a > 1) + 1 > step(a < 0.6)", FALLING) == 1
    assert told("step(a > 1) - step(a > 1) = 0", FALLING) == 0


@given(st.sets(st.integers(1, 3000), min_size=1, max_size=120), st.sampled_from([0.0, 0.1, 0.25]))
def test_a_window_is_a_share_of_the_steps_and_five_records_of_fifty_or_more(recorded, share):
    steps = np.sort(np.asarray(list(recorded)))
    inside = int((steps >= (1 - share) * steps[-1]).sum())
    expected = 1 if share == 0 else max(5, inside) if len(steps) >= 50 else inside
    assert window_records(steps, share) == expected


RULE = """
parameters: {high: 0.9}
window: 0
labels:
  stuck: {when: memorized_accuracy < 0.1 and test_accuracy < high}
  learned: test_accuracy >= high
  odd: last(test_loss) > 10 * min(test_loss)
groups: {fine: [learned]}
times: {lost_step: lasting(test_accuracy < 0.5), high_step: test_accuracy >= high}
columns: {late: high_step >= 10, spread: max(test_accuracy) - min(test_accuracy), per_class: n_classes / 2}
"""


def test_a_rule_gives_labels_reasons_times_and_columns():
    rule = parse_rule(parse_document(RULE, "mine.yaml"), "mine")
    nan = math.nan
    curves = Curves(
        steps=np.asarray([1, 10, 100]),
        values={
            "test_accuracy": np.asarray([[0, 0.9, 0.9], [0, 0.8, 0.4], [0, 0.8, 0.4], [0, 0.2, 0.6], [0, 0, nan]]),
            "memorized_accuracy": np.asarray([[nan], [nan], [0.05], [0.5], [0.0]]).repeat(3, axis=1),
            "test_loss": np.asarray([[1, 1, 1], [1, 1, 1], [1, 1, 1], [1, 2, 3], [1, 1, 1]], dtype=float),
        },
        facts={
            "corruption": np.zeros(5),
            "n_corrupted": np.zeros(5, dtype=np.int64),
            "n_classes": np.asarray([2.0, 2, 2, 2, 10]),
        },
    )
    terms = curve_terms(curves, rule)
    found = label_trials(rule, terms, 5)
    assert found.names(rule).tolist() == ["learned", None, "stuck", None, None]
    assert label_reasons(rule, terms, found).tolist() == [
        None,
        "stuck can't be told: memorized_accuracy is undefined",
        None,
        "no condition holds",
        "stuck can't be told: test_accuracy is undefined",
    ]
    times = step_times(curves, rule)
    assert times["high_step"] == pytest.approx([10, nan, nan, nan, nan], nan_ok=True)
    assert times["lost_step"] == pytest.approx([nan, 10**1.75, 10**1.75, nan, nan], nan_ok=True)
    further = columns(curves, rule, times)
    assert further["late"].tolist() == [True, None, None, None, None]
    assert further["spread"] == pytest.approx([0.9, 0.8, 0.8, 0.6, nan], nan_ok=True)
    assert further["per_class"].tolist() == [1, 1, 1, 1, 5]
    assert rule.needed == {"test_accuracy", "memorized_accuracy", "test_loss"}
    assert rule.facts == {"n_classes"}
