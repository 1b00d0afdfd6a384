"""MLflow stores, Ray Tune folders and TensorBoard events, each made by its library."""

import importlib
import math
import os
import pickle
import random
import shutil
import tempfile
from pathlib import Path

import pytest
from conftest import slow
from sources import FEW, MANY, accuracy

import phasemap as pm
from phasemap.study.errors import UserError

pytestmark = pytest.mark.filterwarnings("default")  # of the libraries that make the data

STATES = {"FINISHED": "ok", "FAILED": "failed", "KILLED": "stopped", "RUNNING": "stopped"}


def settings_of(number):
    chance = random.Random(number)
    return {"lr": 10 ** chance.uniform(-5, -1), "wd": chance.random(), "opt/name": chance.choice(["sgd", "adam"])}


STORES = [("folder", FEW), ("database", FEW), *slow("sweeps", (("folder", MANY),), (("database", MANY),))]


@pytest.fixture(scope="module", params=STORES, ids=str)
def mlflow_source(request, tmp_path_factory):
    import mlflow
    from mlflow.entities import Metric, Param

    folder = tmp_path_factory.mktemp("mlflow")
    kind, n_trials = request.param
    place = str(folder / "mlruns") if kind == "folder" else f"sqlite:///{folder}/ml.db"
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    client = mlflow.MlflowClient(place if kind == "database" else f"file://{place}")
    experiment = client.create_experiment("mine", artifact_location=str(folder / "artifacts"))
    expected = {}
    for number in range(n_trials):
        run = client.create_run(experiment)
        settings = settings_of(number)
        curve = accuracy(settings["lr"], settings["wd"])
        metrics = [Metric("val/acc", value, 1000 + step, step) for step, value in enumerate(curve, 1)]
        metrics += [Metric("size", 7.5, 1000, 0)]
        client.log_batch(run.info.run_id, metrics, [Param(key, str(value)) for key, value in settings.items()])
        state = ["FINISHED", "FINISHED", "FINISHED", "FAILED", "KILLED", "RUNNING"][number % 6]
        if state != "RUNNING":
            client.set_terminated(run.info.run_id, state)
        expected[run.info.run_id] = (settings, state, curve)
    client.delete_run(run.info.run_id)
    del expected[run.info.run_id]
    return place, expected


def test_an_mlflow_store_equals_its_run(mlflow_source, tmp_path):
    place, expected = mlflow_source
    run = pm.sweeps.from_mlflow(place, ["lr", "wd"], quantities={"val/acc": "accuracy"}, run=tmp_path / "ml")
    rows = run.trials.set_index("source_id")
    assert set(rows.index) == set(expected)
    curves = dict(list(run.curves.groupby("trial_id")))
    for identity, (settings, state, curve) in expected.items():
        row = rows.loc[identity]
        assert (row["status"], row["source_state"]) == (STATES[state], state)
        assert (row["lr"], row["wd"]) == (pytest.approx(settings["lr"]), pytest.approx(settings["wd"]))
        assert row["opt_name"] == settings["opt/name"]
        assert (row["val_acc"], row["size"]) == (curve[-1], 7.5)
        assert curves[row["trial_id"]]["val_acc"].tolist() == curve
    assert run.study.recorded.quantities == {"val_acc": "accuracy", "size": "number"}


def test_an_experiment_must_be_there(mlflow_source, tmp_path):
    place, _ = mlflow_source
    with pytest.raises(UserError, match=r"has no experiment with runs other; allowed: mine"):
        pm.sweeps.from_mlflow(place, ["lr"], experiment="other", run=tmp_path / "ml")


def write_events(writer_class, folder, number):
    settings = settings_of(number)
    curve = accuracy(settings["lr"], settings["wd"])
    writer = writer_class(str(folder / f"trial_{number:03}"))
    for step, value in enumerate(curve, 1):
        writer.add_scalar("val/acc", value, step)
    writer.add_hparams({**settings, "layers": 1 + number % 3, "flag": number % 2 == 0}, {"best": max(curve)})
    writer.close()
    return settings, curve


