"""A small real model to train: one hidden layer, 784-125-10, by plain SGD."""

import numpy as np
from numpy.typing import NDArray

INPUTS, HIDDEN, CLASSES = 784, 125, 10
EXAMPLES, BATCH, RATE = 60_000, 10, np.float32(0.05)
"""As many as MNIST has, which clients share equally, and their batches: McMahan et al. 2017, Section 3, B = 10."""
SHAPES = (INPUTS, HIDDEN), (HIDDEN,), (HIDDEN, CLASSES), (CLASSES,)

Floats = NDArray[np.float32]
Model = list[Floats]
"""Arrays of `SHAPES`: 99,385 parameters."""


def start() -> Model:
    """Small random parameters."""
    draw = np.random.default_rng(1)
    return [draw.normal(0, 0.05, shape).astype(np.float32) for shape in SHAPES]


def examples(seed: int, count: int) -> tuple[Floats, Floats]:
    """(count, INPUTS) images and (count, CLASSES) labels, drawn: of MNIST's shape, not MNIST."""
    draw = np.random.default_rng(seed)
    images = draw.random((count, INPUTS), np.float32)
    return images, np.eye(CLASSES, dtype=np.float32)[draw.integers(0, CLASSES, count)]


def trained(model: Model, seed: int, clients: int, epochs: int) -> Model:
    """The model after `epochs` over one client's examples, whole batches of them; the paper's E is 1, 5 or 20."""
    draw, count = np.random.default_rng([seed, 1]), EXAMPLES // clients // BATCH * BATCH
    images, labels = examples(seed, count)
    into, bias, out, offset = model = [part.copy() for part in model]
    for _ in range(epochs):
        for batch in draw.permutation(count).reshape(-1, BATCH):
            x = images[batch]
            hidden, odds = forward(x, *model)
            error = (odds - labels[batch]) / np.float32(BATCH)
            back = (error @ out.T) * (hidden > 0)
            out -= RATE * (hidden.T @ error)
            offset -= RATE * error.sum(0)
            into -= RATE * (x.T @ back)
            bias -= RATE * back.sum(0)
    return model


def forward(x: Floats, into: Floats, bias: Floats, out: Floats, offset: Floats) -> tuple[Floats, Floats]:
    """(hidden units, probabilities of the classes)."""
    hidden = np.maximum(x @ into + bias, 0)
    logits = hidden @ out + offset
    odds = np.exp(logits - logits.max(1, keepdims=True))
    return hidden, odds / odds.sum(1, keepdims=True)
