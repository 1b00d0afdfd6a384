"""The encoder-only Transformer over the two tokens of modular arithmetic (Vaswani et al. 1706.03762)."""

from __future__ import annotations

import torch
from torch import nn

from phasemap.study.networks import NetworkTrial
from phasemap.training.initial import initial_embedding, initial_matrix

TOKENS = 2


class Block(nn.Module):
    """Self-attention over the tokens and an MLP, each added to its input; no biases, no norm."""

    query: nn.Parameter  # (d, d)
    key: nn.Parameter
    value: nn.Parameter
    out: nn.Parameter
    up: nn.Parameter  # (hidden, d)
    down: nn.Parameter  # (d, hidden)

    def __init__(self, trial: NetworkTrial, layer: int) -> None:
        super().__init__()
        d, hidden = trial.width, trial.mlp_factor * trial.width
        shapes = {
            "query": (d, d),
            "key": (d, d),
            "value": (d, d),
            "out": (d, d),
            "up": (hidden, d),
            "down": (d, hidden),
        }
        for name, shape in shapes.items():
            setattr(self, name, nn.Parameter(initial_matrix(trial, f"{name}_{layer}", shape)))
        self._heads = trial.heads
        self._square = trial.activation == "square"

    def attend(self, queries: torch.Tensor, keys: list[torch.Tensor], values: list[torch.Tensor]) -> torch.Tensor:
        """Return what one token (B, d) takes from all tokens, each (B, d), by scaled dot products per head."""
        rows, d = queries.shape
        split = (rows, self._heads, d // self._heads)
        query = queries.view(split)
        scores = [(query * key.view(split)).sum(dim=2) for key in keys]  # each (B, H)
        shares = torch.softmax(torch.stack(scores, dim=2) * split[2] ** -0.5, dim=2)  # (B, H, tokens)
        taken = torch.stack([shares[:, :, i, None] * value.view(split) for i, value in enumerate(values)]).sum(dim=0)
        return taken.reshape(rows, d) @ self.out.t()

    def think(self, token: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Return the MLP's answer to one token (B, d); dropout acts on its hidden units before phi."""
        hidden = token @ self.up.t()
        hidden = hidden if mask is None else hidden * mask
        return (hidden.square() if self._square else torch.relu(hidden)) @ self.down.t()


class Transformer(nn.Module):
    """Embed both tokens, pass them through the blocks, and read the answer off the last token.

    Embedding and read-out start with standard deviation 1 (and are one matrix if tied), the scores are divided by the
    width, and there is no positional embedding: addition and multiplication are symmetric. What no later block needs is
    not computed: the first block's projections are made once per token value (p rows, not B), and the last block's
    query and MLP for the last token only.
    """

    def __init__(self, trial: NetworkTrial, n_classes: int) -> None:
        super().__init__()
        self.E = nn.Parameter(initial_embedding(trial, "embedding", (n_classes, trial.width)))
        self.blocks = nn.ModuleList([Block(trial, layer) for layer in range(trial.depth)])
        if not trial.weight_tying:
            self.W = nn.Parameter(initial_embedding(trial, "readout", (n_classes, trial.width)))
        self._tied = trial.weight_tying

    @staticmethod
    def dropout_width(trial: NetworkTrial) -> int:
        """Return how many hidden units of an example dropout may silence, over all blocks and tokens."""
        return trial.mlp_factor * trial.width * (TOKENS * (trial.depth - 1) + 1)

    def forward(
        self, pairs: torch.Tensor, mask: torch.Tensor | None = None, n_train: int | None = None
    ) -> torch.Tensor:
        """Return scores (B, p) of pairs (B, 2); ``mask`` is 0 or the dropout scale, block by block, token by token."""
        del n_train  # only BatchNorm depends on it
        places = [pairs[:, i] for i in range(TOKENS)]
        tokens = [self.E[place] for place in places]
        parts = TOKENS * (len(self.blocks) - 1) + 1
        masks = list(mask.chunk(parts, dim=1)) if mask is not None else [None] * parts
        for layer, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            queries, keys, values = (
                self._projected(weights, tokens, places, first=layer == 0)
                for weights in (block.query, block.key, block.value)
            )
            wanted = range(TOKENS) if layer < len(self.blocks) - 1 else [TOKENS - 1]
            tokens = [tokens[i] + block.attend(queries[i], keys, values) for i in wanted]
            tokens = [token + block.think(token, masks.pop(0)) for token in tokens]
        readout = self.E if self._tied else self.W
        return tokens[-1] @ readout.t() / readout.shape[1]

    def _projected(
        self, weights: torch.Tensor, tokens: list[torch.Tensor], places: list[torch.Tensor], *, first: bool
    ) -> list[torch.Tensor]:
        if not first:
            return [token @ weights.t() for token in tokens]
        table = self.E @ weights.t()  # (p, d)
        return [table[place] for place in places]
