"""Tables of operations, and sparse parity."""

import itertools

import numpy as np
import pytest

from phasemap.study.operations import table_rows
from phasemap.study.trials import expand
from phasemap.tasks.load import dataset_of


def dataset(task):
    import yaml
    from conftest import SMALL

    from phasemap.study.file import parse_study
    from phasemap.study.yaml_lines import Document

    content = yaml.safe_load(SMALL)
    content["task"] = task
    return dataset_of(next(iter(expand(parse_study(Document("study", content))))))


@pytest.mark.parametrize(("name", "order"), [("S3", 6), ("S4", 24), ("S5", 120)])
def test_a_symmetric_group_is_a_group_that_does_not_commute(name, order):
    table = np.array(table_rows(name, 2))
    assert table.shape == (order, order)
    assert all(len(set(row)) == order for row in (*table, *table.T))
    assert (table[0] == np.arange(order)).all()  # the identity comes first
    a, b, c = np.random.default_rng(0).integers(order, size=(3, 200))
    assert (table[table[a, b], c] == table[a, table[b, c]]).all()
    assert (table != table.T).any()
    permutations = list(itertools.permutations(range(int(name[1:]))))
    products = [[tuple(a[i] for i in b) for b in permutations] for a in permutations]  # a after b
    assert table.tolist() == [[permutations.index(product) for product in row] for row in products]


def test_division_undoes_multiplication():
    data = dataset({"kind": "operation", "table": "division", "modulus": 7})
    assert len(data.labels) == 42
    a, b = data.inputs.T
    assert (data.labels * (b + 1) % 7 == a).all()


def test_rows_of_a_table_are_the_task():
    data = dataset({"kind": "operation", "table": [[0, 1, 2], [1, 1, 2], [2, 2, 2]]})
    assert data.n_classes == 3
    assert {(a, b): max(a, b) for a, b in itertools.product(range(3), repeat=2)} == {
        (int(a), int(b)): int(label) for (a, b), label in zip(data.inputs, data.labels, strict=True)
    }


def test_parity_is_of_the_first_bits_and_all_k_share_their_inputs():
    three, two = (dataset({"kind": "sparse_parity", "n_bits": 12, "k_bits": k, "n_samples": 500}) for k in (3, 2))
    assert (three.inputs == two.inputs).all()
    assert len(np.unique(three.inputs, axis=0)) == 500
    assert (three.labels == (three.inputs[:, :3].prod(axis=1) < 0)).all()
    assert (two.labels == (two.inputs[:, :2].prod(axis=1) < 0)).all()
