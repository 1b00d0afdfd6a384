"""What a program saves to go on after a kill: tensors, numbers, text and containers of them, read without pickle."""

from __future__ import annotations

import io
import random
import sys
from collections.abc import Callable, Mapping
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from typing import Any

import numpy as np


class StateError(ValueError):
    """A program's state can't be saved or put back; the message names the part."""


def state_of(source: Any) -> Any:
    """Take the state of an object with ``state_dict``, of dicts and lists of them, or by a pair of functions."""
    if is_pair(source):
        return source[0]()
    if hasattr(source, "state_dict"):
        return source.state_dict()
    if isinstance(source, Mapping):
        return {name: state_of(one) for name, one in source.items()}
    if isinstance(source, list | tuple):
        return [state_of(one) for one in source]
    raise StateError(
        f"state: {type(source).__name__} can't be saved; allowed: objects with state_dict, dicts and lists of them, "
        "or a pair of functions (get, set)"
    )


def put_back(source: Any, saved: Any) -> None:
    """Give back what ``state_of`` took."""
    if is_pair(source):
        source[1](saved)
    elif hasattr(source, "load_state_dict"):
        source.load_state_dict(saved)
    elif isinstance(source, Mapping):
        for name, one in source.items():
            put_back(one, saved[name])
    else:
        for one, part in zip(source, saved, strict=True):
            put_back(one, part)


def is_pair(source: Any) -> bool:
    """Whether a state is told by two functions: one that returns it, and one that takes it."""
    return isinstance(source, tuple) and len(source) == 2 and all(map(_plain_function, source))


def _plain_function(value: Any) -> bool:
    return callable(value) and not hasattr(value, "state_dict")


def plain(value: Any, place: str = "state") -> Any:
    """Return a state with plain containers; StateError where a part is neither tensor, number nor text."""
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value).__module__.split(".")[0] == "torch" and hasattr(value, "detach"):
        return value.detach()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {plain(key, place): plain(one, f"{place}[{key!r}]") for key, one in value.items()}
    if isinstance(value, list | tuple):
        items = [plain(one, f"{place}[{number}]") for number, one in enumerate(value)]
        return tuple(items) if isinstance(value, tuple) else items
    raise StateError(
        f"{place} is a {type(value).__module__}.{type(value).__qualname__}; allowed: tensors, numbers, text and "
        "containers of them"
    )


def dumped(content: Mapping[str, Any]) -> bytes:
    """Write a state as bytes."""
    import torch

    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    return buffer.getvalue()


def loaded(saved: bytes) -> dict[str, Any]:
    """Read what ``dumped`` wrote; nothing in it is executed. ValueError where it is damaged."""
    import torch

    try:
        content: dict[str, Any] = torch.load(io.BytesIO(saved), weights_only=True, map_location="cpu")
    except Exception as error:  # whatever a damaged file may raise
        raise ValueError(f"the saved state can't be read: {error}") from None
    return content


def import_torch() -> None:
    """Have torch imported, so that it is seeded from the first trial on."""
    import torch  # noqa: F401


def cuda_there() -> bool:
    """Whether torch finds a GPU."""
    import torch

    return torch.cuda.is_available()


def seed_all(seed: int) -> None:
    """Seed what a careless program may draw from: Python, NumPy and torch, also where it is imported later."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _TorchSeeder)]
    if "torch" in sys.modules:
        import torch

        torch.manual_seed(seed % 2**63)
    else:
        sys.meta_path.insert(0, _TorchSeeder(seed % 2**63))


class _TorchSeeder(MetaPathFinder):
    """Seeds torch as soon as a program has imported it, by whatever library and however late."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        """Return where torch is, with a loader that seeds it; nothing for other modules."""
        if name != "torch":
            return None
        sys.meta_path.remove(self)
        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def seeded(module: Any) -> None:
                execute(module)
                module.manual_seed(self.seed)

            spec.loader.exec_module = seeded  # type: ignore[method-assign]
        return spec


def random_states(streams: Mapping[str, np.random.Generator], torch_streams: Mapping[str, Any]) -> dict[str, Any]:
    """Return the states of all that ``seed_all`` seeds, and of a trial's own streams."""
    kind, keys, position, has_gauss, gauss = np.random.get_state()  # noqa: NPY002
    found: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": [str(kind), [int(key) for key in keys], int(position), int(has_gauss), float(gauss)],
        "streams": {purpose: _generator_state(one) for purpose, one in streams.items()},
        "torch_streams": {purpose: one.get_state() for purpose, one in torch_streams.items()},
    }
    if "torch" in sys.modules:
        import torch

        found["torch"] = torch.get_rng_state()
        if torch.cuda.is_initialized():
            found["cuda"] = torch.cuda.get_rng_state_all()
    return found


def put_back_random(saved: Mapping[str, Any], rng: Callable[[str], Any], torch_rng: Callable[[str], Any]) -> None:
    """Give back what ``random_states`` returned."""
    version, keys, gauss = saved["python"]
    random.setstate((version, tuple(keys), gauss))
    kind, words, position, has_gauss, cached = saved["numpy"]
    np.random.set_state((kind, np.array(words, dtype=np.uint32), position, has_gauss, cached))  # noqa: NPY002
    for purpose, state in saved["streams"].items():
        _put_back_generator(rng(purpose), state)
    for purpose, state in saved["torch_streams"].items():
        torch_rng(purpose).set_state(state)
    if "torch" in saved:
        import torch

        torch.set_rng_state(saved["torch"])
        if "cuda" in saved and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(saved["cuda"])


def _generator_state(generator: np.random.Generator) -> dict[str, Any]:
    """Return a PCG64's state; its whole numbers of 128 bits as text."""
    state: Any = generator.bit_generator.state
    inner = {name: str(value) for name, value in state["state"].items()}
    return {"state": inner, "has_uint32": state["has_uint32"], "uinteger": state["uinteger"]}


def _put_back_generator(generator: np.random.Generator, saved: Mapping[str, Any]) -> None:
    inner = {name: int(value) for name, value in saved["state"].items()}
    state: Any = generator.bit_generator.state
    generator.bit_generator.state = {**state, **saved, "state": inner}
