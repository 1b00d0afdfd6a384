"""Tables as runs: what comes in is what stood there; what can't come in is told; an export comes back as it was."""

import json
import math
import random

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sources import accuracy, write_rule

import phasemap as pm
from phasemap.cli import cli
from phasemap.study.errors import UserError
from phasemap.study.file import load_study

N_POINTS = 100  # on no grid


def invoke(*arguments):
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def grid_table(repeats=2):
    rows = [
        {"lr": lr, "wd": wd, "acc": accuracy(lr, wd)[-1] + 0.01 * repeat, "loss": 1.5}
        for lr in (1e-4, 1e-3, 1e-2, 1e-1)
        for wd in (0.0, 0.5, 2.0)
        for repeat in range(repeats)
    ]
    states = ["ok", "finished", "failed", "running", "ok", "killed"]
    return pd.DataFrame(rows).assign(status=[states[number % 6] for number in range(len(rows))])


@pytest.fixture(scope="module")
def gridded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grid")
    rule = write_rule(folder, "acc")
    run = pm.sweeps.from_frame(
        grid_table(), ["lr", "wd"], quantities={"acc": "accuracy", "loss": "loss"}, rule=rule, run=folder / "grid"
    )
    return run, rule


def test_few_values_form_a_grid(gridded):
    run, _ = gridded
    assert not run.study.scattered
    assert run.study.axis("lr").values == (1e-4, 1e-3, 1e-2, 1e-1)
    assert len(run.points) == 12
    table = grid_table()
    rows = run.trials.set_index("source_id").loc[[str(number) for number in range(1, len(table) + 1)]]
    assert (
        rows[["lr", "wd", "acc", "loss"]].to_numpy().tolist() == table[["lr", "wd", "acc", "loss"]].to_numpy().tolist()
    )
    assert rows["seed"].tolist() == [0, 1] * 12
    assert rows["source_state"].tolist() == table["status"].tolist()
    assert rows["status"].tolist() == ["ok", "ok", "failed", "stopped", "ok", "stopped"] * 4


def test_a_table_of_another_country_is_read_with_its_commas(tmp_path):
    rows = [f"{lr};{wd};0,{digit}" for digit, (lr, wd) in enumerate((a, b) for a in ("0,1", "0,01") for b in "12")]
    path = tmp_path / "sweep.csv"
    path.write_text("\n".join(["lr;wd;acc", *rows]), encoding="utf-8-sig")
    assert invoke("import", path, "--axes", "lr,wd", "-o", tmp_path / "run").exit_code == 0
    run = pm.open_run(tmp_path / "run")
    assert run.study.axis("lr").values == (0.01, 0.1)
    assert run.trials.sort_values("acc")["acc"].tolist() == [0.0, 0.1, 0.2, 0.3]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xef\xbb\xbflr,wd,lr\n1,2,3\n", "has several columns named 'lr'; allowed: distinct names"),
        (b"lr,wd,acc\n1,2,3\n1,2,\xff\n", "is not utf-8: byte 0xff in line 3 can't be read; allowed: UTF-8\n"),
    ],
)
def test_a_table_that_reads_two_ways_is_refused(tmp_path, content, message):
    (tmp_path / "sweep.csv").write_bytes(content)
    told = invoke("import", tmp_path / "sweep.csv", "--axes", "lr,wd", "-o", tmp_path / "run")
    assert told.exit_code == 2
    assert message in told.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["show"], ["show", "--json"], ["check"], ["plot", "-o", "{}/a.png"],
        ["plot", "--metric", "loss", "-o", "{}/b.svg"],
        ["report", "-o", "{}/c.html"], ["bundle", "-o", "{}/d.zip"], ["export", "--table", "curves", "-o", "{}/e.csv"],
        ["plot", "--kind", "curves", "--metric", "acc", "-o", "{}/f.png"],
    ],
    ids=lambda arguments: " ".join(arguments[:3]),
)  # fmt: skip
def test_every_command_works_on_an_imported_grid(gridded, tmp_path, arguments):
    run, _ = gridded
    told = invoke(arguments[0], run.path, *(text.format(tmp_path) for text in arguments[1:]))
    assert told.exit_code == 0, told.output


