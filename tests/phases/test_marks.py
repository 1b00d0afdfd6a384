"""Marks of labels: fixed for built-in names, told apart for all others."""

from hypothesis import given
from hypothesis import strategies as st

from phasemap.phases.marks import BUILT_IN_MARKS, MARKS, PALETTE, marks
from phasemap.study.condition_grammar import Scope, parse_condition
from phasemap.study.names import LETTERS, UNLABELLED
from phasemap.study.rule import Label, Rule
from phasemap.study.rule_file import packaged_rule

HOLDS = parse_condition("a > 0", Scope(quantities={"a": "number"}))


def rule_of(*labels, groups=()):
    made = tuple(label if isinstance(label, Label) else Label(name=label, when=HOLDS) for label in labels)
    return Rule(name="mine", labels=made, groups=groups)


def test_built_in_names_have_the_marks_of_every_figure():
    for name in ("doshi2024", "memorized_fraction"):
        for label, mark in marks(packaged_rule(name)).items():
            assert mark == MARKS[label] == BUILT_IN_MARKS[label]
    found = marks(rule_of("mine", "memorization", groups=(("grokking", ("mine",)),)))
    assert found["memorization"] == MARKS["memorization"]
    assert found["grokking"] == MARKS["grokking"]
    assert found["mine"].letter == "I"  # M is memorization's
    assert found["mine"].colour not in (MARKS["memorization"].colour, MARKS["grokking"].colour)


def test_a_rule_gives_letters_and_colours():
    given = Label(name="own", when=HOLDS, letter="7", colour="#123456")
    found = marks(rule_of(given, "other"))
    assert (found["own"].letter, found["own"].colour, found["own"].hatch) == ("7", "#123456", "")
    assert found["other"].letter == "O"


def test_positions_give_the_palette_and_from_the_ninth_label_on_a_hatch():
    names = [f"label_{number}" for number in range(24)]
    found = marks(rule_of(*names))
    assert [found[name].colour for name in names[:8]] == list(PALETTE)
    assert [bool(found[name].hatch) for name in names] == [False] * 8 + [True] * 16
    assert len({(mark.colour, mark.hatch) for mark in found.values()}) == 24


def test_a_group_looks_like_its_first_label_but_for_the_letter():
    found = marks(rule_of("a", "b", "c", groups=(("learned", ("b", "c")), ("a", ("a",)))))
    assert (found["learned"].colour, found["learned"].letter) == (found["b"].colour, "L")
    assert list(found) == ["a", "b", "c", "learned"]


built_in = [name for name in LETTERS if name != "grokking"]  # it has the colour of full_inversion
names = st.lists(
    st.sampled_from([*built_in, "dark", "d", "D", "stuck", "mine", "M2", "_", "__", "G", "lost_again"]),
    min_size=1, max_size=18, unique=True,
)  # fmt: skip


@given(names=names, data=st.data())
def test_no_two_labels_or_phases_share_a_letter_or_a_look(names, data):
    split = data.draw(st.integers(0, len(names)))
    groups = (("learned", tuple(names[:split])),) if split else ()
    rule = rule_of(*names, groups=groups)
    found = marks(rule)
    letters = [mark.letter for mark in found.values()]
    assert len(set(letters)) == len(letters)
    assert not set(letters) & set(UNLABELLED.values())
    assert all(len(letter) == 1 for letter in letters)
    for level in (rule.label_names, rule.phases):
        own = [name for name in level if name not in LETTERS]
        looks = [(found[name].colour, found[name].hatch) for name in own]
        assert len(set(looks)) == len(looks)
        fixed = {(found[name].colour, found[name].hatch) for name in level if name in LETTERS}
        assert not fixed & set(looks)
