"""Mistakes that users make, each with the message that names it; {file} is the study's path."""

from conftest import SMALL

BAD = {
    "empty file": ("", "the file is empty; name, task and axes are required"),
    "not YAML": ("name: [1, 2", "not valid YAML"),
    "a list": ("- 1\n- 2", "is a list, not a mapping of name, task, axes, ..."),
    "duplicate key": (
        SMALL + "seeds: 3\n",
        "seeds is given twice (first in line 10); allowed: each key once  ({file}:11)",
    ),
    "unknown key": (SMALL + "foo: 3\n", "foo is an unknown key; allowed: name, question, task, model,"),
    "misspelt key": (
        SMALL.replace("width", "widht"),
        "model.widht is an unknown key; allowed: kind, activation, width, depth, norm, init_scale, init, heads, "
        "mlp_factor, weight_tying (did you mean width?)  ({file}:4)",
    ),
    "key in the wrong section": (
        SMALL.replace("{steps: 60}", "{steps: 60, width: 3}"),
        "(width belongs under model: or axes:)  ({file}:5)",
    ),
    "corruption 1.5": (
        SMALL.replace("[0, 0.3]", "[0, 1.5]"),
        "axes.corruption[1] = 1.5 is not allowed; allowed: a number in [0, 1]  ({file}:7)",
    ),
    "dropout 1.0": (
        SMALL.replace("{data_fraction: 0.6}", "{dropout: 1.0}"),
        "fixed.dropout = 1.0 is not allowed; allowed: a number in [0, 1)  ({file}:9)",
    ),
    "width 0": (
        SMALL.replace("width: 16", "width: 0"),
        "model.width = 0 is not allowed; allowed: a whole number >= 1  ({file}:4)",
    ),
    "modulus 1": (
        SMALL.replace("modulus: 7", "modulus: 1"),
        "task.modulus = 1 is not allowed; allowed: a whole number >= 2  ({file}:3)",
    ),
    "axis without values": (
        SMALL.replace("[0, 2]", "[]"),
        "axes.weight_decay has no values; allowed: at least one  ({file}:8)",
    ),
    "repeated axis value": (
        SMALL.replace("[0, 2]", "[0, 2, 2.0]"),
        "axes.weight_decay[2] = 2.0 is repeated; allowed: each value once  ({file}:8)",
    ),
    "axis that is no setting": (SMALL.replace("corruption:", "corruptoin:"), "(did you mean corruption?)  ({file}:7)"),
    "range end outside": (
        SMALL.replace("[0, 0.3]", "{start: 0, stop: 1.2, num: 3}"),
        "axes.corruption = 1.2 (value 3 of the range) is not allowed; allowed: a number in [0, 1]",
    ),
    "log range from 0": (
        SMALL.replace("[0, 0.3]", "{start: 0, stop: 1, num: 3, scale: log}"),
        "axes.corruption a log range must start and stop above 0  ({file}:7)",
    ),
    "whole numbers from a range": (
        SMALL.replace("corruption: [0, 0.3]", "steps: {start: 10, stop: 15, num: 3}").replace(
            "training: {steps: 60}", ""
        ),
        "axes.steps = 12.5 (value 2 of the range) is not allowed; allowed: a whole number >= 1",
    ),
    "no axes": (SMALL.partition("axes:")[0], "axes is missing; name, task and axes are required"),
    "no training example": (
        SMALL.replace("0.6", "0.001"),
        "fixed.data_fraction = 0.001 leaves no training example of 49 (modulus 7); allowed: from 0.0204",
    ),
    "no test example": (SMALL.replace("0.6", "0.99999999999"), "leaves no test example of 49 (modulus 7)"),
    "name with a slash": (
        SMALL.replace("name: small", "name: a/b"),
        "name = 'a/b' is not allowed; allowed: letters, digits, - and _, at most 64  ({file}:2)",
    ),
    "setting given twice": (
        SMALL.replace("{data_fraction: 0.6}", "{corruption: 0.6}"),
        "fixed.corruption is given here and as an axis; allowed: one of the two  ({file}:9)",
    ),
    "no seeds": (
        SMALL.replace("seeds: 2", "seeds: []"),
        "seeds = an empty list is not allowed; allowed: a count from 1",
    ),
    "boolean for a number": (SMALL.replace("width: 16", "width: true"), "model.width = true is not allowed"),
    "infinite": (SMALL.replace("[0, 2]", "[0, .inf]"), "axes.weight_decay[1] = .inf is not allowed"),
    "not available search": (SMALL + "search: {kind: boundary}\n", "search.kind = boundary is not available yet"),
    "not available network": (
        SMALL.replace("width: 16", "kind: transformer"),
        "model.kind = transformer is not available yet; allowed: mlp  ({file}:4)",
    ),
    "not available axis value": (
        SMALL.replace("weight_decay: [0, 2]", "norm: [none, batch]"),
        "axes.norm[1] = batch is not available yet; allowed: none  ({file}:8)",
    ),
    "lazy start of a shallow network": (
        SMALL.replace("width: 16", "width: 16, init: lazy"),
        "model.init = lazy is an initial scale of deep MLPs; allowed with depth 2: standard (see init_scale)",
    ),
    "not available record": (SMALL + "record: [ipr]\n", "record is not available yet"),
    "thresholds of the fixed rule": (
        SMALL + "phases: {rule: doshi2024, generalized: 0.8}\n",
        "phases.generalized is fixed at 0.9 by rule doshi2024",
    ),
    "arrays without a file": (
        SMALL.replace("modular_addition, modulus: 7", "arrays"),
        "task.path is missing; allowed with task.kind arrays: an .npz file with X and y  ({file}:3)",
    ),
    "a file that is not there": (
        SMALL.replace("modular_addition, modulus: 7", "arrays, path: /nowhere/a.npz"),
        "task.path = /nowhere/a.npz: can't be read: No such file or directory  ({file}:3)",
    ),
    "a file for a task without": (
        SMALL.replace("modulus: 7", "path: a.npz"),
        "task.path is given, but task.kind is modular_addition; it belongs to arrays  ({file}:3)",
    ),
    "modulus of images": (
        SMALL.replace("modular_addition", "images"),
        "task.modulus is given, but task.kind is images; it belongs to modular_addition or modular_multiplication",
    ),
    "data set of a task without": (
        SMALL.replace("modulus: 7", "dataset: mnist5k"),
        "task.dataset is given, but task.kind is modular_addition; it belongs to images  ({file}:3)",
    ),
    "a Transformer on images": (
        SMALL.replace("modular_addition, modulus: 7", "images").replace("width: 16", "kind: transformer"),
        "model.kind = transformer works on modular tasks; allowed with task.kind images: mlp  ({file}:4)",
    ),
    "no training image": (
        SMALL.replace("modular_addition, modulus: 7", "images").replace("0.6", "0.0001"),
        "fixed.data_fraction = 0.0001 leaves no training example of 1797 (digits); allowed: from 0.000556",
    ),
    "asymmetric without a matrix": (
        SMALL.replace("modulus: 7", "modulus: 2, corruption_kind: asymmetric"),
        "task.matrix is missing; allowed with task.corruption_kind asymmetric: rows of numbers, or a .csv or .npy file",
    ),
    "a matrix for another kind": (
        SMALL.replace("modulus: 7", "modulus: 2, corruption_kind: region, matrix: [[1, 0], [0, 1]]"),
        "task.matrix is given, but task.corruption_kind is region; it belongs to asymmetric  ({file}:3)",
    ),
    "a matrix of the wrong size": (
        SMALL.replace("modulus: 7", "modulus: 3, corruption_kind: asymmetric, matrix: [[1, 0], [0, 1]]"),
        "task.matrix is 2 x 2; allowed: 3 x 3 for the classes of modulus 3  ({file}:3)",
    ),
    "rows of different lengths": (
        SMALL.replace("modulus: 7", "modulus: 2, corruption_kind: asymmetric, matrix: [[1, 0], [0, 1, 0]]"),
        "task.matrix is 2 x 2 to 3; allowed: 2 x 2 for the classes of modulus 2",
    ),
    "no probability": (
        SMALL.replace("modulus: 7", "modulus: 2, corruption_kind: asymmetric, matrix: [[1, 0], [1.5, -0.5]]"),
        "task.matrix[1][0] = 1.5 is not a probability; allowed: a number in [0, 1]  ({file}:3)",
    ),
    "a row that is no distribution": (
        SMALL.replace("modulus: 7", "modulus: 2, corruption_kind: asymmetric, matrix: [[1, 0], [0.3, 0.3]]"),
        "task.matrix[1] sums to 0.6; allowed: 1 (row y is the distribution of the new label)  ({file}:3)",
    ),
    "a matrix of text": (
        SMALL.replace("modulus: 7", "modulus: 2, corruption_kind: asymmetric, matrix: [[a, 0], [0, 1]]"),
        "task.matrix = a list is not allowed; allowed: text or a list of a list of a number or nothing  ({file}:3)",
    ),
    "a matrix file that is not there": (
        SMALL.replace("modulus: 7", "modulus: 2, corruption_kind: asymmetric, matrix: /nowhere/t.csv"),
        "task.matrix = /nowhere/t.csv: can't be read: No such file or directory  ({file}:3)",
    ),
    "a shift for another kind": (
        SMALL.replace("modulus: 7", "modulus: 7, shift_by: 2"),
        "task.shift_by is given, but task.corruption_kind is symmetric; it belongs to shift  ({file}:3)",
    ),
    "a shift too far": (
        SMALL.replace("modulus: 7", "modulus: 7, corruption_kind: shift, shift_by: 7"),
        "task.shift_by = 7 is too far for 7 classes (modulus 7); allowed: from 1 to 6  ({file}:3)",
    ),
    "a shift too far for one modulus of an axis": (
        SMALL.replace(", modulus: 7", ", corruption_kind: shift").replace(
            "weight_decay: [0, 2]", "modulus: [7, 3]\n  shift_by: [1, 5]"
        ),
        "axes.shift_by[1] = 5 is too far for 3 classes (modulus 3); allowed: from 1 to 2  ({file}:9)",
    ),
    "no shift": (
        SMALL.replace("modulus: 7", "modulus: 7, corruption_kind: shift, shift_by: 0"),
        "task.shift_by = 0 is not allowed; allowed: a whole number >= 1  ({file}:3)",
    ),
    "anchors without end": (
        "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
        "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n",
        "has anchors that expand without bound",
    ),
    "anchor inside itself": ("a: &a [*a]\n", "has anchors that expand without bound"),
    "a tag that runs code": ("name: !!python/object/apply:os.system [ls]\n", "name"),
}
