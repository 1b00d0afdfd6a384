"""Every bad program with its message: a trial that goes wrong is failed, and the others go on."""

import pytest
from program_tools import run_all, run_one

from phasemap.study.errors import UnreachableError

pytestmark = pytest.mark.usefixtures("forked")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("trial.report(1, auc=1.0)", "report at step 1 has auc, which the program does not declare; declared: "),
        ("trial.report(1)", "report at step 1 has no quantity; needed: test_loss"),
        ("for _ in range(2):\n    trial.report(2, test_loss=1)", "report: step 2 comes after step 2; allowed: "),
        ("trial.report(0, test_loss=1)", "report: step = int '0' is not allowed; allowed: a whole number from 1"),
        ("trial.report('a', test_loss=1)", "report: step = str 'a' is not allowed"),
        ("trial.report(10**30, test_loss=1)", "is not allowed; allowed: a whole number from 1 to 2**53 (train.py:5)"),
        ("trial.report(1, test_loss=10**400)", "is not allowed; allowed: one number (train.py:5)"),
        ("import torch\ntrial.report(1, test_loss=torch.zeros(()))", "test_loss is a tensor; allowed: a number"),
        ("import numpy as np\ntrial.report(1, test_loss=np.zeros(3))", "an array of shape (3,) is not allowed"),
        ("trial.report(1, test_loss='low')", "test_loss = str 'low' is not allowed"),
        ("trial.report(1, test_loss=None)", "is not allowed; allowed: one number"),
        ("trial.report(1, test_loss=-1.0)", "test_loss = -1 is not a loss; allowed: >= 0, or declare it as a number"),
        ("pass", "the program reported nothing; needed: trial.report(step, ...) at least once"),
        ("raise ValueError('no such net\\nsecond line')", "ValueError: no such net (train.py:5)"),
        ("1 / 0", "ZeroDivisionError: division by zero (train.py:5)"),
        ("raise OSError('no \\udcff \\x1b[31m here')", "OSError: no \\udcff \\x1b[31m here (train.py:5)"),
        ("raise type('Own', (Exception,), {'__str__': lambda self: 1 / 0})", "Own (train.py:5)"),
        ("import sys\nsys.exit('enough')", "the program ended itself by sys.exit('enough')"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("import os\nprint('bye')\nos._exit(7)", "twice: its process ended with exit code 7; it printed last: bye"),
        ("import os\nos.kill(os.getpid(), 11)", "twice: its process was killed by SIGSEGV"),
        ("trial.save({'a': {1, 2}})", "state['a'] is a builtins.set; allowed: tensors, numbers, text and containers"),
        ("list(trial.steps(3, state=[object()]))", "state: object can't be saved; allowed: objects with state_dict"),
        ("trial.corrupt([0, 1], 2.0)", "corrupt: share = 2.0 is not allowed; allowed: a number in [0, 1]"),
        ("trial.corrupt([0, 1], 0.1, kind='odd')", "corrupt: kind = 'odd' is not allowed; allowed: symmetric"),
        ("trial.corrupt([0, 1], 0.1, kind='region')", "corrupt: kind region looks at the inputs; needed: inputs=..."),
        ("trial.corrupt([0.5, 1], 0.1)", "labels of shape (2,) and type float64; allowed: whole numbers (B,)"),
        ("trial.corrupt([0, 1], None)", "corrupt: share = None is not allowed; allowed: a number in [0, 1]"),
        ("trial.corrupt([0, 1], 0.1, kind='region', inputs=[[1]])", "corrupt: 1 inputs for 2 labels; allowed: one for"),
        (
            "trial.corrupt([0, 1], 0.1, kind='asymmetric', matrix=[[1, 0], [1, 1]])",
            "corrupt: row 1 of matrix doesn't add up to 1; allowed: probabilities of the new labels",
        ),
        ("trial.score([0, 1], [0], [0], [0])", "score: labels = list; needed: what trial.corrupt returned"),
        (
            "trial.score(trial.corrupt([0, 1], 0.1), [0.2, 0.9], [0], [0])",
            "score: train predictions of shape (2,) and type float64; allowed: classes as whole numbers (B,), or",
        ),
        (
            "trial.score(trial.corrupt([0, 1], 0.1), [0, 1], [[0.2]], [0])",
            "score: test predictions of shape (1, 1) and type float64; allowed: classes",
        ),
        ("trial.settings.lr", "AttributeError"),
    ],
)  # fmt: skip
def test_a_bad_report_or_end_is_told(tmp_path, body, message):
    result = run_one(tmp_path, body)
    assert result.status == "failed"
    assert message in result.error


