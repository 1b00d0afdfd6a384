"""Kill parts of a cluster at random times while a study runs there, and count what was lost: nothing.

`make chaos` runs a study of 216 trials through 5 kills of workers, the loss of a node and of the head, and 2 kills
of the driver.
"""

import json
import random
import sys
import time
from collections import Counter
from pathlib import Path
from threading import Event, Thread

import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[1]))

from clusters import Cluster
from conftest import LONGER, run_in_process, study_of
from processes import kill, wait_for

from phasemap.diagram.tables import derive
from phasemap.results.folder import RunFolder
from phasemap.results.shards import finished_ids, read_shards
from phasemap.study.file import load_study
from phasemap.study.trials import count_trials


class Watch:
    """Sees every shard as soon as it has its final name: whole then, and never written again."""

    def __init__(self, folder):
        self.folder, self.seen, self.rewritten, self.partial = folder, {}, 0, 0
        self._end = Event()
        self._thread = Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self):
        self._end.set()
        self._thread.join()

    def _look(self):
        while not self._end.wait(0.05):
            for path in self.folder.shards.glob("[!.]*.parquet"):
                written = path.stat().st_mtime_ns
                if path.name not in self.seen:
                    self.partial += not readable(path)
                elif self.seen[path.name] != written:
                    self.rewritten += pq.read_metadata(path).num_rows
                self.seen[path.name] = written


def readable(path):
    try:
        pq.read_table(path)
    except Exception:
        return False
    return True


class Chaos:
    """A study on a cluster, and what is done to it."""

    def __init__(self, cluster, text, rng):
        self.cluster, self.rng, self.kills = cluster, rng, Counter()
        self._path = cluster.home / "chaos.yaml"
        self._path.write_text(text)
        self.study, self.folder = load_study(self._path), RunFolder(cluster.storage / "chaos")
        self._job = None

    def run(self, workers, nodes, drivers, heads):
        """Run the study to its end through so many kills, in random order, and return the figures."""
        watch = Watch(self.folder)
        self._submit()
        events = [self._kill_worker] * workers + [self._lose_node] * nodes + [self._kill_driver] * drivers
        events += [self._lose_head] * heads
        self.rng.shuffle(events)
        for event in events:
            self._go_on()
            event()
        out, err = self._job.communicate(timeout=600)
        assert self._job.returncode == 0, err
        watch.stop()
        found = read_shards(self.folder)["trial_id"].to_pylist()
        wanted = count_trials(self.study)
        return {
            "trials": wanted,
            "kills": dict(self.kills),
            "lost_trials": wanted - len(finished_ids(self.folder)),
            "retrained_trials": watch.rewritten + len(found) - len(set(found)),
            "partial_files": watch.partial + len(list(self.folder.path.rglob("[!.]*.tmp*"))),
            "executions": [entry["outcome"] for entry in json.loads(self.folder.provenance.read_text())],
            "last": json.loads(out),
        }

    def _submit(self):
        self._job = self.cluster.start(
            "submit", self._path, "--address", self.cluster.address, "--storage", self.cluster.storage, "--follow",
            "--json",
        )  # fmt: skip

    def _go_on(self):
        """Wait until the run is at work and something more was stored, and then a random while."""
        n_shards = len(list(self.folder.shards.glob("[!.]*.parquet")))
        self._wait(lambda: len(list(self.folder.shards.glob("[!.]*.parquet"))) > n_shards, "another shard")
        time.sleep(self.rng.uniform(0, 2))

    def _wait(self, condition, what):
        """Wait for what there is while the run is at work; the run may not end before all was done to it."""
        found = wait_for(lambda: condition() or self._job.poll() is not None, 180, what)
        assert found is not True or self._job.poll() is None, f"the run ended too early: {self._job.communicate()[1]}"
        return found

    def _kill_worker(self):
        kill(self.rng.choice(self._wait(self.cluster.workers, "a worker")))
        self.kills["worker"] += 1

    def _lose_node(self):
        others = [node for node in self.cluster.nodes if node is not self.cluster.head and node.alive()]
        self.rng.choice(self._wait(lambda: [node for node in others if node.workers()], "a busy node")).lose()
        self.kills["node"] += 1
        self.cluster.add(wait=False)  # as a spot instance is replaced

    def _kill_driver(self):
        kill(self._wait(self.cluster.driver, "the driver"))
        self.kills["driver"] += 1
        self._submit_again()

    def _lose_head(self):
        self._wait(self.cluster.driver, "the driver")
        self.cluster.restart_head()
        self.kills["head"] += 1
        self._submit_again()

    def _submit_again(self):
        _, err = self._job.communicate(timeout=120)
        assert self._job.returncode == 3, err
        assert "Traceback" not in err
        self._submit()


def rows(trials):
    """What must be equal to the undisturbed run; a pack that was split or cut is another pack."""
    return trials.drop(columns=["train_seconds", "host", "pack_id"]).sort_values("trial_id").to_csv(index=False)


def main():
    """Run the long version and print the figures."""
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else random.randrange(1000)
    text = LONGER.format(name="chaos", steps=3000, seeds=24, pack_size=8)
    cluster = Cluster(workers=2)
    try:
        started = time.monotonic()
        chaos = Chaos(cluster, text, random.Random(seed))
        figures = chaos.run(workers=5, nodes=1, drivers=2, heads=1)
        figures |= {"seed": seed, "seconds": round(time.monotonic() - started)}
        undisturbed = run_in_process(study_of(text), cluster.home / "undisturbed")
        figures["equal_to_the_undisturbed_run"] = rows(derive(chaos.folder).trials) == rows(derive(undisturbed).trials)
    finally:
        cluster.stop()
    print(json.dumps(figures, indent=2))
    wrong = [figures["lost_trials"], figures["retrained_trials"], figures["partial_files"]]
    sys.exit(any(wrong) or not figures["equal_to_the_undisturbed_run"])


if __name__ == "__main__":
    main()
