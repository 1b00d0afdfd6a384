"""What packs get of a cluster, and how many fit: on each node as many as its CPUs and GPUs hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from phasemap.running.devices import usual_device
from phasemap.study.errors import UserError
from phasemap.study.spec import ResourceSpec

Node = Mapping[str, float]  # CPU and GPU of one node


@dataclass(frozen=True, slots=True, kw_only=True)
class PackSlots:
    """Packs of one kind: where they train, what each gets, and how many fit at once."""

    device: str
    cpus: float
    gpus: float
    slots: int


def share_out(nodes: Sequence[Node], resources: ResourceSpec, *, growing: bool = False) -> list[PackSlots]:
    """Share a cluster out among packs: one kind, or with ``device: any`` one on GPUs and one on the CPUs left.

    UserError if no pack fits, unless the cluster is ``growing``: then the slots may be none yet.
    """
    if resources.device == "cuda" and not any(node.get("GPU", 0) for node in nodes) and not growing:
        raise UserError("resources.device is cuda, but Ray has no GPU; allowed: auto or cpu")
    shares = _kinds(nodes, resources)
    if not growing and not any(share.slots for share in shares):
        raise UserError(
            f"resources: a pack needs {shares[0].cpus:g} CPUs and {shares[0].gpus:g} GPUs of one node, but Ray has "
            f"{', '.join(_words(node) for node in nodes) or 'no node'}; allowed: fewer, "
            "or on a cluster that grows resources.max_concurrent: how many packs to ask for at once"
        )
    return shares


def gives_gpus(nodes: Sequence[Node], resources: ResourceSpec) -> bool:
    """Whether packs get GPUs if they may: as ``gpus_per_pack`` says, or where a node has one."""
    gpus = resources.gpus_per_pack
    return any(node.get("GPU", 0) for node in nodes) if gpus == "auto" else gpus > 0


def _kinds(nodes: Sequence[Node], resources: ResourceSpec) -> list[PackSlots]:
    cpus, gpus, has_gpu = float(resources.cpus_per_pack), resources.gpus_per_pack, gives_gpus(nodes, resources)
    usual = usual_device(has_gpu=has_gpu)
    device = usual if resources.device == "auto" else resources.device
    if gpus != "auto":
        return [_share(usual if device == "any" else device, cpus, float(gpus), nodes)]
    shares = []
    if device == "cuda" or (device == "any" and has_gpu):
        shares.append(_share("cuda", cpus, 1.0, nodes))
        nodes = [{"CPU": node.get("CPU", 0) - cpus * _fits(node, cpus, 1.0)} for node in nodes]
    if device != "cuda":
        shares.append(_share("cpu", cpus, 0.0, nodes))
    return shares


def _share(device: str, cpus: float, gpus: float, nodes: Sequence[Node]) -> PackSlots:
    return PackSlots(device=device, cpus=cpus, gpus=gpus, slots=sum(_fits(node, cpus, gpus) for node in nodes))


def _fits(node: Node, cpus: float, gpus: float) -> int:
    """Count the packs that fit on a node; a trace more than a whole number is Ray's rounding."""
    needs = {"CPU": cpus, "GPU": gpus}
    return max(0, min(int(node.get(name, 0) / need + 1e-9) for name, need in needs.items() if need))


def _words(node: Node) -> str:
    return f"{node.get('CPU', 0):g} and {node.get('GPU', 0):g}"