def test_what_is_missing_of_a_report_is_named(tmp_path):
    result = run_one(tmp_path, "trial.report(1, a=1)", quantities='{"a": "number", "b": "number"}')
    assert "report at step 1 lacks b; needed: all that is declared (a, b), nan where there is none" in result.error


def test_what_nobody_declared_has_a_name_of_its_own(tmp_path):
    result = run_one(tmp_path, "trial.report(1, status=1.0, lr=2.0, loss=1.0)", quantities="{}")
    assert "report has status, lr, which a setting or a column is called; allowed: other names" in result.error


def test_an_accuracy_is_a_share(tmp_path):
    result = run_one(tmp_path, "trial.report(1, a=97.0)", quantities='{"a": "accuracy"}')
    assert "a = 97 is not an accuracy; allowed: a share in [0, 1]" in result.error
    assert run_one(tmp_path, "trial.report(1, a=float('nan'))", quantities='{"a": "accuracy"}').status == "ok"


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_loss_that_is_not_finite_diverges(tmp_path, value):
    body = f"""
    trial.report(1, test_loss=2.0)
    try:
        trial.report(2, test_loss=float('{value}'))
    except Exception:
        trial.report(3, test_loss=1.0)
    """
    result = run_one(tmp_path, body)
    assert (result.status, result.steps, result.curves) == ("diverged", (1,), {"test_loss": [2.0]})


def test_a_trial_that_hangs_is_ended_twice(tmp_path):
    body = "import time\ntime.sleep(60)"
    result = run_one(tmp_path, body, resources={"max_trial_minutes": 0.01})
    assert result.error == "twice: took longer than resources.max_trial_minutes = 0.01"


def test_megabytes_of_print_hold_nothing_up(tmp_path):
    body = "for _ in range(200):\n    print('x' * 50_000)\ntrial.report(1, test_loss=1)"
    assert run_one(tmp_path, body).status == "ok"


def test_a_member_that_ends_its_process_leaves_the_others(tmp_path):
    code = """
    import os

    @pm.program(quantities={"test_loss": "loss"})
    def train(trial: pm.TrialContext, *, lr: float, how: str):
        if how == "exit":
            os._exit(3)
        if how == "raise":
            raise RuntimeError("bad")
        trial.report(1, test_loss=lr)
    """
    _, results = run_all(tmp_path, code, axes={"how": ["good", "exit", "raise", "fine"]}, fixed={"lr": 0.5})
    assert [result.status for result in results] == ["ok", "failed", "failed", "ok"]
    assert results[3].texts == results[0].texts


def test_code_that_changed_while_a_run_is_on_is_not_run(tmp_path):
    from program_tools import CURVE, write_study

    from phasemap.running.program_packs import train_programs
    from phasemap.study.file import load_study
    from phasemap.study.trials import expand

    study = load_study(write_study(tmp_path))
    (tmp_path / "train.py").write_text(CURVE + "\n# changed\n")
    with pytest.raises(UnreachableError, match="is not the program that the run was started with"):
        train_programs(study, list(expand(study)), device="cpu")
    (tmp_path / "train.py").unlink()
    with pytest.raises(UnreachableError, match=r"has no train.py in .* or .*; allowed: a folder that all nodes share"):
        train_programs(study, list(expand(study)), device="cpu")
