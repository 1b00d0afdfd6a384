"""How well audits find wrong labels, beside cleanlab's confident learning; and whether their advice pays.

    python benchmarks/audit.py peers --short   seven of the sets, two draws, few trainings: ten minutes of two cores
    python benchmarks/audit.py peers           Data-OOB, AUM, cartography, kNN-Shapley, SimiFeat, cleanlab on 14 sets
    python benchmarks/audit.py ranking         planted flips on digits, breast_cancer, wine and 5,000 MNIST images
    python benchmarks/audit.py raters          vaderSentiment's lexicon: one of ten ratings as label, consensus as truth
    python benchmarks/audit.py decision        cases built to have a known best action: regret against the oracle
    python benchmarks/audit.py memorization    scores against brute-force retraining

Both methods get probabilities from the same kind of network on the same rows: the audit from many trainings on halves,
cleanlab from five folds. --keep FOLDER keeps what was trained, so that a benchmark goes on after an interruption, and
so that another way to judge by the same networks takes minutes.
"""

from __future__ import annotations

import argparse
import warnings

from audit_decision import decision
from audit_memorization import memorization
from audit_peers import ALL_SETS, SHORT, peers
from audit_ranking import KINDS, RATES, SETS, ranking, raters

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=["peers", "ranking", "raters", "decision", "memorization"])
    parser.add_argument("--sets", help="default: all of the part")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--rates", default=",".join(map(str, RATES)))
    parser.add_argument("--draws", type=int, help="default: 20 for the small sets, 5 for the large one and the raters")
    parser.add_argument("--keep", help="folder of what was trained")
    parser.add_argument("--trainings", type=int, default=200)
    parser.add_argument("--planted", type=int, default=48)
    parser.add_argument("--components", type=int, default=100)
    parser.add_argument("--cases", type=int, default=32)
    parser.add_argument("--first", type=int, default=0, help="number of the first case: others for other cases")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--oracle", type=int, default=12)
    parser.add_argument("--subsets", type=int, default=60)
    warnings.filterwarnings("ignore", category=FutureWarning)
    parser.add_argument("--only-table", action="store_true", help="of peers: print what is there, measure nothing")
    parser.add_argument("--short", action="store_true", help="of peers: a few sets, draws and trainings")
    if parser.parse_known_args()[0].short:
        parser.set_defaults(**SHORT)
    chosen = parser.parse_args()
    chosen.sets = chosen.sets or ",".join(ALL_SETS if chosen.part == "peers" else SETS)
    parts = {"peers": peers, "ranking": ranking, "raters": raters, "decision": decision, "memorization": memorization}
    parts[chosen.part](chosen)
