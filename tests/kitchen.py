"""A study of something else than networks: made-up settings, quantities of each kind, labels and frontiers.

No program stands behind it: its trials are computed by formulas.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from phasemap.diagram.points import point_table
from phasemap.diagram.tables import Tables
from phasemap.results.merge import trial_frame, trial_rows
from phasemap.results.schema import shard_schema
from phasemap.study.axes import Axis, AxisRange
from phasemap.study.identity import Identity
from phasemap.study.rule_file import own_rule, parse_rule
from phasemap.study.settings import Recorded, Section, settings_of
from phasemap.study.spec import KEYS, Study
from phasemap.study.trials import expand
from phasemap.study.yaml_lines import parse_document


class Dish(Section):
    heat: float = 0.5
    salt: float = 0.1
    stirs: int = 3
    pan: str = "iron"


SETTINGS = settings_of({"fixed": Dish})
RECORDED = Recorded(
    quantities={"crispness": "accuracy", "waste": "loss", "aroma": "number", "spice": "number"},
    facts=("weight",),
    finals=("price",),
)
RULE = """
parameters: {done: 0.8}
labels:
  burnt: waste > 0.5
  golden: {when: crispness >= done and aroma >= spice, letter: G, colour: "#d55e00"}
  crisp: crispness >= done
  bland: aroma < spice
  raw: otherwise
groups: {tasty: [golden, crisp]}
times: {crisp_step: crispness >= done, cooled_step: lasting(aroma < spice)}
columns: {quick: crisp_step < 100}
frontiers: {doneness: crispness = done, balance: aroma = spice}
"""


@dataclass(frozen=True)
class Meal:
    trial_id: str
    seed: int
    settings: dict


class Kitchen(Study):
    file_keys = KEYS
    fixed: Dish = Dish()

    @property
    def declared(self):
        return SETTINGS

    @property
    def recorded(self):
        return RECORDED

    @property
    def identity(self):
        return Identity(constant={"program": "kitchen"})

    def setting(self, name):
        return getattr(self.fixed, name)

    def trial(self, settings, seed):
        return Meal(self.identity.trial_id(settings, seed), seed, dict(settings))


def kitchen(rule=RULE, **changed):
    """Return the study, with its labels by another text or other fields."""
    salt = AxisRange(start=0.01, stop=1.0, num=7, scale="log")
    fields = {
        "name": "kitchen",
        "question": "When is a dish golden?",
        "axes": (
            Axis(name="heat", values=tuple(round(0.1 * i, 1) for i in range(1, 11))),
            Axis(name="salt", values=tuple(salt.values()), source=salt),
        ),
        "seeds": (0, 1, 2),
        "phases": own_rule(parse_rule(parse_document(rule, "dish.yaml"), "dish", RECORDED.quantities)),
    }
    return Kitchen(**fields | changed)


STEPS = (1, 3, 10, 30, 100, 300, 1000)


def cooked(meal):
    """Return the quantities of a meal over STEPS."""
    random = np.random.default_rng(meal.seed)
    heat, salt = meal.settings["heat"], meal.settings["salt"]
    time = np.log10(STEPS) / 3
    shift = 0.06 * random.standard_normal()
    return {
        "crispness": 1 / (1 + np.exp(-9 * (heat * (0.4 + time) - 0.55 + shift))),
        "waste": np.exp(-6 + 7 * heat * time + shift),
        "aroma": 1.5 * time + np.log10(salt) + shift,
        "spice": 0.5 - 1.2 * heat * time + 0 * time,
    }


def shard_rows(study, missing=()):
    """Return the trials' rows as shards hold them, without those of some numbers."""
    meals = [meal for number, meal in enumerate(expand(study)) if number not in missing]
    curves = [cooked(meal) for meal in meals]
    schema = shard_schema(study)
    known = {
        "trial_id": [meal.trial_id for meal in meals],
        "seed": [meal.seed for meal in meals],
        "status": ["ok"] * len(meals),
        "step": [list(STEPS)] * len(meals),
        "train_seconds": [1.0] * len(meals),
        "weight": [0.5] * len(meals),
        "price": [meal.settings["salt"] * 3 for meal in meals],
        **{name: [meal.settings[name] for meal in meals] for name in SETTINGS},
        **{name: [curve[name].tolist() for curve in curves] for name in RECORDED.quantities},
        **{f"final_{name}": [float(curve[name][-1]) for curve in curves] for name in RECORDED.quantities},
    }
    columns = [pa.array(known.get(field.name, [None] * len(meals)), field.type) for field in schema]
    return pa.table(columns, schema=schema)


def tables_of(study, missing=()):
    """Return the study's tables, labelled by its rule."""
    trials = trial_frame(trial_rows(shard_rows(study, missing), study.phases))
    return Tables(study=study, trials=trials, points=point_table(study, trials))
