"""Random numbers drawn on the device: a hash of a key and a counter, in few passes and with nothing to upload.

A network's numbers are those of its key, a draw's number and a place, so that they are the same in any pack and on any
device. NumPy's streams, which the CPU's kernels draw from, would cross to the device at every step.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from phasemap.study.networks import NetworkTrial
from phasemap.tasks.streams import stream_key
from phasemap.training.costs import AHEAD
from phasemap.training.dropout import RESOLUTION

MIX = 0xD6E8FEB86659FD93  # both factors of the 64-bit mixer
PLACE, DRAW = 0x9E3779B97F4A7C15, 0xD1B54A32D192ED03  # odd: how far apart neighbouring places and draws are hashed
WORD_SHORTS = 4  # 16-bit numbers of a 64-bit one


class CounterStream:
    """64-bit numbers of K networks: (K, count) a draw.

    The mixer is that of Degski (two rounds of an xor by the upper half and a product, and an xor): here each xor is one
    pass over the halves, because PyTorch shifts signed numbers only.
    """

    def __init__(self, keys: Sequence[int], count: int, device: torch.device) -> None:
        signed = np.array([key % 2**64 for key in keys], dtype=np.uint64).view(np.int64)
        self._keys = torch.from_numpy(signed).to(device)[:, None]  # (K, 1)
        self._places = torch.arange(count, device=device) * _signed(PLACE)  # (count,)

    def draw(self, number: int | torch.Tensor) -> torch.Tensor:
        """Return the numbers (K, count) of one draw, in int64; six passes over them and one over the keys.

        The draw's number may be a tensor (), which a CUDA graph reads anew each time.
        """
        far = number.long() * _signed(DRAW) if isinstance(number, torch.Tensor) else _signed(number * DRAW)
        return self._mixed(torch.add(self._keys + far, self._places))

    def draws(self, numbers: range) -> torch.Tensor:
        """Return several draws at once: (draws, K, count), in as many passes as one takes."""
        far = torch.arange(numbers.start, numbers.stop, device=self._places.device) * _signed(DRAW)
        return self._mixed(torch.add(self._keys + far[:, None, None], self._places))

    @staticmethod
    def _mixed(words: torch.Tensor) -> torch.Tensor:
        """Mix 64-bit numbers (..., count) in place and return them."""
        low, high = words.view(torch.int32).unflatten(-1, (-1, 2)).unbind(-1)
        low.bitwise_xor_(high)
        words.mul_(_signed(MIX))
        low.bitwise_xor_(high)
        words.mul_(_signed(MIX))
        low.bitwise_xor_(high)
        return words


class DeviceMasks:
    """Dropout masks of K networks over the units of B examples that dropout may silence, drawn on the device.

    As in ``DropoutMasks`` each unit of each example gets a 16-bit number a step, of (seed, step, width) and its place,
    and is kept if the number is at least ``rate * 2**16``: higher rates drop more of the same units.
    """

    def __init__(self, trials: Sequence[NetworkTrial], rows: int, width: int, device: torch.device) -> None:
        self._shape = (len(trials), rows, width)
        self._stream = CounterStream(
            [stream_key("dropout_on_device", trial.seed, width) for trial in trials],
            -(-rows * width // WORD_SHORTS),
            device,
        )
        cuts = [min(round(trial.dropout * RESOLUTION), RESOLUTION - 1) for trial in trials]
        self._lowest = torch.tensor(cuts, device=device).sub(RESOLUTION // 2).short()[:, None, None]  # (K, 1, 1)
        self.scale = torch.tensor([RESOLUTION / (RESOLUTION - cut) for cut in cuts], device=device)[:, None, None]

    def kept(self, step: int | torch.Tensor) -> torch.Tensor:
        """Return which units are kept (K, B, width) in one step."""
        networks, rows, width = self._shape
        numbers = self._stream.draw(step).view(torch.int16)[:, : rows * width].view(networks, rows, width)
        return numbers.ge(self._lowest)


class DeviceBatches:
    """Minibatches of K networks with n training examples each, whose orders are drawn on the device.

    As in ``Batches`` the examples come in a new order each epoch, cut without a remainder, and training sets of
    different size see their common examples in the same order. An order is that of 64-bit numbers. Batches are made for
    ``ahead`` steps at once, about an epoch's or more: what each step would launch is launched once for all of them.
    """

    def __init__(self, trials: Sequence[NetworkTrial], dataset_name: str, n_train: int, device: torch.device) -> None:
        size = trials[0].batch_size
        assert isinstance(size, int)
        if size > n_train:
            raise ValueError(f"batch_size {size} is larger than the training set of {n_train} examples")
        self.size, self._n_train = size, n_train
        keys = [stream_key("minibatches_on_device", trial.seed, dataset_name) for trial in trials]
        self._stream = CounterStream(keys, n_train, device)
        self.ahead = max(AHEAD, n_train // size)
        self._made: tuple[int, torch.Tensor] | None = None  # a block's number and its batches

    def rows(self, step: int) -> torch.Tensor:
        """Return the training examples (K, batch size) of one step, counted from 1."""
        block, place = divmod(step - 1, self.ahead)
        if self._made is None or self._made[0] != block:
            self._made = block, self.block(block)
        return self._made[1][place]

    def block(self, number: int) -> torch.Tensor:
        """Return the training examples (ahead, K, batch size) of the steps from ``number * ahead + 1`` on."""
        start = number * self.ahead * self.size
        end = start + self.ahead * self.size
        first = start // self._n_train
        epochs = self._stream.draws(range(first, (end - 1) // self._n_train + 1))  # (E, K, n)
        orders = epochs.argsort(dim=2, stable=True).transpose(0, 1).flatten(1)  # (K, E n)
        begin = start - first * self._n_train
        wanted = orders[:, begin : begin + self.ahead * self.size]
        return wanted.unflatten(1, (self.ahead, self.size)).transpose(0, 1)


def _signed(number: int) -> int:
    """Return the 64-bit number with the same bits and a sign."""
    number %= 2**64
    return number - 2**64 if number >= 2**63 else number
