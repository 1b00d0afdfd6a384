"""A tiny Transformer by Hugging Face's Trainer: of which topic is a text of 16 words?"""

import numpy as np
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments


def texts(n, random):
    """Return texts of 16 of 40 words: each fourth is of the text's topic, which has ten words; others are of any."""
    topics = random.integers(4, size=n)
    words = random.integers(40, size=(n, 16))
    words[:, ::4] = 10 * topics[:, None] + random.integers(10, size=(n, 4))
    return [{"input_ids": text.tolist(), "labels": int(topic)} for text, topic in zip(words, topics, strict=True)]


def accuracy(found):
    """Return the share of texts whose topic is found."""
    return {"accuracy": float((found.predictions.argmax(1) == found.label_ids).mean())}


def train(
    *,
    learning_rate: float = 3e-3,
    layers: int = 1,
    width: int = 32,
    epochs: int = 5,
):
    """Train one Transformer."""
    rows = texts(800, np.random.default_rng(0))
    config = BertConfig(
        vocab_size=40,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=2 * width,
        max_position_embeddings=16,
        num_labels=4,
    )
    arguments = TrainingArguments(
        output_dir="checkpoints",
        learning_rate=learning_rate,
        num_train_epochs=epochs,
        per_device_train_batch_size=50,
        per_device_eval_batch_size=400,
        eval_strategy="epoch",
        save_strategy="no",
        seed=0,
        use_cpu=True,
        report_to="none",
        disable_tqdm=True,
    )
    trainer = Trainer(
        model=BertForSequenceClassification(config),
        args=arguments,
        train_dataset=rows[:400],
        eval_dataset=rows[400:],
        compute_metrics=accuracy,
    )
    print(trainer.train().metrics, trainer.evaluate())


if __name__ == "__main__":
    train()