def test_two_imports_are_compared_and_one_is_labelled_anew(gridded, tmp_path):
    run, rule = gridded
    other = pm.sweeps.from_frame(
        grid_table(1), ["lr", "wd"], quantities={"acc": "accuracy", "loss": "loss"}, run=tmp_path / "other"
    )
    assert other.trials["subphase"].isna().all()
    told = invoke("relabel", other.path, "--rule", rule)
    assert told.exit_code == 0, told.output
    assert pm.open_run(other.path).trials["subphase"].notna().any()
    assert invoke("diff", run.path, other.path).exit_code == 0
    told = invoke("relabel", other.path, "--rule", "doshi2024")
    assert told.exit_code == 2
    assert "looks at train_accuracy" in told.output


def test_an_imported_study_can_not_be_run(gridded):
    run, _ = gridded
    with pytest.raises(UserError, match="imported names no code: the run was made by phasemap import"):
        load_study(run.folder.study)


def test_a_seed_column_and_curves_come_in(tmp_path):
    frame = pd.DataFrame({"trial_id": ["a", "b"], "lr": [0.1, 0.1], "seed": [7, 3], "note": "x"})
    curves = pd.DataFrame(
        {"trial_id": ["a", "b", "a", "b"], "step": [1, 1, 2, 2], "acc": [0.1, 0.2, 0.3, np.nan], "left": "x"}
    )
    run = pm.sweeps.from_frame(frame, ["lr"], seed="seed", curves=curves, run=tmp_path / "a")
    assert run.study.seeds == (3, 7)
    rows = run.trials.set_index("source_id")
    assert rows.loc["a", "acc"] == 0.3
    ids = run.trials.set_index("source_id")["trial_id"]
    own = run.curves[run.curves["trial_id"] == ids["b"]]
    assert own["step"].tolist() == [1, 2]
    assert own["acc"].iloc[0] == 0.2
    assert math.isnan(own["acc"].iloc[1])


@pytest.mark.parametrize(
    ("frame", "arguments", "told"),
    [
        ({"lr": [1.0], "acc": [1.0]}, {"axes": ["rate"]}, r"has no rate; allowed: lr, acc"),
        ({"lr": [1.0], "acc": [1.0]}, {"axes": []}, r"no axis is named; .* one or more of its columns"),
        ({"lr": [np.nan] * 3, "acc": [1.0] * 3}, {"axes": ["lr"]}, r"no usable trial \(3 without lr\)"),
        ({"lr": [0.1] * 2, "acc": [np.nan] * 2}, {"axes": ["lr"]}, r"needed: trials with lr, and with a number"),
        ({"lr": [], "acc": []}, {"axes": ["lr"]}, r"no usable trial; needed: trials with lr"),
        ({"lr": [1.0], "s": [0.5], "acc": [1.0]}, {"axes": ["lr"], "seed": "s"}, r"1 without a whole number >= 0 as s"),
        ({"lr": [1.0], "acc": [93.0]}, {"axes": ["lr"], "quantities": {"acc": "accuracy"}}, r"acc = 93 of trial 1 .*"),
        ({"lr": [1.0], "acc": [1.0]}, {"axes": ["lr"], "quantities": {"acc": "share"}}, r"kind 'share'"),
        ({"lr": [1.0], "acc": [1.0]}, {"axes": ["lr"], "quantities": {"err": "loss"}}, r"has no err; allowed: acc"),
    ],
)  # fmt: skip
def test_what_can_not_come_in_is_told_and_nothing_is_written(tmp_path, frame, arguments, told):
    with pytest.raises(UserError, match=told):
        pm.sweeps.from_frame(pd.DataFrame(frame), run=tmp_path / "a", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_hostile_names_are_made_valid_and_told(tmp_path):
    names = [
        "lr",
        "phase",
        "../../etc/passwd",
        "setting.lr",
        "acc\n",
        "ACC ",
        "9 lives",
        "é" * 200,
        "loss",
        "loss_std",
        "and",
    ]
    frame = pd.DataFrame({name: [0.5, 0.25] for name in names})
    frame.to_csv(tmp_path / "a.csv", index=False)
    told = invoke("import", tmp_path / "a.csv", "--axes", "lr", "-o", tmp_path / "a", "--json")
    assert told.exit_code == 0, told.output
    run = pm.open_run(tmp_path / "a")
    quantities = list(run.study.recorded.quantities)
    assert len(quantities) == len(names) - 1 - 1  # phase is a column of phasemap's own
    assert all(name.isidentifier() for name in quantities)
    assert "loss_std_metric" in quantities
    told = json.loads(told.stdout)["told"]
    assert any("'../../etc/passwd' is called" in text for text in told)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "a.csv"]


