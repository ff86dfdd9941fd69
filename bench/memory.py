"""The server's peak memory: it runs in a process of its own, this module's, and its clients in the caller's.

What passes between them is bytes, so that the process holds what a server on a machine of its own would hold.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import IO

import numpy as np

import secagg
from bench.machine import ROOT
from bench.options import Tell
from bench.replay import BITS, Cohort, update_of
from secagg import Coordinator, Participant, Session
from secagg.scheme import Scheme
from secagg_protocols import PairwiseMasking

_NUMBER = 4  # bytes of a length, or of a party's index


def peaks(cohort: Cohort, tell: Tell) -> tuple[int, int]:
    """Peak resident bytes of a server's process before a round of `cohort` (none lost), and after it.

    Raises AssertionError where the sum is wrong, and CalledProcessError where the server fails.
    """
    session = Session.create(range(cohort.clients), update_of(cohort.dim), bits=BITS)
    command = [sys.executable, "-m", "bench.memory", str(cohort.neighbours or 0)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        _send(server.stdin, session.to_bytes())
        _answer(Cohort(cohort.clients, cohort.dim, cohort.neighbours).scheme, session, server, tell)
        total = np.frombuffer(_receive(server.stdout), np.uint64)
        before, after = np.frombuffer(_receive(server.stdout), np.uint64).tolist()
    if server.returncode:
        raise subprocess.CalledProcessError(server.returncode, command)
    one = session.encoding.encode(update_of(cohort.dim), 1, os.urandom)[: cohort.dim].astype(np.uint64)
    np.testing.assert_array_equal(total, one * np.uint64(cohort.clients))
    return before, after


def _answer(scheme: Scheme, session: Session, server: "subprocess.Popen[bytes]", tell: Tell) -> None:
    """All clients, until the server sends an empty ask."""
    clients = {party: Participant(scheme, session, party) for party in session.parties}
    update = update_of(session.encoding.entries)
    assert server.stdin is not None
    assert server.stdout is not None
    asked = 0
    while ask := _receive(server.stdout):
        party = int.from_bytes(ask[:_NUMBER], "little")
        reply = clients[party].answer(ask[_NUMBER:], update)
        assert reply is not None
        _send(server.stdin, reply)
        asked += 1
        if asked % 16 == 0:
            tell(f"server's memory, message {asked} of {4 * len(clients)}")


def main() -> None:
    """The server's process: a round over standard input and output, then the sum and the two peaks."""
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    scheme = PairwiseMasking(int(sys.argv[1]) or None)
    secagg.aggregate({i: np.zeros(4, np.float32) for i in range(4)}, PairwiseMasking())  # kernels are loaded
    session = Session.from_bytes(_receive(source))
    before = peak_resident()
    coordinator = Coordinator(scheme, session)
    while not coordinator.done:
        for party, ask in coordinator.asks().items():
            _send(sink, session.index(party).to_bytes(_NUMBER, "little") + ask)
            coordinator.receive(party, _receive(source))
        coordinator.close_phase()
    out = coordinator.result
    assert out is not None
    after = peak_resident()
    _send(sink, b"")
    _send(sink, out.ring_sum.astype(np.uint64).tobytes())
    _send(sink, np.array([before, after], np.uint64).tobytes())


def peak_resident() -> int:
    """Largest resident memory of this process so far, bytes.

    From Linux's own count for this program: `getrusage` also counts what its parent held when it was started.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status without VmHWM")


def _send(sink: IO[bytes], message: bytes) -> None:
    sink.write(len(message).to_bytes(_NUMBER, "little"))
    sink.write(message)
    sink.flush()


def _receive(source: IO[bytes]) -> bytes:
    """One message. Raises EOFError where the other end is gone."""
    head = source.read(_NUMBER)
    size = int.from_bytes(head, "little")
    message = source.read(size)
    if len(head) < _NUMBER or len(message) < size:
        raise EOFError("the other process ended in the middle of a message")
    return message


if __name__ == "__main__":
    main()
