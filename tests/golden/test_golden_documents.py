"""The OpenAPI document, a report's data, messages of bad studies and plans are those that were frozen."""

import pytest
from bad_studies import BAD
from golden_documents import GOLDEN, STUDIES
from golden_files import names


@pytest.mark.parametrize("golden", GOLDEN, ids=names(GOLDEN))
def test_a_document_has_not_changed(golden):
    golden.check()


def test_the_frozen_messages_have_what_each_bad_study_is_told():
    messages = {golden.name: golden for golden in GOLDEN}["bad_studies"].read()
    for name, (_, message) in BAD.items():
        assert messages[name]["exit_code"] == 2
        assert message.format(file="s.yaml") in "\n".join(messages[name]["error"])


def test_each_shipped_study_has_a_plan():
    plans = {golden.name: golden for golden in GOLDEN}["plans"].read()
    assert set(plans) == {path.relative_to(STUDIES).as_posix() for path in STUDIES.rglob("*.yaml")}