WRITERS = [("tensorboardX", FEW), *slow("sweeps", ("tensorboardX", MANY), ("torch.utils.tensorboard", MANY))]


@pytest.mark.parametrize(("library", "n_trials"), WRITERS)
def test_tensorboard_events_equal_the_run(library, n_trials, tmp_path):
    writer = importlib.import_module(library).SummaryWriter
    made = [write_events(writer, tmp_path / "logs", number) for number in range(n_trials)]
    lost = writer(str(tmp_path / "logs" / "plain"))
    lost.add_scalar("val/acc", 1.0, 1)
    lost.close()
    run = pm.sweeps.from_tensorboard(tmp_path / "logs", ["lr", "wd"], run=tmp_path / "tb")
    assert len(run.trials) == len(made)
    rows = run.trials.assign(number=run.trials["source_id"].str[6:9].astype(int)).set_index("number")
    curves = dict(list(run.curves.groupby("trial_id")))
    for number, (settings, curve) in enumerate(made):
        row = rows.loc[number]
        assert (row["lr"], row["wd"]) == (pytest.approx(settings["lr"]), pytest.approx(settings["wd"]))
        assert (row["opt_name"], row["layers"], row["flag"]) == (settings["opt/name"], 1 + number % 3, number % 2 == 0)
        assert row["best"] == pytest.approx(max(curve), rel=1e-6)  # events hold single precision
        assert curves[row["trial_id"]]["val_acc"].dropna().tolist() == pytest.approx(curve, rel=1e-6)


def test_states_that_tensorboard_keeps_come_in(tmp_path):
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2, summary_v2
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    states = {"SUCCESS": (1, "ok"), "FAILURE": (2, "failed"), "RUNNING": (3, "stopped"), "UNKNOWN": (None, "ok")}
    for number, (state, (code, _)) in enumerate(states.items()):
        writer = EventFileWriter(str(tmp_path / "logs" / state))
        summaries = [summary_v2.hparams_pb({"lr": 0.1 * number}), Summary()]
        summaries[1].value.add(tag="loss", simple_value=0.5)
        if code is not None:
            content = plugin_data_pb2.HParamsPluginData(session_end_info={"status": code})
            told = metadata.create_summary_metadata(content)
            summaries.append(Summary())
            summaries[-1].value.add(tag=metadata.SESSION_END_INFO_TAG, metadata=told)
        for summary in summaries:
            writer.add_event(Event(step=5, summary=summary))
        writer.close()
    run = pm.sweeps.from_tensorboard(tmp_path / "logs", ["lr"], run=tmp_path / "tb")
    rows = run.trials.set_index("source_id")
    assert rows["status"].to_dict() == {state: status for state, (_, status) in states.items()}
    assert rows["source_state"].to_dict() == dict(zip(states, states, strict=True))
    assert run.curves["step"].tolist() == [5] * 4


class Hostile:
    def __reduce__(self):
        return os.system, ("touch hostile-was-here",)


def tuned(folder, n_trials):
    """Run a real Tuner; returns its ResultGrid, and a copy of its trials from when three of four had begun."""
    import ray
    from ray import tune

    copy = folder / "then" / "mine"

    class Copy(tune.Callback):
        def on_trial_result(self, iteration, trials, trial, result, **info):
            if len(trials) > n_trials * 3 // 4 and result["training_iteration"] == 3 and not copy.exists():
                shutil.copytree(Path(trial.local_path).parent, copy)  # which Ray copies into the folder later

    def objective(config):  # inside, so that it is sent by value: workers can't import tests
        for step in range(1, 7):
            tune.report({"val/acc": config["wd"] * step, "nested": {"loss": 1 / step}})
        if config["wd"] > 0.9:
            raise ValueError("too much")

    place = tempfile.mkdtemp(dir="/tmp")  # a socket's path must be short
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, _temp_dir=place)
    try:
        space = {"lr": tune.loguniform(1e-5, 1e-1), "wd": tune.uniform(0, 1), "opt": {"name": tune.choice(["a", "b"])}}
        config = tune.TuneConfig(num_samples=n_trials, reuse_actors=True)
        settings = tune.RunConfig(name="mine", storage_path=str(folder / "ray"), verbose=0, callbacks=[Copy()])
        return tune.Tuner(objective, param_space=space, tune_config=config, run_config=settings).fit(), copy
    finally:
        ray.shutdown()
        shutil.rmtree(place, ignore_errors=True)


