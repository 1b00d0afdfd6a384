"""Rule files: what can be said, that it is kept as it was read, and that every mistake is named with its line."""

import pytest
import yaml
from conftest import study_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phasemap.results.merge import trial_schema
from phasemap.results.schema import SHARD_SCHEMA
from phasemap.study.conditions import Step
from phasemap.study.errors import StudyError
from phasemap.study.names import QUANTITY_KINDS, RESERVED_COLUMNS, STEP_TIMES
from phasemap.study.networks import NETWORK_SETTINGS
from phasemap.study.rule import rule_content
from phasemap.study.rule_file import packaged_rule, parse_rule
from phasemap.study.spec import PhaseRule
from phasemap.study.yaml_lines import parse_document

FIVE = """
parameters: {generalized: 0.9}
labels:
  diverging: train_loss > 10 * min(train_loss)
  grokking: {when: test_accuracy >= generalized, letter: G, colour: "#0072b2"}
  memorization: train_accuracy >= 0.9
  forgetting: earlier(test_accuracy) >= generalized
  confusion: otherwise
groups: {learned: [grokking]}
times: {grokking_step: test_accuracy >= generalized, lost_step: lasting(test_accuracy < 0.5)}
columns: {late: grokking_step >= 3 * lost_step, spread: max(test_accuracy) - corruption}
window: 0.2
frontiers:
  generalization: test_accuracy = generalized
  inversion: recovered_accuracy = memorized_accuracy
"""


def read(text, name="mine", **recorded):
    return parse_rule(parse_document(text, "mine.yaml"), name, {**QUANTITY_KINDS, **recorded})


def problems(text, **recorded):
    with pytest.raises(StudyError) as caught:
        read(text, **recorded)
    return [str(problem) for problem in caught.value.problems]


def test_a_rule_is_read_as_it_is_written():
    rule = read(FIVE)
    assert rule.label_names == ("diverging", "grokking", "memorization", "forgetting", "confusion")
    assert rule.labels[-1].when is None
    assert (rule.labels[1].letter, rule.labels[1].colour) == ("G", "#0072b2")
    assert rule.phases == ("diverging", "learned", "memorization", "forgetting", "confusion")
    assert [str(time) for _, time in rule.times] == [
        "step(test_accuracy >= generalized)", "lasting(test_accuracy < 0.5)",
    ]  # fmt: skip
    assert rule.window == 0.2
    assert rule.needed == {"train_loss", "test_accuracy", "train_accuracy"}
    assert rule.facts == {"corruption"}
    assert rule.with_parameters({"generalized": 0.8}).parameters == (("generalized", 0.8),)


@pytest.mark.parametrize("rule", [read(FIVE), packaged_rule("doshi2024"), packaged_rule("memorized_fraction")])
def test_a_written_rule_is_read_as_the_same_rule(rule):
    text = yaml.safe_dump(rule_content(rule), sort_keys=False)
    assert read(text, rule.name) == rule


def test_quantities_of_other_programs_are_known_by_their_kind():
    text = "quantities: {gradient_norm: number}\nlabels: {steep: gradient_norm > 3, flat: otherwise}"
    assert read(text, gradient_norm="number").needed == {"gradient_norm"}
    (problem,) = problems(text)
    assert problem.startswith("quantities.gradient_norm gradient_norm was not recorded; recorded: train_accuracy, ")
    assert problem.endswith("(mine.yaml:1)")


def of(labels, more=""):
    return f"labels:\n  {labels}\n{more}"