def test_letters_of_any_script_stay_in_names_that_rules_and_claims_can_use(tmp_path):
    rule = tmp_path / "rule.yaml"
    rule.write_text("labels: {bon: précision >= 0.6, mauvais: otherwise}\n", encoding="utf-8")
    frame = pd.DataFrame(
        {"tempe\u0301rature": [1, 2, 1, 2], "学習率": [0.1, 0.1, 0.2, 0.2], "précision": [0.5, 0.7, 0.5, 0.9]}
    )
    run = pm.sweeps.from_frame(frame, ["tempe\u0301rature", "学習率"], rule=rule, run=tmp_path / "a")
    assert run.study.axis_names == ("température", "学習率")
    assert run.trials["subphase"].tolist() == ["mauvais", "mauvais", "bon", "bon"]
    (found,) = run.check(["mean(précision, température=2, 学習率=0.2) > 0.8"])
    assert found.verdict == "holds"
    assert run.figure(fix={"température": 2}).x.label == "学習率"


def test_a_run_of_an_earlier_release_keeps_its_latin_names(tmp_path):
    now = pd.DataFrame({"température": [1, 2, 1, 2], "lr": [0.1, 0.1, 0.2, 0.2], "précision": [0.5, 0.7, 0.5, 0.9]})
    before = now.rename(columns={"température": "temp_rature", "précision": "pr_cision"})
    run = pm.sweeps.from_frame(before.head(3), ["temp_rature", "lr"], run=tmp_path / "a")
    ids = run.trials["trial_id"].tolist()
    run = pm.sweeps.from_frame(now, ["température", "lr"], run=tmp_path / "a")
    assert run.study.axis_names == ("temp_rature", "lr")
    assert set(ids) < set(run.trials["trial_id"])
    assert run.trials["pr_cision"].tolist() == [0.5, 0.5, 0.7, 0.9]


def test_a_table_without_curves_has_a_picture_that_names_no_step(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"lr": rng.random(12), "wd": rng.random(12), "acc": rng.random(12)})
    rule = tmp_path / "rule.yaml"
    rule.write_text("labels: {good: acc >= 0.5, bad: otherwise}\n")
    run = pm.sweeps.from_frame(frame, ["lr", "wd"], rule=rule, run=tmp_path / "a")
    assert "step" not in run.figure().subtitle
    assert "step" not in run.figure(grid={"lr": "5", "wd": "5"}).subtitle


def test_an_axis_with_one_value_is_a_map_of_one_cell(tmp_path):
    run = pm.sweeps.from_frame(pd.DataFrame({"lr": [0.1, 0.1], "acc": [0.5, 0.7]}), ["lr"], run=tmp_path / "a")
    assert len(run.points) == 1
    assert run.points["acc"].tolist() == [0.6]
    assert run.points["acc_std"].notna().all()


def test_a_quantity_without_numbers_is_left_out(tmp_path):
    pd.DataFrame({"lr": [0.1, 0.2], "acc": [0.5, 0.7], "gone": [np.nan, np.nan]}).to_csv(tmp_path / "a.csv")
    told = invoke("import", tmp_path / "a.csv", "--axes", "lr", "-o", tmp_path / "a")
    assert told.exit_code == 0, told.output
    assert "'gone' is left out: no trial has a number for it" in told.output


def test_a_built_in_name_keeps_its_meaning(tmp_path):
    frame = pd.DataFrame({"lr": [0.1, 0.2], "test_accuracy": [50.0, 93.0], "train_accuracy": [0.5, 1.0]})
    run = pm.sweeps.from_frame(frame, ["lr"], run=tmp_path / "a")
    assert run.study.recorded.quantities == {"test_accuracy_metric": "number", "train_accuracy": "accuracy"}