@pytest.mark.slow(group="sweeps")
def test_a_ray_tune_folder_equals_its_grid_and_no_pickle_is_opened(tmp_path, monkeypatch):
    grid, copy = tuned(tmp_path, MANY)
    for folder in (tmp_path / "ray" / "mine", copy):
        for place in (folder, next(path for path in folder.iterdir() if path.is_dir())):
            for name in ("params.pkl", "tuner.pkl", "trainable.pkl"):
                (place / name).write_bytes(pickle.dumps(Hostile()))
    monkeypatch.chdir(tmp_path)
    then = pm.sweeps.from_tune(copy, ["lr", "wd"], run=tmp_path / "tune")
    unfinished = then.trials[then.trials["status"] == "stopped"]
    assert set() != set(unfinished["source_state"]) <= {"RUNNING", "PENDING"}
    run = pm.sweeps.from_tune(grid, ["lr", "wd"], run=tmp_path / "tune")
    assert not (tmp_path / "hostile-was-here").exists()
    rows = run.trials.set_index("source_id")
    assert len(rows) == len(grid) == MANY
    assert set(then.trials["trial_id"]) <= set(run.trials["trial_id"])
    ended = run.trials.set_index("trial_id")  # a trial that had no result yet had no name but its folder's
    assert not ended.loc[unfinished["trial_id"], "source_state"].isin(["RUNNING", "PENDING"]).any()
    curves = dict(list(run.curves.groupby("trial_id")))
    for result in grid:
        row = rows.loc[result.metrics["trial_id"]]
        assert (row["status"], row["source_state"]) == (("failed", "ERROR") if result.error else ("ok", "TERMINATED"))
        assert (row["lr"], row["wd"]) == (pytest.approx(result.config["lr"]), pytest.approx(result.config["wd"]))
        assert row["opt_name"] == result.config["opt"]["name"]
        frame = result.metrics_dataframe
        assert row["val_acc"] == frame["val/acc"].iloc[-1]
        assert curves[row["trial_id"]]["nested_loss"].tolist() == frame["nested/loss"].tolist()


def test_a_running_tune_trial_may_change(tmp_path):
    folder = tmp_path / "exp" / "trial_1"
    folder.mkdir(parents=True)
    (folder / "params.json").write_text('{"lr": 0.1}')
    (folder / "result.json").write_text('{"loss": 1.0, "training_iteration": 1, "done": false}\n{"loss": 0.5, "tr')
    (tmp_path / "exp" / "trial_2").mkdir()
    (tmp_path / "exp" / "trial_2" / "params.json").write_text("[broken")
    run = pm.sweeps.from_tune(tmp_path / "exp", ["lr"], run=tmp_path / "t")
    assert run.trials["status"].tolist() == ["stopped"]
    (folder / "result.json").write_text('{"loss": 0.25, "training_iteration": 2, "done": true}\n')
    run = pm.sweeps.from_tune(tmp_path / "exp", ["lr"], run=tmp_path / "t")
    assert run.trials[["status", "loss"]].to_numpy().tolist() == [["ok", 0.25]]
    assert math.isclose(run.trials["lr"][0], 0.1)


def test_a_folder_of_nothing_known_is_told(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no known kind of sweep; allowed: a CSV"):
        pm.sweeps.from_tune(tmp_path / "empty", ["lr"], run=tmp_path / "t")
