"""A Ray cluster of several nodes on this machine: own processes, a /tmp for each where the kernel lets us, a token."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from processes import alive, children, kill, wait_for

ROOT = Path(__file__).parents[2]
COMMANDS = ("", "head_", "worker_")
LISTS = [
    *("cluster_synced_files", "rsync_exclude", "rsync_filter", "initialization_commands"),
    *(f"{which}setup_commands" for which in COMMANDS),
    *(f"{which}start_ray_commands" for which in COMMANDS[1:]),
]  # what the file of a cluster must have, also where it is empty
OURS = ("RAY_", "TUNE_", "OMP_")  # another test's runner may have set them


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def own_tmp():
    """What starts a process with a /tmp of its own; nothing where that is not allowed, or hides what is tested."""
    own = 'mount --bind "$0" /mnt && mount -t tmpfs -o size=2g own /tmp && mkdir -p "$0" && mount --bind /mnt "$0"'
    command = ["unshare", "--mount", "sh", "-c", f'{own} && exec "$@"', str(ROOT)]  # the checkout may lie in /tmp
    seen = ["sh", "-c", 'test -x "$1" && test -d "$2"', "sh", sys.executable, str(ROOT)]
    allowed = shutil.which("unshare") and not subprocess.run([*command, *seen], capture_output=True).returncode
    return command if allowed else []


class Node:
    """One `ray start --block` process and what it started."""

    def __init__(self, options, environment, prefix):
        command = [*prefix, shutil.which("ray", path=environment["PATH"]), "start", "--block", "--disable-usage-stats"]
        self.log = Path(environment["PM_LOGS"]) / f"{secrets.token_hex(4)}.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen([*command, *options], env=environment, stdout=log, stderr=log)

    def ready(self):
        if self.process.poll() is not None:
            raise RuntimeError(self.log.read_text())
        return "Ray runtime started" in self.log.read_text()

    def alive(self):
        return self.process.poll() is None

    def workers(self):
        """The worker processes that train packs at this moment."""
        return [pid for pid, command in children(self.process.pid).items() if "ray::ImplicitFunc" in command]

    def lose(self):
        """End the node as a loss of power would: every process at once."""
        for pid in [self.process.pid, *children(self.process.pid)]:
            with contextlib.suppress(ProcessLookupError):
                kill(pid)
        self.process.wait()

    def stop(self):
        family = [self.process.pid, *children(self.process.pid)]
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(20)
        for pid in family:
            if alive(pid):
                with contextlib.suppress(ProcessLookupError):
                    kill(pid)
        self.process.wait()


class Cluster:
    """A head with a job server and worker nodes; `storage` is what all of them share."""

    def __init__(self, workers=2, cpus=1, *, head_cpus=1, grows=0, **environment):
        self.home = Path(tempfile.mkdtemp(prefix="pmc-", dir="/var/tmp"))
        self.storage = self.home / "runs"
        self.token = secrets.token_hex(20)
        self.nodes = []
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        self.client_environment = kept | {"RAY_AUTH_TOKEN": self.token, "PYTHONPATH": str(ROOT), "HOME": str(self.home)}
        self._environment = self.client_environment | {
            "RAY_AUTH_MODE": "token",
            "OMP_NUM_THREADS": "1",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PM_LOGS": str(self.home),
            "RAY_FAKE_CLUSTER": "1",  # what Ray's own provider of nodes on one machine asks for
            "AUTOSCALER_UPDATE_INTERVAL_S": "1",
            "RAY_health_check_period_ms": "500",  # a lost node is missed after five failed checks: 15 s by default
            **environment,
        }
        self._gcs, self._dashboard = free_port(), free_port()
        self.address = f"http://127.0.0.1:{self._dashboard}"
        self.gcs_address = f"127.0.0.1:{self._gcs}"
        self._prefix = own_tmp()
        growing = ["--autoscaling-config", str(self._growing_config(grows))] if grows else []
        self._head_options = [
            "--head", "--port", str(self._gcs), "--dashboard-host", "127.0.0.1", "--dashboard-port",
            str(self._dashboard), "--ray-client-server-port", str(free_port()), *growing,
        ]  # fmt: skip
        self._head_cpus, self._n_workers = head_cpus, workers
        try:
            self._start_head()
            for _ in range(
                workers
            ):  # one after the other: Ray gives a node 30 s to start, which is little where all are busy
                self.add(cpus)
        except BaseException as error:
            error.add_note("\n".join(node.log.read_text() for node in self.nodes))
            self.stop()
            raise

    def _start_head(self):
        self.head = self._start(self._head_options, self._head_cpus)
        wait_for(self.head.ready, what="the head")

    def restart_head(self):
        """Lose the head and start it again on the same ports, as a machine that comes back with an empty disk.

        The other nodes, which end within a minute, are replaced.
        """
        self.head.lose()
        self._start_head()
        for _ in range(self._n_workers):
            self.add(wait=False)

    def add(self, cpus=1, *, gpus=0, wait=True):
        node = self._start(["--address", self.gcs_address, "--num-gpus", str(gpus)], cpus)
        if wait:
            wait_for(node.ready, what="a node")
        return node

    def _growing_config(self, most):
        """Write what Ray's autoscaler needs to start up to so many nodes of one CPU, and to end them when idle."""
        sizes = {"CPU": 1, "object_store_memory": 100_000_000}
        kinds = {"ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0}}
        kinds["worker"] = {"resources": sizes, "node_config": {}, "min_workers": 0, "max_workers": most}
        config = {
            "cluster_name": "growing",
            "max_workers": most,
            "idle_timeout_minutes": 0.1,
            "provider": {"type": "fake_multinode", "gcs_address": self.gcs_address, "use_node_id_as_ip": True},
            "auth": {},
            "upscaling_speed": 20,
            "file_mounts": {},
            **{key: [] for key in LISTS},
            "available_node_types": kinds,
            "head_node_type": "ray.head.default",
        }
        path = self.home / "growing.yaml"
        path.write_text(json.dumps(config))
        return path

    def _start(self, options, cpus):
        temporary = "/tmp/ray" if self._prefix else tempfile.mkdtemp(prefix="r", dir=self.home)
        common = ["--num-cpus", str(cpus), "--node-ip-address", "127.0.0.1", "--object-store-memory", "100000000"]
        common += ["--dashboard-agent-listen-port", str(free_port())]
        if "--head" in options:
            common += ["--temp-dir", temporary]
        node = Node([*options, *common], self._environment, self._prefix)
        self.nodes.append(node)
        return node

    def command(self, *words):
        """Return the command line that a user of the cluster types."""
        return [sys.executable, "-m", "phasemap", *map(str, words)]

    def run(self, *words, environment=None, inside=False, timeout=300):
        """Run a command of the command line to its end, from outside of the cluster or on its head."""
        env = environment or self.client_environment
        command = [*(self._on_head() if inside else []), *self.command(*words)]
        return subprocess.run(command, capture_output=True, text=True, env=env, timeout=timeout)

    def _on_head(self):
        """What starts a process that sees the head's /tmp, where Ray's sockets are."""
        return ["nsenter", "--target", str(self.head.process.pid), "--mount"] if self._prefix else []

    def start(self, *words, environment=None, inside=False):
        """Start a command of the command line from outside of the cluster or on its head."""
        command = [*(self._on_head() if inside else []), *self.command(*words)]
        pipe, env = subprocess.PIPE, environment or self.client_environment
        return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=env)

    def driver(self):
        """The process of the submitted run, if there is one."""
        found = children(self.head.process.pid)
        return next((pid for pid, command in found.items() if "-m phasemap run" in command), None)

    def raylets(self):
        """The nodes that the head's autoscaler started, and the head's own."""
        return [pid for pid, command in children(self.head.process.pid).items() if "raylet/raylet" in command]

    def workers(self):
        return [pid for node in self.nodes for pid in node.workers()]

    def stop(self):
        for node in reversed(self.nodes):
            node.stop()
        shutil.rmtree(self.home, ignore_errors=True)