MISTAKES = {
    "nothing": ("- 1", "is a list; allowed: a mapping of quantities, parameters, labels,"),
    "no labels": ("window: 0", "labels is missing; allowed: a mapping of labels to conditions, at least one"),
    "unknown key": (of("a: otherwise", "label: 3"), "label is an unknown key; allowed: quantities, parameters, labels"),
    "duplicate label": (of("a: test_loss > 1\n  a: otherwise"), "labels.a is given twice"),
    "unknown quantity": (of("a: tst_accuracy > 1\n  b: otherwise"), "(did you mean test_accuracy?)  (mine.yaml:2)"),
    "unknown label in a group": (of("abc: otherwise", "groups: {g: [abd]}"), "(did you mean abc?)  (mine.yaml:3)"),
    "no text": (
        of("a: 3\n  b: otherwise"),
        "labels.a = 3 is not a condition; allowed: text, e.g. test_accuracy >= 0.9",
    ),
    "a number": (of("a: test_loss\n  b: otherwise"), "labels.a can't be read: found the end; allowed there: < <= > >="),
    "a reserved label": (of("diverged: otherwise"), "labels.diverged is taken; allowed: any name but diverged, failed"),
    "a name with a dash": (of("a-b: otherwise"), "labels.a-b is not a name; allowed: letters, digits and _"),
    "two equal letters": (
        of("a: {when: test_loss > 1, letter: Q}\n  b: {when: otherwise, letter: Q}"),
        "labels.b.letter = 'Q' is the letter of a too; allowed: another letter  (mine.yaml:3)",
    ),
    "a built-in label's letter": (
        of("memorization: test_loss > 1\n  b: {when: otherwise, letter: M}"),
        "labels.b.letter = 'M' is the letter of memorization too",
    ),
    "a built-in group's letter": (
        of("a: {when: otherwise, letter: G}", "groups: {grokking: [a]}"),
        "labels.a.letter = 'G' is the letter of grokking too",
    ),
    "the letter D": (
        of("a: {when: otherwise, letter: D}"),
        "is the letter of diverged trials; allowed: any but D, ! and ?",
    ),
    "the letter !": (
        of('a: {when: otherwise, letter: "!"}'),
        "is the letter of failed trials; allowed: any but D, ! and ?",
    ),
    "two letters": (
        of("a: {when: otherwise, letter: AB}"),
        "labels.a.letter = 'AB' is not allowed; allowed: one character",
    ),
    "a colour by name": (of("a: {when: otherwise, colour: red}"), "labels.a.colour = 'red' is not a colour; allowed:"),
    "a mark without a condition": (of("a: {letter: A}"), "labels.a has no condition; allowed: when: CONDITION"),
    "an unknown key of a label": (
        of("a: {when: otherwise, color: red}"),
        "labels.a.color is an unknown key; allowed: when",
    ),
    "circular groups": (
        of("a: otherwise", "groups: {g: [a, h], h: [g]}"),
        "groups.h[0] = g makes the groups circular (h in g in h); allowed: labels  (mine.yaml:3)",
    ),
    "a group in itself": (of("a: otherwise", "groups: {g: [g]}"), "makes the groups circular (g in g)"),
    "nested groups": (of("a: otherwise", "groups: {g: [a], h: [g]}"), "groups.h[0] = g is a group; allowed: labels"),
    "a label in two groups": (of("a: otherwise", "groups: {g: [a], h: [a]}"), "groups.h[0] = a is in g already"),
    "a group named like a label outside it": (
        of("a: test_loss > 1\n  b: otherwise", "groups: {a: [b]}"),
        "groups.a has the name of a label outside it; allowed: another name, or with a in it",
    ),
    "an empty group": (of("a: otherwise", "groups: {g: []}"), "groups.g = an empty list is not allowed"),
    "a parameter that is text": (of("a: otherwise", "parameters: {p: high}"), "parameters.p = 'high' is not allowed"),
    "a parameter that is not finite": (
        of("a: otherwise", "parameters: {p: .inf}"),
        "parameters.p = .inf is not allowed",
    ),
    "a parameter named like a quantity": (
        of("a: otherwise", "parameters: {test_loss: 3}"),
        "parameters.test_loss is the name of something else",
    ),
    "a time that is no step": (
        of("a: otherwise", "times: {t: test_loss}"),
        "times.t = 'test_loss' is not a step; allowed",
    ),
    "a step in a step": (of("a: otherwise", "times: {t: step(test_loss > 1) > 3}"), "finds a step inside a step"),
    "a time named like a column": (of("a: otherwise", "times: {seed: test_loss > 1}"), "times.seed is the name of"),
    "a column of an unknown time": (of("a: otherwise", "columns: {c: t > 3}"), "columns.c 't' at character 1 is not a"),
    "a time in a label": (
        of("a: t > 3\n  b: otherwise", "times: {t: test_loss > 1}"),
        "labels.a 't' at character 1 is not a quantity",
    ),
    "a window of all": (of("a: otherwise", "window: 1"), "window = 1 is not allowed; allowed: a number in [0, 1)"),
    "a frontier that is not a line": (
        of("a: otherwise", "frontiers: {f: test_loss > 1}"),
        "frontiers.f = 'test_loss > 1' is not a line; allowed: QUANTITY =",
    ),
    "a frontier of a number": (of("a: otherwise", "frontiers: {f: 1 = test_loss}"), "does not start with a quantity"),
    "a frontier of a quantity and itself": (
        of("a: otherwise", "frontiers: {f: test_loss = test_loss}"),
        "has no level",
    ),
    "a frontier of a setting": (
        of("a: otherwise", "frontiers: {f: test_loss = corruption}"),
        "has no level for test_loss",
    ),
    "an unknown kind": (
        of("a: otherwise", "quantities: {q: percent}"),
        "quantities.q = 'percent' is not a kind; allowed",
    ),
    "another kind": (
        of("a: otherwise", "quantities: {test_loss: number}"),
        "= number contradicts its kind; allowed: loss",
    ),
    "too deep": (of(f"a: {'(' * 17}test_loss{')' * 17} > 1\n  b: otherwise"), "is nested more than 16 deep"),
    "too long": (of(f"a: test_loss > {'1 + ' * 100} 1\n  b: otherwise"), "characters; allowed: at most 400"),
    "a step two deep": (of("a: step(step(test_loss > 1) > 1) > 1\n  b: otherwise"), "stands inside step"),
    "too many labels": (
        of("\n  ".join(f"a{n}: test_loss > {30 - n}" for n in range(25))),
        "labels has 25 labels; allowed: at most 24",
    ),
    "too many conditions": (
        of("a: otherwise", "times: {" + ", ".join(f"t{n}: test_loss > {n}" for n in range(32)) + "}"),
        "has 33 conditions; allowed: at most 32",
    ),
    "a label after otherwise": (
        of("a: otherwise\n  b: test_loss > 1"),
        "labels.b can never be given: it stands after a: otherwise; allowed: otherwise as the last  (mine.yaml:3)",
    ),
    "the same condition twice": (
        of("a: test_loss > 1 and corruption > 0\n  b: test_loss > 1 and corruption > 0\n  c: otherwise"),
        "labels.b can never be given: a comes first with the same condition",
    ),
    "a condition that never holds": (
        of("a: test_accuracy > 1\n  b: otherwise"),
        "labels.a can never be given: its condition never holds",
    ),
    "a constant condition": (of("a: 2 < 1\n  b: otherwise"), "labels.a can never be given: its condition never holds"),
}


