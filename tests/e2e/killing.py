"""Runs rounds among processes that are killed: `python killing.py FOLDER FAMILY FIRST_SEED ROUNDS`.

One JSON object a line tells how each round ended, for a test to judge. Loads everything once and forks, so that a
process costs little; a process that starts again has nothing but its journal.
"""

import json
import os
import random
import signal
import socket
import sys
import threading
import traceback
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import peers

import secagg
from secagg import Credentials, Session
from secagg.testing import SeededEntropy, small_keys
from secagg_protocols import CkksSum, PaillierKeys, PaillierSum, PairwiseMasking

KEY_BITS = 256
SHARED = "paillier, 2 of 3"
FAMILIES = {
    "masks": {
        "secagg": (5, lambda: PairwiseMasking(threshold=3)),
        "secagg+": (6, lambda: PairwiseMasking(neighbours=4)),
        "active": (4, lambda: PairwiseMasking(threshold=3, adversary="active", corrupt=0.0)),
    },
    "ciphertexts": {
        "ckks": (5, lambda: CkksSum(holders=2)),
        "paillier": (5, lambda: PaillierSum(KEY_BITS)),
        SHARED: (5, lambda: PaillierSum(keys=shared_keys())),
    },
}
"""{name: {kind: (parties, its scheme)}}."""
PATIENCE = 60
"""Seconds for one round; a round that takes them is stuck."""
SERVER = "server"
CALLS = {True: 300, False: 70}
"""About as many calls to the system as the server or a client makes in a round."""


@dataclass
class Plan:
    """What befalls one process: at which call each life ends, and what comes then."""

    deaths: list[tuple[int, bool]] = field(default_factory=list)
    comes_back: bool = True
    is_put_back: bool = False


class Killing:
    """One round and its processes, by seed."""

    def __init__(self, folder, kinds, seed):
        draw = random.Random(seed)
        kind = draw.choice(sorted(kinds))
        n, make = kinds[kind]
        self.folder, self.kind, self.scheme = folder, kind, make()
        self.session = Session.create(range(n), np.zeros(peers.DIM, np.uint16), context=peers.CONTEXT)
        self.credentials = Credentials.generate(range(n), os.urandom) if self.scheme.authenticated else {}
        self.plans = {name: Plan() for name in (SERVER, *range(n))}
        for _ in range(draw.randint(1, 5)):
            name = draw.choice([SERVER, *range(n)])
            self.plans[name].deaths.append((draw.randint(1, CALLS[name == SERVER]), draw.random() < 0.5))
        for party in range(n):
            self.plans[party].comes_back = draw.random() < 0.85
            self.plans[party].is_put_back = draw.random() < 0.35
        self.kills, self.put_back, self.lost, self.running = 0, [], [], {}
        self.news, self.tell = os.pipe()
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def run(self):
        os.chdir(self.folder)
        self.listener.bind("socket")
        self.listener.listen(64)
        try:
            for name in self.plans:
                self.start(name)
            while SERVER in self.running.values():
                self.bury(*os.wait())
        finally:
            self.stop()
        return {
            "kind": self.kind,
            "kills": self.kills,
            "parties": len(self.session.parties),
            "put_back": self.put_back,
            "lost": self.lost,
        }

    def start(self, name):
        """A new life of a process."""
        deaths = self.plans[name].deaths
        death = deaths.pop(0) if deaths else None
        child = os.fork()
        if child:
            self.running[child] = name
            return
        code = 1
        try:
            signal.alarm(0)
            if death is not None:
                peers.Mortal(*death)
            code = self.live(name)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def live(self, name):
        if name == SERVER:
            roster = self.credentials[0].roster if self.credentials else None
            return peers.serve(self.scheme, self.session, roster, self.listener, self.news, self.lost)
        return peers.take_part(self.scheme, self.session, name, self.credentials.get(name))

    def bury(self, child, status):
        """What follows the end of one process."""
        name = self.running.pop(child)
        plan = self.plans[name]
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            self.kills += 1
            if not plan.comes_back:
                self.give_up(name)
                return
            if plan.is_put_back:
                self.turn_back(name)
            self.start(name)
        elif os.waitstatus_to_exitcode(status) in (peers.STALE, peers.REFUSED):
            self.give_up(name)
        elif os.waitstatus_to_exitcode(status) != peers.ENDED:
            raise RuntimeError(f"{name} ended with status {status}")

    def turn_back(self, party):
        """Put the state of an earlier step in the place of the newest."""
        states = sorted(Path().glob(f"party-{party}.at-*"), key=lambda path: int(path.name.rpartition("-")[2]))
        if len(states) > 1:
            Path(f"party-{party}").write_bytes(states[-2].read_bytes())
            self.put_back.append(party)

    def give_up(self, party):
        self.lost.append(party)
        os.write(self.tell, bytes([party]))

    def stop(self):
        for child in self.running:
            os.kill(child, signal.SIGKILL)
        for child in self.running:
            os.waitpid(child, 0)
        self.listener.close()
        os.close(self.news)
        os.close(self.tell)


@cache
def shared_keys():
    """The same in every process, and quick to break."""
    return PaillierKeys.generate((0, 1, 3), 2, KEY_BITS, SeededEntropy(b"killing"))


def main(folder, kinds, first, rounds):
    for n, make in kinds.values():
        secagg.aggregate({i: np.zeros(peers.DIM, np.uint16) for i in range(n)}, make())  # loads every kernel
    assert threading.active_count() == 1, "a process with threads cannot fork"
    for seed in range(first, first + rounds):
        place = folder / str(seed)
        place.mkdir()
        signal.alarm(PATIENCE)
        report = Killing(place, kinds, seed).run()
        signal.alarm(0)
        sys.stdout.write(json.dumps({"seed": seed, **report}) + "\n")
        sys.stdout.flush()


def stuck(_signal, _frame):
    raise TimeoutError(f"no end within {PATIENCE} seconds")


if __name__ == "__main__":
    signal.signal(signal.SIGALRM, stuck)
    with small_keys(KEY_BITS):
        main(Path(sys.argv[1]).resolve(), FAMILIES[sys.argv[2]], int(sys.argv[3]), int(sys.argv[4]))
