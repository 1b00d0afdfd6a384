"""Labels corrupted on purpose: the map over the other regularizers."""

import numpy as np
import pytest
from small_data import blobs

from phasemap.auditing.response import LEVELS, RATES, measure_response
from phasemap.auditing.trainings import Trainer, write_rows
from phasemap.running.runner import LocalRunner


def response_of(folder, regularizer):
    points, labels, _ = blobs(60)
    rows = write_rows(folder, points.astype(np.float32), labels, None)
    return measure_response(Trainer(folder=folder, start=LocalRunner, quiet=True), rows, regularizer, n_rounds=1)


@pytest.mark.parametrize("regularizer", ["dropout", "width"])
def test_the_map_has_every_rate_and_level_with_a_phase(tmp_path, regularizer):
    found = response_of(tmp_path, regularizer)
    assert found.levels == tuple(sorted(LEVELS[regularizer]))
    assert len(found.points) == len(RATES) * len(LEVELS[regularizer])
    assert found.points["subphase"].notna().all()
    assert found.recommended in found.levels