@pytest.mark.parametrize(("text", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_named_with_its_place_and_what_is_allowed(text, message):
    found = problems(text)
    assert any(message in problem for problem in found), found
    assert all("(mine.yaml:" in problem for problem in found)


def test_all_mistakes_are_reported_together():
    text = (
        "labels:\n  a: foo > 1\n  b: {when: bar > 1, letter: D}\ngroups: {g: [c]}\nwindow: 2\ncolumns: {seed: 3}\n"
        "parameters: {p: x}\nwat: 1\n"
    )
    lines = [int(problem.rpartition(":")[2].rstrip(")")) for problem in problems(text)]
    assert lines == [2, 3, 3, 4, 5, 6, 6, 7, 8]


def test_no_rule_may_fill_a_column_that_every_table_has():
    own = {*STEP_TIMES, "delayed"}
    assert set(trial_schema(SHARD_SCHEMA, PhaseRule()).names) - own <= {*NETWORK_SETTINGS, *RESERVED_COLUMNS}


def test_times_are_steps_of_conditions():
    (found,) = dict(read(of("a: otherwise", "times: {t: test_loss < 1 and corruption > 0}")).times).values()
    assert found == Step(found.condition)


scraps = st.sampled_from(
    [
        "test_accuracy",
        "generalized",
        ">=",
        "0.9",
        "earlier(test_accuracy)",
        "otherwise",
        "step(",
        ")",
        "(",
        "and",
        "or",
        "not",
        "tst",
        "",
        "1e999",
        "lasting(test_loss > 1)",
        "\u202e",
        "- - -",
        "a: b",
        "#",
        "=",
        "'",
        "*",
        "/ 0",
    ]
)
texts = st.lists(scraps, max_size=8).map(" ".join) | st.text(max_size=30)
plain = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=True) | texts
names = st.sampled_from(["a", "b", "grokking", "D", "diverged", "otherwise", "9", "seed", "test_loss", "min"]) | texts
values = st.recursive(
    plain,
    lambda v: (
        st.lists(v, max_size=3) | st.dictionaries(names | st.sampled_from(["when", "letter", "colour"]), v, max_size=4)
    ),
)
KEYS = ("quantities", "parameters", "labels", "groups", "times", "columns", "window", "frontiers", "rule")
files = st.dictionaries(st.sampled_from(KEYS), values | st.dictionaries(names, values, max_size=5), max_size=8) | values


@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow])
@given(content=files)
def test_whatever_a_file_holds_gives_a_rule_or_named_mistakes(content):
    text = yaml.safe_dump(content, allow_unicode=False)
    try:
        rule = read(text)
    except StudyError as error:
        named = [problem.source for problem in error.problems]
    else:
        named = ["mine.yaml"]
        assert read(yaml.safe_dump(rule_content(rule), sort_keys=False)) == rule
    assert set(named) == {"mine.yaml"}


