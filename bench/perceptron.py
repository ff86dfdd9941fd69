"""A small real model to train: one hidden layer, 784-125-10, by plain SGD."""

import numpy as np
from numpy.typing import NDArray

INPUTS, HIDDEN, CLASSES = 784, 125, 10
EXAMPLES, EPOCHS, BATCH, RATE = 600, 5, 10, np.float32(0.05)
"""A client's share of MNIST among 100, and its work of a round: McMahan et al. 2017, Section 3, with E = 5, B = 10."""
SHAPES = (INPUTS, HIDDEN), (HIDDEN,), (HIDDEN, CLASSES), (CLASSES,)
DIM = sum(int(np.prod(shape)) for shape in SHAPES)


def start() -> NDArray[np.float32]:
    """(DIM,) of small random parameters."""
    return np.random.default_rng(1).normal(0, 0.05, DIM).astype(np.float32)


def examples(seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(EXAMPLES, INPUTS) images and (EXAMPLES, CLASSES) labels, drawn: of MNIST's shape and size, not MNIST."""
    draw = np.random.default_rng(seed)
    images = draw.random((EXAMPLES, INPUTS), np.float32)
    return images, np.eye(CLASSES, dtype=np.float32)[draw.integers(0, CLASSES, EXAMPLES)]


def trained(flat: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """(DIM,) after `EPOCHS` over one client's examples."""
    draw = np.random.default_rng([seed, 1])
    images, labels = examples(seed)
    into, bias, out, offset = (part.copy() for part in unflattened(flat))
    for _ in range(EPOCHS):
        for batch in draw.permutation(EXAMPLES).reshape(-1, BATCH):
            x = images[batch]
            hidden, odds = forward(x, into, bias, out, offset)
            error = (odds - labels[batch]) / np.float32(BATCH)
            back = (error @ out.T) * (hidden > 0)
            out -= RATE * (hidden.T @ error)
            offset -= RATE * error.sum(0)
            into -= RATE * (x.T @ back)
            bias -= RATE * back.sum(0)
    return np.concatenate([part.ravel() for part in (into, bias, out, offset)])


def forward(x: NDArray[np.float32], *parts: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(hidden units, probabilities of the classes)."""
    into, bias, out, offset = parts
    hidden = np.maximum(x @ into + bias, 0)
    logits = hidden @ out + offset
    odds = np.exp(logits - logits.max(1, keepdims=True))
    return hidden, odds / odds.sum(1, keepdims=True)


def unflattened(flat: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Arrays of `SHAPES`, views."""
    parts, at = [], 0
    for shape in SHAPES:
        size = int(np.prod(shape))
        parts.append(flat[at : at + size].reshape(shape))
        at += size
    return parts
