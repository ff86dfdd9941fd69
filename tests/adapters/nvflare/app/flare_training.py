"""A training script: moves the parameters by what test and script both can compute; fails, or waits, where told."""

import argparse
import os
import socket

import numpy as np
import nvflare.client as flare
from nvflare.apis.dxo import MetaKey
from nvflare.app_common.np.constants import NPConstants


def steps_of(number: int) -> int:
    return 20 + 7 * number


def move_of(number: int, current_round: int, size: int) -> np.ndarray:
    """Within a clip of 0.5."""
    return np.random.default_rng([number, current_round]).uniform(-0.5, 0.5, size)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--fails", type=int, nargs=2, default=(0, 0), help="site, round")
    parser.add_argument("--reports", type=int, help="a port: site 2 tells its process id there in round 1, and waits")
    args = parser.parse_args()
    flare.init()
    number = int(flare.get_site_name().removeprefix("site-"))
    while flare.is_running():
        received = flare.receive()
        if (number, received.current_round) == tuple(args.fails):
            raise RuntimeError("no patients today")
        if args.reports and (number, received.current_round) == (2, 1):
            with socket.create_connection(("127.0.0.1", args.reports)) as link:
                link.sendall(b"%d\n" % os.getpid())
                link.recv(1)
        parameters = received.params[NPConstants.NUMPY_KEY]
        move = move_of(number, received.current_round, parameters.size).astype(parameters.dtype)
        flare.send(
            flare.FLModel(
                params={NPConstants.NUMPY_KEY: parameters + move},
                metrics={"loss": 0.1 * number},
                meta={MetaKey.NUM_STEPS_CURRENT_ROUND: steps_of(number)},
            )
        )


if __name__ == "__main__":
    main()
