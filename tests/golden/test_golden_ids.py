"""Trial ids are for ever: the golden ones, and laws about them on the same studies."""

import pytest
from golden_files import working_directory
from golden_ids import GOLDEN, OTHER, STUDIES, defaults, trials_of

from phasemap.study.file import load_resolved
from phasemap.study.networks import NETWORK_IDENTITY, NETWORK_SETTINGS
from phasemap.study.trials import grid_ids


def test_no_trial_id_has_changed():
    (ids,) = GOLDEN
    ids.check()


def test_three_hundred_ids_are_frozen():
    content = GOLDEN[0].read()
    found = [one for study in content["studies"].values() for one in study["ids"]]
    found += [setting["id"] for setting in content["settings"].values()]
    assert len(set(found)) >= 300


def test_each_setting_off_its_default_has_an_id_of_its_own():
    assert set(OTHER) == set(NETWORK_SETTINGS)
    base = defaults()
    assert all(value != base[name] for name, value in OTHER.items())
    trial_id = NETWORK_IDENTITY.trial_id
    found = {trial_id(base | {name: value}, 0) for name, value in OTHER.items()} | {NETWORK_IDENTITY.trial_id(base, 0)}
    assert len(found) == len(OTHER) + 1


@pytest.mark.parametrize("name", STUDIES)
def test_the_ids_of_the_grid_are_those_of_its_trials(name):
    with working_directory():
        trials = trials_of(STUDIES[name])
        assert list(grid_ids(load_resolved("study.yaml"))) == [trial.trial_id for trial in trials]


def ids(name):
    with working_directory():
        return [trial.trial_id for trial in trials_of(STUDIES[name])]


def test_a_range_and_a_matrix_in_a_file_give_the_ids_of_what_they_stand_for():
    assert set(ids("a range equals its list")) < set(ids("a list and a linear range"))
    assert ids("a matrix in a file") == ids("rows of a matrix")