def test_wandbs_export_comes_in(tmp_path):
    frame = pd.DataFrame(
        {"Name": ["a-1", "b-2", "c-3"], "State": ["finished", "crashed", "running"], "ID": ["x", "y", "z"],
         "Created": ["2026-01-01"] * 3, "Runtime": [10, 20, 30], "lr": [0.1, 0.2, 0.3], "val/acc": [0.5, 0.25, np.nan]}
    )  # fmt: skip
    frame.to_csv(tmp_path / "wandb.csv", index=False)
    run = pm.sweeps.from_wandb(tmp_path / "wandb.csv", ["lr"], run=tmp_path / "a")
    rows = run.trials.set_index("source_id")
    assert rows.loc[["x", "y", "z"], "status"].tolist() == ["ok", "failed", "stopped"]
    assert rows.loc["x", "val_acc"] == 0.5
    assert list(run.study.recorded.quantities) == ["val_acc"]


def scattered_table():
    chance = random.Random(1)
    rows = [
        {"lr": 10 ** chance.uniform(-5, -1), "wd": chance.random(), "opt": chance.choice(["a", "b"])}
        for _ in range(N_POINTS)
    ]
    return pd.DataFrame(rows).assign(acc=[accuracy(row["lr"], row["wd"])[-1] for row in rows])


@pytest.fixture(scope="module")
def scattered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scattered")
    rule = write_rule(folder, "acc")
    return pm.sweeps.from_frame(scattered_table(), ["lr", "wd"], settings=["opt"], rule=rule, run=folder / "run"), rule


@pytest.mark.parametrize(
    "arguments",
    [
        ["show"], ["show", "--json"], ["check"], ["plot", "-o", "{}/a.png"],
        ["plot", "--metric", "acc", "-o", "{}/b.svg"],
        ["plot", "-x", "opt", "-y", "lr", "--fix", "opt=a", "-o", "{}/c.png"], ["export", "-o", "{}/d.csv"],
        ["report", "-o", "{}/e.html"], ["bundle", "-o", "{}/f.zip"], ["relabel"],
    ],
    ids=lambda arguments: " ".join(arguments[:3]),
)  # fmt: skip
def test_every_command_works_on_points_that_lie_on_no_grid(scattered, tmp_path, arguments):
    run, _ = scattered
    texts = [str(run.path) if text == "RUN" else text.format(tmp_path) for text in arguments[1:]]
    told = invoke(arguments[0], run.path, *texts)
    assert told.exit_code == 0 or "is fixed and drawn at once" in told.output, told.output


def test_a_diff_of_points_that_lie_on_no_grid_is_refused(scattered):
    run, _ = scattered
    told = invoke("diff", run.path, run.path)
    assert told.exit_code == 2
    assert "lie on no grid; allowed: two runs whose points lie on grids" in told.output


def test_points_that_lie_on_no_grid_are_counted_as_they_are_whatever_their_seeds(tmp_path):
    table, rule = scattered_table(), write_rule(tmp_path, "acc")
    table["number"] = range(len(table))
    run = pm.sweeps.from_frame(table, ["lr", "wd"], settings=["opt"], seed="number", rule=rule, run=tmp_path / "run")
    told = invoke("show", run.path).output
    assert f"run: {len(run.trials)}/{len(run.trials)} trials" in told
    assert run.status.n_trials == len(run.trials)
    assert "missing" not in told


def test_scattered_points_are_those_of_the_table(scattered):
    run, _ = scattered
    table = scattered_table()
    assert len(run.points) == len(table)
    points = run.points.sort_values("lr")
    assert points["lr"].to_numpy() == pytest.approx(table.sort_values("lr")["lr"].to_numpy(), rel=1e-11)
    spec = run.figure()
    assert sum(len(panel.x) for panel in spec.panels) == len(table)
    assert [panel.title for panel in spec.panels] == ["opt a", "opt b"]


def test_points_are_written_as_netcdf(gridded, tmp_path):
    import xarray

    run, _ = gridded
    assert invoke("export", run.path, "-o", tmp_path / "a.nc").exit_code == 0
    with xarray.open_dataset(tmp_path / "a.nc", engine="scipy") as found:
        assert dict(found.sizes) == {"lr": 4, "wd": 3}
        assert found["acc"].to_numpy().ravel() == pytest.approx(run.points["acc"].to_numpy(), nan_ok=True)


