"""Finite operations by their tables: row a, column b holds a * b; groups and division by their names."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from phasemap.study.errors import Mistake
from phasemap.study.values import describe, is_number

Table = str | tuple[tuple[int, ...], ...]
"""The name of a table, or its rows."""

SYMMETRIC_GROUPS = {"S3": 3, "S4": 4, "S5": 5}
"""The groups of all permutations of n things, in lexicographic order; a * b does b first."""
DIVISION = "division"
"""a / b modulo a prime, with b from 1 on: column 0 is b = 1."""
TABLES = (*SYMMETRIC_GROUPS, DIVISION)

MOST_ELEMENTS = 200  # of a table, which stands in the run's study file in full


def table_size(table: Table, modulus: int) -> tuple[int, int]:
    """Return how many pairs and how many elements a table has."""
    if table == DIVISION:
        return modulus * (modulus - 1), modulus
    rows = table_rows(table, modulus)
    return len(rows) * len(rows[0]), len(rows)


def table_rows(table: Table, modulus: int) -> tuple[tuple[int, ...], ...]:
    """Return the rows of a table; those of division are of the given prime modulus."""
    if table == DIVISION:
        inverses = [pow(b, -1, modulus) for b in range(1, modulus)]
        return tuple(tuple(a * inverse % modulus for inverse in inverses) for a in range(modulus))
    if not isinstance(table, str):
        return table
    elements = list(itertools.permutations(range(SYMMETRIC_GROUPS[table])))
    number = {element: i for i, element in enumerate(elements)}
    return tuple(tuple(number[tuple(a[i] for i in b)] for b in elements) for a in elements)


def wrong_table(table: Sequence[Sequence[Any]]) -> Iterator[Mistake]:
    """Yield (path, message) for what makes rows no operation: n rows of 1 to n numbers from 0 to n - 1, all alike."""
    n = len(table)
    if not 2 <= n <= MOST_ELEMENTS:
        yield (), f"has {n} rows; allowed: 2 to {MOST_ELEMENTS}, one for each element"
        return
    for a, row in enumerate(table):
        if len(row) != len(table[0]) or not 1 <= len(row) <= n:
            allowed = f"{len(table[0])}, as in the first row" if 1 <= len(table[0]) <= n else f"1 to {n}"
            yield (a,), f"has {len(row)} number{'' if len(row) == 1 else 's'}; allowed: {allowed}"
        for b, value in enumerate(row):
            if not is_number(value) or value not in range(n):
                yield (a, b), f"= {describe(value)} is not an element; allowed: a whole number from 0 to {n - 1}"
