"""``phasemap check``: exit codes, text, --json."""

import json
import shutil

import pandas as pd
import pytest
from click.testing import CliRunner
from conftest import run_in_process, study_of

import phasemap as pm
from phasemap.cli import cli

HOLDS = "area(memorization) + area(generalizes) + area(confusion) + area(forgetting) >= 1"
FAILS = "max(weight_norm, weight_decay=2) > min(weight_norm, weight_decay=0) + 100"
CHAIN = "0 <= share(train_accuracy > test_accuracy) <= 1 at corruption=0.3"
UNDECIDED = "mean(forgetting_step) > 1"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of the small study with claims that hold."""
    study = study_of(name="fig07b_small", question="Does | it hold?", claims=[HOLDS, CHAIN])
    return run_in_process(study, tmp_path_factory.mktemp("check")).path


def check(run, *options):
    return CliRunner().invoke(cli, ["check", str(run), *options])


def test_claims_that_hold_end_with_0_and_show_their_numbers(run):
    done = check(run)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"holds      {HOLDS}",
        "           left 1 >= right 1, difference 0 [0, 0] over 2 seeds",
        f"holds      {CHAIN}",
        *done.stdout.splitlines()[3:5],
        "2 of 2 claims hold, 0 fail, 0 undecided",
    ]
    assert done.stdout.splitlines()[3].startswith("           left 0 <= right ")
    assert done.stdout.splitlines()[4].endswith(" over 2 seeds")


def test_a_further_claim_that_fails_ends_with_1_and_one_that_is_undecided_with_0(run):
    failed = check(run, "--claim", FAILS)
    assert failed.exit_code == 1
    assert f"fails      {FAILS}\n           left " in failed.stdout
    assert failed.stdout.endswith("2 of 3 claims hold, 1 fail, 0 undecided\n")
    undecided = check(run, "--claim", UNDECIDED)
    assert undecided.exit_code == 0
    assert "the step is not reached in 4 of 4 trials" in undecided.stdout
    assert undecided.stdout.endswith("2 of 3 claims hold, 0 fail, 1 undecided\n")


def test_json_holds_the_claims_and_what_made_the_run(run):
    done = check(run.name, "--storage", str(run.parent), "--claim", FAILS, "--claim", UNDECIDED, "--json")
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert found["counts"] == {"holds": 2, "fails": 1, "undecided": 1}
    assert (found["study"], found["question"], found["rule"]) == (
        "fig07b_small", "Does | it hold?", "memorized_fraction",
    )  # fmt: skip
    assert found["scale"]["modulus"] == 7
    assert found["scale"]["steps"] == 60
    assert found["axes"] == {"corruption": [0.0, 0.3], "weight_decay": [0.0, 2.0]}
    assert (found["n_seeds"], found["n_trials"], found["n_done"]) == (2, 8, 8)
    assert found["execution"]["n_trained"] == 8
    assert found["run"] == run.name  # of a run elsewhere no path of this machine is kept
    assert found["core_hours"] == pytest.approx(pm.open_run(run).trials["train_seconds"].sum() / 3600, abs=1e-5)
    holds, chain, fails, undecided = found["claims"]
    assert holds["claim"] == HOLDS
    assert (holds["left"], holds["difference"], holds["interval"]) == (1.0, 0.0, [0.0, 0.0])
    assert len(chain["links"]) == 2
    trials = pm.open_run(run).trials
    bounds = trials[trials["weight_decay"] == 2].groupby("seed")["weight_norm"].max().mean()
    assert fails["left"] == pytest.approx(bounds)
    assert (undecided["left"], undecided["interval"], undecided["links"]) == (None, None, [])
    assert (undecided["n_trials"], undecided["n_expected"]) == (8, 8)


def test_infinite_steps_are_null_in_json(run):
    done = check(run, "--claim", "median(forgetting_step) < 10", "--json")
    last = json.loads(done.stdout, parse_constant=pytest.fail)["claims"][-1]
    assert (last["verdict"], last["left"], last["links"][0]["left"]) == ("fails", None, None)
    assert last["reason"] == "forgetting_step is not reached in 8 of 8 trials"


def test_a_claim_that_cannot_be_read_ends_with_2(run):
    done = check(run, "--claim", "area(foo) > 0", "--claim", "1 <")
    assert done.exit_code == 2
    assert "the claim 'area(foo) > 0': 'foo' at character 6 is not a label" in done.stderr
    assert "the claim '1 <': can't be read: found the end" in done.stderr


def test_a_run_without_claims_says_so(finished):
    done = check(finished[1].path)
    assert (done.exit_code, done.stdout) == (0, "small has no claims\n")
    assert json.loads(check(finished[1].path, "--json").stdout)["claims"] == []


def test_the_same_results_come_from_python(run):
    results = pm.open_run(run).check()
    assert [result.verdict for result in results] == ["holds", "holds"]
    (other,) = pm.open_run(run).check([FAILS])
    assert (other.text, other.verdict, other.n_trials) == (FAILS, "fails", 8)
    with pytest.raises(pm.UserError, match="is not a label"):
        pm.open_run(run).check(["area(foo) > 0"])


def test_claims_follow_the_labels_at_an_earlier_step(run, tmp_path):
    copy = tmp_path / run.name
    shutil.copytree(run, copy)
    assert CliRunner().invoke(cli, ["relabel", str(copy), "--at-step", "3"]).exit_code == 0
    assert check(copy).stdout.endswith("\nlabels at step 3\n")
    assert json.loads(check(copy, "--json").stdout)["at_step"] == 3
    (result,) = pm.open_run(copy).check(["mean(horizon) <= 3"])
    assert result.verdict == "holds"
    early = pd.read_parquet(copy / "trials.parquet")["test_accuracy"].mean()
    assert pm.open_run(copy).check(["test_accuracy > 0"])[0].left == pytest.approx(early)