def test_what_was_written_into_the_study_stays(tmp_path):
    frame = grid_table(1)
    run = pm.sweeps.from_frame(frame, ["lr", "wd"], rule=write_rule(tmp_path, "acc"), run=tmp_path / "a")
    text = (
        run.folder.study.read_text()
        .replace("question: ''", "question: Why?")
        .replace("claims: []", "claims: ['area(good) >= 0']")
    )
    run.folder.study.write_text(text)
    more = pd.concat([frame, frame.assign(lr=1.0)])
    again = pm.sweeps.from_frame(more, ["lr", "wd"], run=tmp_path / "a")
    assert (again.study.question, len(again.study.claims)) == ("Why?", 1)
    assert again.study.axis("lr").values[-1] == 1.0
    assert again.study.phases.rule == "rule"
    assert [result.text for result in again.check()] == ["area(good) >= 0"]


@pytest.mark.parametrize(
    ("claim", "told"),
    [("area(good) >= 0.9", "fails|undecided"), ("correlation(acc, wd, opt=a) < 0", "holds|undecided"),
     ("frontier(edge, along=lr, wd=0.5, opt=a) > 0", "undecided")],
)  # fmt: skip
def test_claims_are_computed_over_points_that_lie_on_no_grid(scattered, claim, told):
    run, _ = scattered
    told_by = invoke("check", run.path, "--claim", claim, "--json")
    if claim.startswith("frontier") and told_by.exit_code == 2:  # no point lies at exactly this value
        assert "allowed" in told_by.output
        return
    (result,) = run.check([claim])
    assert result.verdict in told.split("|")
    if claim.startswith("area"):
        assert result.n_trials == N_POINTS


def test_claims_take_each_trial_between_grid_points_whatever_its_seed(scattered, tmp_path):
    _, rule = scattered
    table = scattered_table().assign(seed=[7 * number for number in range(N_POINTS)])
    table.loc[0, "opt"] = None
    run = pm.sweeps.from_frame(table, ["lr", "wd"], seed="seed", settings=["opt"], rule=rule, run=tmp_path / "seeds")
    (found,) = run.check(["area(good) > 0"])
    good = (table["acc"] >= 0.5).mean()
    assert (found.verdict, found.left) == ("holds", pytest.approx(good))
    assert (found.n_seeds, found.n_trials, found.n_expected) == (1, N_POINTS, N_POINTS)
    assert found.reason == f"over {N_POINTS} measured trials, which lie on no grid; nothing is inferred"
    (found,) = run.check(["area(good, opt=a) > 0"])
    assert found.n_trials == (table["opt"] == "a").sum()


def test_a_point_that_was_tried_twice_makes_no_second_seed_for_claims(scattered, tmp_path):
    _, rule = scattered
    table = pd.concat([scattered_table(), scattered_table().head(2)])
    run = pm.sweeps.from_frame(table, ["lr", "wd"], settings=["opt"], rule=rule, run=tmp_path / "twice")
    assert run.study.seeds == (0, 1)
    (found,) = run.check(["area(good) > 0"])
    assert (found.verdict, found.n_seeds, found.n_trials) == ("holds", 1, N_POINTS + 2)
    thrice = pd.concat([scattered_table()] * 3)
    run = pm.sweeps.from_frame(thrice, ["lr", "wd"], settings=["opt"], rule=rule, run=tmp_path / "thrice")
    (found,) = run.check(["area(good) > 0"])
    assert (found.n_seeds, found.n_trials) == (3, 3 * N_POINTS)


def test_very_many_seeds_are_counted_as_repeats(tmp_path):
    chance = np.random.default_rng(0)
    frame = pd.DataFrame({"lr": chance.random(3000), "wd": chance.random(3000), "s": range(10, 3010)})
    frame["acc"] = frame["wd"]
    frame.to_csv(tmp_path / "a.csv", index=False)
    for n_new in (3000, 0):
        told = invoke("import", tmp_path / "a.csv", "--axes", "lr,wd", "--seed", "s", "-o", tmp_path / "a", "--json")
        assert told.exit_code == 0, told.output
        assert json.loads(told.stdout)["n_new"] == n_new
        assert any("s has too many values to be the seed" in text for text in json.loads(told.stdout)["told"])
    run = pm.open_run(tmp_path / "a")
    assert run.study.seeds == (0,)
    assert len(run.points) == 3000
    (found,) = run.check(["mean(acc) > 0"])
    assert (found.verdict, found.n_trials) == ("holds", 3000)
