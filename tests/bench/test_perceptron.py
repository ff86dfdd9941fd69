"""The model that the suite `flower` trains learns: what it takes to train is what a real one of its size takes."""

import numpy as np

from bench import perceptron

CLIENTS = 100


def loss(model, seed):
    images, labels = perceptron.examples(seed, perceptron.EXAMPLES // CLIENTS)
    _, odds = perceptron.forward(images, *model)
    return -np.log((odds * labels).sum(1)).mean()


def test_training_lowers_the_loss_of_the_clients_own_examples_and_nothing_else_changes():
    before = perceptron.start()
    after = perceptron.trained(before, 3, CLIENTS, 5)
    assert sum(part.size for part in after) == 99_385
    assert {part.dtype for part in after} == {np.dtype(np.float32)}
    assert loss(after, 3) < loss(before, 3)
    assert all(map(np.array_equal, before, perceptron.start()))
    assert not any(map(np.array_equal, perceptron.trained(before, 4, CLIENTS, 5), after))
    assert loss(after, 3) < loss(perceptron.trained(before, 3, CLIENTS, 1), 3)
