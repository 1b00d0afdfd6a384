"""A network of Lightning on scikit-learn's digits."""

import lightning
import torch
from sklearn.datasets import load_digits

import phasemap as pm
from phasemap.adapters.lightning import Reporter


class Net(lightning.LightningModule):
    """Two layers with dropout."""

    def __init__(self, width, learning_rate, dropout):
        super().__init__()
        self.learning_rate = learning_rate
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(64, width), torch.nn.ReLU(), torch.nn.Dropout(dropout), torch.nn.Linear(width, 10)
        )

    def training_step(self, batch, _):
        """Return the loss of a batch."""
        loss = torch.nn.functional.cross_entropy(self.layers(batch[0]), batch[1])
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch, _):
        """Log how many digits are recognized."""
        self.log("test_accuracy", (self.layers(batch[0]).argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self):
        """Return the optimizer."""
        return torch.optim.AdamW(self.parameters(), lr=self.learning_rate)


@pm.program(quantities={"train_loss": "loss", "test_accuracy": "accuracy"})
def train(
    trial: pm.TrialContext,
    *,
    learning_rate: float = 1e-3,
    dropout: float = 0.0,
    width: int = 64,
    epochs: int = 8,
):
    """Train one network."""
    x, y = load_digits(return_X_y=True)
    rows = torch.utils.data.TensorDataset(torch.tensor(x / 16, dtype=torch.float32), torch.tensor(y))
    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=[Reporter(trial)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(
        Net(width, learning_rate, dropout),
        torch.utils.data.DataLoader(torch.utils.data.Subset(rows, range(600)), batch_size=100, shuffle=True),
        torch.utils.data.DataLoader(torch.utils.data.Subset(rows, range(600, len(y))), batch_size=1197),
    )
