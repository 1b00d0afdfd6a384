"""Packs as Ray Tune trials, on an embedded Ray or on a cluster."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from phasemap.planning.packs import Pack
from phasemap.running.devices import DeviceChoice
from phasemap.running.runner import Event, Failed, More, Runner, describe_error
from phasemap.running.slots import Node, PackSlots, gives_gpus, share_out
from phasemap.running.tokens import read_again, token_mode
from phasemap.running.worker import Workload, train_and_store
from phasemap.study.errors import UnreachableError, UserError
from phasemap.study.spec import ResourceSpec
from phasemap.training.cards import Card, card_here

if TYPE_CHECKING:
    from phasemap.running.ray_feed import PackedPlan

REPORT_SECONDS = 2.0
CONNECT_SECONDS = 10.0
LOOKING_SECONDS, LOOKING_GPUS = 60.0, 0.01  # for a look at a node's GPU, which may be importing PyTorch first
MOST_PACKS, PACKS_PER_SLOT = 1000, 20  # of one fit

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # a file or four per trial that nobody reads
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",  # Tune's own state, which grows with its trials, is thrown away at the end
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is ours: it must end the run, not only one fit()
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",  # else a box is printed in spite of verbose=0
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "OMP_NUM_THREADS": "1",
}
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # how Ray is told that its node's address is 127.0.0.1


class RayRunner(Runner):
    """The runner on Ray Tune; see ``Runner`` for the contract.

    Without an address Ray is started on this machine, reachable from this machine only and with a token of its own,
    and ended by ``close``. Workers are reused between packs. When one is lost, Ray Tune would go on with fewer at once
    (measured with 2.60), so the feed then ends, and the packs that are left are given to a fresh ``fit``.
    """

    name = "Ray Tune"

    def __init__(
        self,
        resources: ResourceSpec,
        *,
        address: str | None = None,
        cpus: int | None = None,
        callbacks: Sequence[Any] = (),
    ) -> None:
        self.resources, self._asked, self.callbacks = resources, resources, list(callbacks)
        self._temporary = tempfile.mkdtemp(prefix="pm-", dir="/tmp" if os.path.isdir("/tmp") else None)  # noqa: PTH112
        self._environment = _set_environment({**QUIET, **(token_mode() if address else LOOPBACK)})
        self._own, self._embedded = False, address is None
        self._growing = address is not None and resources.max_concurrent != "auto"
        try:
            self._connect(address, cpus)
            self.slots = self._limit(self._shares())
        except BaseException:
            self.close()
            raise

    def _connect(self, address: str | None, cpus: int | None) -> None:
        import ray

        logging.getLogger("ray").setLevel(logging.ERROR)
        if ray.is_initialized():
            return
        on_terminate = signal.getsignal(signal.SIGTERM)  # ray.init puts its own in place, which ends the process
        try:
            if address is None:
                _listen_on_loopback_only(self._environment)
                read_again()
                with _without_idle_servers():
                    ray.init(
                        address="local",
                        num_cpus=cpus or os.cpu_count(),
                        include_dashboard=False,
                        log_to_driver=False,
                        logging_level=logging.ERROR,
                        _temp_dir=self._temporary,
                    )
            else:
                _check_reachable(address)
                read_again()
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:  # Ray raises a bare one where its node has not started within 30 s
            if not isinstance(error, (OSError, RuntimeError, ValueError)) and type(error) is not Exception:
                raise
            which = "an embedded Ray" if address is None else f"the Ray cluster at {address}"
            raise UnreachableError(f"{which} can't be reached: {describe_error(error)}") from None
        self._own = True
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, on_terminate)

    def choose_device(self, choice: DeviceChoice) -> str:
        """Settle which kind of device all packs of a run train on, by what the cluster has at this moment."""
        device = choice.resolve(has_gpu=gives_gpus(_nodes(), self.resources), growing=self._growing)
        update: dict[str, Any] = {"device": device}
        if device == "cuda" and self._asked.gpus_per_pack == "auto":
            update["gpus_per_pack"] = choice.gpus
        self.resources = self._asked.model_copy(update=update)
        self.slots = self._limit(self._shares())
        return device

    def card(self) -> Card | None:
        """Return a GPU of the cluster, looked at by a task on its node; None where none is free soon."""
        if self._embedded:
            return card_here()
        import ray

        task = ray.remote(num_cpus=0, num_gpus=LOOKING_GPUS, max_retries=0)(card_here).remote()
        ready, _ = ray.wait([task], timeout=LOOKING_SECONDS)
        card: Card | None = ray.get(task) if ready else None
        if card is None:
            return None
        return replace(card, count=int(sum(node.get("GPU", 0) for node in _nodes())) or 1)

    def _shares(self) -> list[PackSlots]:
        """Look what the cluster's nodes have at this moment for packs."""
        return share_out(_nodes(), self.resources, growing=self._growing)

    def _limit(self, shares: Sequence[PackSlots]) -> int:
        """Return how many packs may be at work at once, or asked for where the cluster may grow."""
        fits, limit = sum(share.slots for share in shares), self.resources.max_concurrent
        if limit == "auto":
            return fits
        return limit if self._growing else min(fits, limit)

    def run(
        self, packs: Sequence[Pack], workload: Workload, tell: Callable[[Event], None], more: More | None = None
    ) -> None:
        """Train packs in their order, and then those that ``more`` gives, by one ``Tuner.fit``.

        Of very many the first, as a fit slows with its trials.
        """
        from ray import tune

        from phasemap.running.ray_feed import FreeSlots, PackedPlan, PackEvents, PackFeed, resources_of

        shares = self._shares()  # nodes may have come and gone since the last fit
        self.slots = self._limit(shares)
        most = max(MOST_PACKS, PACKS_PER_SLOT * self.slots)
        packs = packs[:most]
        feed = PackFeed([pack.pack_id for pack in packs], FreeSlots(self._shares, self._limit, shares), more, most)
        trainable = tune.with_parameters(train_one_pack, plan=PackedPlan(packs), workload=workload)
        tuner = tune.Tuner(
            tune.with_resources(trainable, resources_of),
            tune_config=tune.TuneConfig(  # the feed itself holds back what finds no room
                search_alg=feed, num_samples=-1, max_concurrent_trials=MOST_PACKS, reuse_actors=True
            ),
            run_config=tune.RunConfig(
                name=f"fit-{secrets.token_hex(4)}",
                storage_path=self._temporary,
                callbacks=[PackEvents(tell, feed), *self.callbacks],
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=0),
            ),
        )
        with redirect_stdout(sys.stderr), _quiet_logs():
            try:
                tuner.fit()
            except RuntimeError as error:  # Ray's memory monitor ends the whole fit, not the one trial
                for pack_id in feed.in_flight():
                    tell(Failed(pack_id=pack_id, error=describe_error(error), cause="memory"))

    def close(self) -> None:
        """End the embedded Ray, or leave the cluster, and remove its temporary files."""
        if self._own:
            import ray

            ray.shutdown()
        _set_environment(self._environment)
        if self._own:
            read_again()
            self._own = False
        shutil.rmtree(self._temporary, ignore_errors=True)


