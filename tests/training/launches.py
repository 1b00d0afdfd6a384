"""Count what code asks of a device, without having one: launches, uploads, downloads and waits.

Tensors on ``meta`` have a device, shapes and types, but no numbers; so the path that a GPU takes runs without one, and
each operation is seen as PyTorch dispatches it, below ``vmap`` and autograd. Where the device is ``meta``, numbers that
are read from it are made up: zeros for a copy to the CPU, 1 for a single number.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

META = torch.device("meta")

COPIES = {"aten._to_copy", "aten.copy_", "aten._copy_from", "aten._copy_from_and_resize"}
READS_A_NUMBER = {"aten._local_scalar_dense", "aten.is_nonzero", "aten.equal"}
NEEDS_A_SIZE = {  # the shape of what they return depends on numbers, for which the host waits
    "aten.nonzero",
    "aten.masked_select",
    "aten._unique2",
    "aten.unique_dim",
    "aten.unique_consecutive",
    "aten.bincount",
}
INDEXING = {"aten.index", "aten.index_put", "aten.index_put_", "aten._unsafe_index_put", "aten._index_put_impl_"}
FREE = {"aten.empty", "aten.empty_like", "aten.empty_strided", "aten.new_empty", "aten.new_empty_strided"}
VIEWS = {"aten._unsafe_view", "aten.detach", "aten.alias", "aten._reshape_alias", "aten.lift", "aten.lift_fresh"}
FROM_THE_HOST = {torch.tensor, torch.as_tensor, torch.asarray, torch.Tensor.new_tensor}
BY_INDEX = {torch.Tensor.__getitem__, torch.Tensor.__setitem__}


class Launches(TorchDispatchMode):
    """Counts, while it is entered, the operations that touch tensors of one kind of device.

    ``launches`` are operations that compute there (views and empty memory are free; an operation may be several kernels
    on a card), ``uploads`` and ``downloads`` copies from and to the CPU, and ``waits`` what stops the host until the
    device has answered beside downloads: single numbers that are read, and results whose shape depends on numbers.
    ``strangers`` names the operations of which one operand, that is no single number, is on another device.
    """

    def __init__(self, device: torch.device = META) -> None:
        super().__init__()
        self.kind = device.type
        self.operations: Counter[str] = Counter()
        self.strangers: list[str] = []
        self.uploads = self.downloads = self.waits = 0
        self._host = _MadeOnHost(self)

    def __enter__(self) -> Launches:
        """Count from here."""
        self._host.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        """Count to here."""
        super().__exit__(*error)
        self._host.__exit__(*error)

    @property
    def launches(self) -> int:
        """Count the operations that computed something."""
        return self.operations.total()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name, operands = func._schema.name.replace("::", "."), _tensors((args, kwargs))
        here = [tensor for tensor in operands if tensor.device.type == self.kind]
        if here and name not in COPIES and any(t.ndim for t in operands if t.device.type != self.kind):
            self.strangers.append(name)
        self._count_wait(name, args, here)
        done = self._made_up(func, name, args, kwargs) if self.kind == "meta" else None
        if done is None:
            done = func(*args, **kwargs)
        self._count(func, name, operands, _tensors(done))
        return done

    def _count_wait(self, name: str, args: Any, here: list[torch.Tensor]) -> None:
        by_mask = name in INDEXING and any(t.dtype in (torch.bool, torch.uint8) for t in _tensors(args[1]))
        if here and (name in READS_A_NUMBER or name in NEEDS_A_SIZE or by_mask):
            self.waits += 1

    def _made_up(self, func: Any, name: str, args: Any, kwargs: Any) -> Any:
        """Return what ``meta`` refuses to give: numbers on the CPU; None for all else."""
        first = args[0] if args and isinstance(args[0], torch.Tensor) else None
        if first is None:
            return None
        if name in READS_A_NUMBER and first.device.type == self.kind:
            return torch.ones((), dtype=first.dtype).item()
        if name == "aten._to_copy" and first.device.type == self.kind and _is_cpu(kwargs.get("device")):
            return torch.zeros(first.shape, dtype=kwargs.get("dtype") or first.dtype)
        if name == "aten.copy_" and first.device.type == "cpu" and args[1].device.type == self.kind:
            return first.zero_()
        return None

    def _count(self, func: Any, name: str, operands: list[torch.Tensor], results: list[torch.Tensor]) -> None:
        source = {tensor.device.type for tensor in operands}
        target = {tensor.device.type for tensor in results}
        if name in COPIES and self.kind in source | target and len(source | target) > 1:
            up = self.kind in target
            self.uploads, self.downloads = self.uploads + up, self.downloads + (not up)
        elif self.kind in source | target and name not in FREE | VIEWS | READS_A_NUMBER and not _is_view(func):
            self.operations[name] += 1


class _MadeOnHost(TorchFunctionMode):
    """Counts tensors made from Python's numbers, which PyTorch copies to a device where no dispatch is seen."""

    def __init__(self, counter: Launches) -> None:
        super().__init__()
        self._counter = counter

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        done = func(*args, **(kwargs or {}))
        if (func in FROM_THE_HOST and not isinstance(args[0], torch.Tensor)) or func is torch.Tensor.new_tensor:
            self._counter.uploads += done.device.type == self._counter.kind
        elif func in BY_INDEX and args[0].device.type == self._counter.kind:
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            self._counter.uploads += sum(isinstance(one, list) for one in index)
        return done


def _tensors(values: Any) -> list[torch.Tensor]:
    return [value for value in tree_leaves(values) if isinstance(value, torch.Tensor)]


def _is_cpu(device: Any) -> bool:
    return device is not None and torch.device(device).type == "cpu"


def _is_view(func: Any) -> bool:
    """Whether an operation returns another look at its operand, and computes nothing."""
    returned = [result.alias_info for result in func._schema.returns]
    return any(alias is not None and not alias.is_write for alias in returned)
