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
        "model.widht is an unknown key; allowed: kind, activation, width, depth, norm, init_scale, init, output_scale "
        "(did you mean width?)  ({file}:4)",
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
    "a bad seed among others": (
        SMALL.replace("seeds: 2", "seeds: [0, -1]"),
        "seeds[1] = -1 is not allowed; allowed: a whole number >= 0  ({file}:",
    ),
    "an axis value that stands behind one that is wrong": (
        SMALL.replace("{data_fraction: 0.6}", "{}").replace("[0, 2]", "[0, 2]\n  data_fraction: [0, 0.5, 0.001]"),
        "axes.data_fraction[2] = 0.001 leaves no training example of 49",
    ),
    "more steps than can be counted": (
        SMALL + "phases: {at_step: 99999999999999999999}\n",
        "phases.at_step = 1.0e+20 is not allowed; allowed: a whole number >= 1 or nothing, at most 1e+15",
    ),
    "boolean for a number": (SMALL.replace("width: 16", "width: true"), "model.width = true is not allowed"),
    "infinite": (SMALL.replace("[0, 2]", "[0, .inf]"), "axes.weight_decay[1] = .inf is not allowed"),
    "budget of a grid": (
        SMALL + "search: {budget: 0.2}\n",
        "search.budget has no meaning with kind grid; allowed: leave it out, or kind boundary, random or sobol",
    ),
    "tolerance of random points": (
        SMALL + "search: {kind: random, budget: 5, tolerance: 0.1}\n",
        "search.tolerance has no meaning with kind random; allowed: leave it out, or kind boundary  ({file}:",
    ),
    "budget of more than all trials": (
        SMALL + "search: {kind: boundary, budget: 1.5}\n",
        "search.budget = 1.5 is not allowed; allowed: a whole number >= 1 or a number in (0, 1] or nothing",
    ),
    "heads that don't divide": (
        SMALL.replace("width: 16", "kind: transformer, width: 16, heads: 3, depth: 1"),
        "model.heads = 3 heads don't divide the width 16; allowed: a divisor of the width  ({file}:4)",
    ),
    "heads that don't divide a width of an axis": (
        SMALL.replace("width: 16", "kind: transformer").replace("weight_decay: [0, 2]", "width: [16, 18]"),
        "model.heads = 4 heads don't divide the width 18",
    ),
    "heads of an mlp": (
        SMALL.replace("width: 16", "heads: 2"),
        "model.heads = 2 means nothing with model.kind mlp; allowed: leave it out, or model.kind transformer",
    ),
    "norm of a transformer": (
        SMALL.replace("width: 16", "kind: transformer, norm: batch"),
        "model.norm = batch is for an mlp; allowed for a transformer: none",
    ),
    "an mlp of one layer": (
        SMALL.replace("weight_decay: [0, 2]", "depth: [1, 2]"),
        "axes.depth[0] = 1 is too few layers of weights for an mlp; allowed: a whole number >= 2  ({file}:8)",
    ),
    "batch larger than the training set": (
        SMALL.replace("{steps: 60}", "{steps: 60, batch_size: 30}"),
        "training.batch_size = 30 is larger than the training set of 29 examples (data_fraction 0.6 of 49, modulus 7); "
        "allowed: at most 29, or full  ({file}:5)",
    ),
    "batch larger than the smallest training set": (
        SMALL.replace("{steps: 60}", "{steps: 60, batch_size: 16}")
        .replace("weight_decay: [0, 2]", "data_fraction: [0.3, 0.6]")
        .replace("fixed: {data_fraction: 0.6}", ""),
        "training.batch_size = 16 is larger than the training set of 14 examples (data_fraction 0.3 of 49, modulus 7)",
    ),
    "scaling of full batches": (
        SMALL.replace("{steps: 60}", "{steps: 60, scale_to_batch: 256}"),
        "training.scale_to_batch = 256 scales nothing with batch_size full",
    ),
    "lazy start of a shallow network": (
        SMALL.replace("width: 16", "width: 16, init: lazy"),
        "model.init = lazy is an initial scale of deep MLPs; allowed with depth 2: standard (see init_scale)",
    ),
    "lazy start of a transformer": (
        SMALL.replace("width: 16", "kind: transformer, init: lazy"),
        "model.init = lazy is an initial scale of deep MLPs",
    ),
    "IPR of a deep mlp": (
        SMALL.replace("width: 16", "depth: 3") + "record: [norms, ipr]\n",
        "record[1] = ipr has no meaning for an mlp of depth 3; allowed: depth 2",
    ),
    "pruning a transformer": (
        SMALL.replace("width: 16", "kind: transformer") + "record: [pruning]\n",
        "record[0] = pruning has no meaning for a transformer; allowed: the mlp with depth 2",
    ),
    "IPR along tokens without a cyclic order": (
        SMALL.replace("modular_addition, modulus: 7", "modular_multiplication, modulus: 9") + "record: [ipr]\n",
        "record[0] = ipr has no meaning for multiplication modulo 9; allowed: a prime modulus",
    ),
    "record given twice": (
        SMALL + "record: [norms, norms]\n",
        "record[1] = norms is repeated; allowed: each once  ({file}:11)",
    ),
    "unknown record": (SMALL + "record: [irp]\n", "record[0] = 'irp' is not allowed; allowed: one of ipr, neurons,"),
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
        "means nothing with task.kind modular_addition; allowed: leave it out, or task.kind arrays  ({file}:3)",
    ),
    "modulus of images": (
        SMALL.replace("modular_addition", "images"),
        "task.modulus = 7 means nothing with task.kind images; allowed: leave it out, or task.kind modular_addition, "
        "modular_multiplication or operation  ({file}:3)",
    ),
    "data set of a task without": (
        SMALL.replace("modulus: 7", "dataset: mnist5k"),
        "task.dataset = 'mnist5k' means nothing with task.kind modular_addition; allowed: leave it out, or task.kind "
        "images  ({file}:3)",
    ),
    "a table that is no operation": (
        SMALL.replace("modular_addition, modulus: 7", "operation, table: [[0, 1], [1, 2.5]]"),
        "task.table[1][1] = 2.5 is not an element; allowed: a whole number from 0 to 1  ({file}:3)",
    ),
    "a ragged table": (
        SMALL.replace("modular_addition, modulus: 7", "operation, table: [[0, 1], [1]]"),
        "task.table[1] has 1 number; allowed: 2, as in the first row  ({file}:3)",
    ),
    "division by a modulus that is not a prime": (
        SMALL.replace("modular_addition, modulus: 7", "operation, table: division, modulus: 8"),
        "task.modulus = 8 is not a prime, as table division needs; allowed: 2, 3, 5, 7, 11, 13, ...  ({file}:3)",
    ),
    "more relevant bits than bits": (
        SMALL.replace("modular_addition, modulus: 7", "sparse_parity, n_bits: 12, k_bits: 13, n_samples: 100"),
        "task.k_bits = 13 is more than task.n_bits 12; allowed: up to 12  ({file}:3)",
    ),
    "a temperature of a loss that has none": (
        SMALL.replace("{steps: 60}", "{steps: 60, temperature: 2}"),
        "training.temperature = 2.0 means nothing with training.loss mse; allowed: leave it out, or training.loss "
        "cross_entropy or stablemax  ({file}:5)",
    ),
    "an intervention after the horizon": (
        SMALL + "interventions: [{at: 60, repair: 0.5}]\n",
        "interventions.repair_at = 60 is not before the end of the training; allowed: up to 59  ({file}:11)",
    ),
    "an intervention of two kinds": (
        SMALL + "interventions: [{at: 30, repair: 0.5, corrupt: 0.1}]\n",
        "interventions[0] is {{at: 30, repair: 0.5, corrupt: 0.1}} with 2 amounts; allowed: at with a step, and one of "
        "repair, corrupt, weight_decay, learning_rate",
    ),
    "an intervention of an unknown kind": (
        SMALL + "interventions: [{at: 30, repiar: 0.5}]\n",
        "interventions[0].repiar is an unknown key; allowed: at, repair, corrupt, weight_decay, learning_rate",
    ),
    "a schedule of an unknown setting": (
        SMALL + "schedule: {width: {30: 8}}\n",
        "schedule.width is an unknown key; allowed: weight_decay, learning_rate",
    ),
    "a schedule after the horizon": (
        SMALL + "schedule: {learning_rate: {30: 0.1, 60: 0.01}}\n",
        "schedule.learning_rate = 60 is not before the end of the training; allowed: up to 59  ({file}:11)",
    ),
    "a schedule that is none": (
        SMALL + "schedule: {learning_rate: {30: 0}}\n",
        "schedule.learning_rate = {{30: 0}} is not allowed; allowed: cosine, or a mapping of steps to values, such",
    ),
    "a schedule whose start is an axis": (
        SMALL + "schedule: {weight_decay: {0: 5, 30: 0}}\n",
        "schedule.weight_decay.0 is given here and as an axis; allowed: leave out step 0, or axes.weight_decay",
    ),
    "a setting that is changed without a step": (
        SMALL + "interventions: [{weight_decay: 2}]\n",
        "interventions.weight_decay_at is missing; allowed with weight_decay_to: the step after which it happens",
    ),
    "an intervention without a step": (
        SMALL + "interventions: [{repair: 0.5}]\n",
        "interventions.repair_at is missing; allowed with repair: the step after which it happens  ({file}:11)",
    ),
    "a Transformer on images": (
        SMALL.replace("modular_addition, modulus: 7", "images").replace("width: 16", "kind: transformer"),
        "model.kind = transformer works on modular tasks and operations; allowed with task.kind images: mlp",
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
        "task.matrix = a list means nothing with task.corruption_kind region; allowed: leave it out, or "
        "task.corruption_kind asymmetric  ({file}:3)",
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
        "task.shift_by = 2 means nothing with task.corruption_kind symmetric; allowed: leave it out, or "
        "task.corruption_kind shift  ({file}:3)",
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
    "a balanced split of no whole parts": (
        SMALL.replace("modulus: 7", "modulus: 7, split: balanced"),
        "fixed.data_fraction = 0.6 is neither 1 / m nor 1 - 1 / m, as task.split balanced needs; allowed: 0.5, 0.25,",
    ),
    "anchors without end": (
        "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
        "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n",
        "has anchors that expand without bound",
    ),
    "anchor inside itself": ("a: &a [*a]\n", "has anchors that expand without bound"),
    "a tag that runs code": ("name: !!python/object/apply:os.system [ls]\n", "name"),
}
