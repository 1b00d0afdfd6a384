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
    "claim that cannot be read": (
        SMALL + "claims: ['test_accuracy = 0.9']\n",
        "claims[0] can't be read: found '=' at character 15; allowed there: < <= > >=",
    ),
    "claim about another grid": (
        SMALL + "claims:\n  - area(memorization, corruption=0.2) > 0\n",
        "claims[0] '0.2' at character 31 is not a value of corruption; allowed: 0, 0.3  ({file}:12)",
    ),
    "thresholds of the fixed rule": (
        SMALL + "phases: {rule: doshi2024, generalized: 0.8}\n",
        "phases.generalized is fixed at 0.9 by rule doshi2024",
    ),
    "anchors without end": (
        "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
        "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n",
        "has anchors that expand without bound",
    ),
    "anchor inside itself": ("a: &a [*a]\n", "has anchors that expand without bound"),
    "a tag that runs code": ("name: !!python/object/apply:os.system [ls]\n", "name"),
}
