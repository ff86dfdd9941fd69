"""Plain federated averaging: the server reads each update's bytes and adds them to a running mean."""

import numpy as np
from numpy.typing import NDArray

from bench.measure import Work


def server(update: NDArray[np.float32], clients: int) -> Work:
    """The server's work on `clients` copies of an update that arrive one by one."""
    arrived = update.tobytes()

    def work() -> None:
        total = np.zeros(update.size, np.float64)
        for _ in range(clients):
            total += np.frombuffer(arrived, np.float32)
        total /= clients
        np.testing.assert_allclose(total[:1], update[:1], rtol=1e-6)

    return work