TRACKERS = {"TBX": "tensorboard", "MLflow": "mlflow", "Wandb": "wandb"}


def refuse_loggers(callbacks: Sequence[Any]) -> None:
    """UserError where a callback is a logger: it would see packs of networks, and write into a folder that goes."""
    from ray.tune.logger import LoggerCallback

    for callback in callbacks:
        if isinstance(callback, LoggerCallback):
            name = type(callback).__name__
            tracker = next((to for start, to in TRACKERS.items() if name.startswith(start)), None)
            way = f"phasemap run --track {tracker}" if tracker else "phasemap export RUN --table trials or curves"
            raise UserError(
                f"callbacks: {name} logs what Ray Tune calls trials, which are packs of networks here, into a folder "
                f"that is removed at the end; allowed: {way}, or a callback that is not a logger"
            )


def train_one_pack(config: Mapping[str, Any], plan: PackedPlan, workload: Workload) -> None:
    """Run as a Ray Tune function trainable: train one pack, reporting its share of progress and at last its counts."""
    from ray import tune

    from phasemap.running.ray_feed import pack_of

    pack = pack_of(config, plan)
    last = time.monotonic()

    def on_progress(share: float) -> None:
        nonlocal last
        if time.monotonic() - last >= REPORT_SECONDS:
            last = time.monotonic()
            tune.report({"pack_id": pack.pack_id, "progress": share})

    report = train_and_store(pack, replace(workload, device=config["device"]), on_progress)
    tune.report({"progress": 1.0, **report.as_metrics()})


def _nodes() -> list[Node]:
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _check_reachable(address: str) -> None:
    """OSError unless something answers at HOST:PORT; ``ray.init`` alone would wait for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()


def _listen_on_loopback_only(saved: dict[str, str | None]) -> None:
    """Give the embedded Ray a token of its own, and keep its ports to this machine also if Ray was imported before."""
    if not {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ):
        # Without a token Ray writes one into the home folder; the mode is set by Ray, and must not outlast this Ray.
        saved |= _set_environment({"RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_AUTH_MODE": None})
    constants = sys.modules.get("ray._private.ray_constants")
    if constants is not None:
        constants.ENABLE_RAY_CLUSTER = False  # type: ignore[attr-defined]


@contextmanager
def _without_idle_servers() -> Iterator[None]:
    """Leave out what an embedded Ray starts in vain: autoscaler, usage statistics' server, reader of workers' logs.

    ``ray.init`` has no switch for them (2.60), waits for the second before it goes on, and the third costs 1 % of a
    core as long as Ray runs. A Ray that has other names for them starts them all.
    """
    from ray._private.node import Node

    def start_api_server(node: Any, **_: Any) -> None:
        node._webui_url = ""

    idle = {"start_monitor": lambda _: None, "start_log_monitor": lambda _: None, "start_api_server": start_api_server}
    started = {name: getattr(Node, name, None) for name in idle}
    if None not in started.values():
        for name, nothing in idle.items():
            setattr(Node, name, nothing)
    try:
        yield
    finally:
        for name, start in started.items():
            if start is not None:
                setattr(Node, name, start)


def _set_environment(values: Mapping[str, str | None]) -> dict[str, str | None]:
    """Set (or with None remove) environment variables and return what they were."""
    before = {name: os.environ.get(name) for name in values}
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    return before


@contextmanager
def _quiet_logs() -> Iterator[None]:
    logger = logging.getLogger("ray.tune")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