BROKEN = [
    ("test_accuracy >= generalized", "test_acuracy >= generalized"),
    ("letter: G", "letter: D"),
    ("letter: G", "letter: GG"),
    ("[grokking]", "[groking]"),
    ("[grokking]", "[learned]"),
    ("window: 0.2", "window: 2"),
    ("otherwise", "otherwize"),
    ("0.9\n", "\n"),
    ("10 * min(", "10 * minn("),
    ("0.5)", "0.5"),
    ("confusion: otherwise", "confusion: test_accuracy > 2"),
    ("forgetting: earlier", "forgetting: later"),
    ("lost_step: lasting(", "lost_step: lasting(step("),
    ("late:", "seed:"),
    ("{generalized: 0.9}", "{generalized: high}"),
    ("learned:", "confusion:"),
    ("= generalized", "> generalized"),
    ("memorized_accuracy", "test_accuracy - 1"),
    ("\n  confusion: otherwise", "\n  grokking: otherwise"),
    ("#0072b2", "blue"),
]


@settings(max_examples=200)
@given(st.lists(st.sampled_from(BROKEN), min_size=1, max_size=4, unique=True))
def test_a_rule_that_was_broken_is_refused(changes):
    text = FIVE
    for old, new in changes:
        text = text.replace(old, new)
    assert problems(text)


def test_what_only_code_can_hold_is_no_key_of_a_study():
    with pytest.raises(
        StudyError, match=r"phases\.own is an unknown key; allowed: rule, generalized, memorized, at_step "
    ):
        study_of(phases={"own": {"labels": {"a": "otherwise"}}})
