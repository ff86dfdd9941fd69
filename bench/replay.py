"""One round with every client in this process, one at a time, no message kept longer than it is needed.

So a round of a thousand clients with a million entries fits in memory, and the server does exactly the work that it
would do if they were elsewhere. Clients get one core; the server gets all.
"""

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache
from statistics import median
from time import perf_counter, process_time, thread_time

import numpy as np
from numpy.typing import NDArray

from bench.losses import circle, spread
from bench.measure import on_threads
from bench.options import Tell
from bench.parts import Parts
from bench.results import Case
from secagg import Coordinator, Participant, Session
from secagg.errors import ConfigError, PartyId
from secagg.scheme import Scheme
from secagg_protocols import PROTOCOLS, PairwiseMasking

BITS = 16
MASKS = "pairwise"
CIPHERTEXTS = {"paillier": "Paillier", "ckks": "CKKS"}
FAMILIES = {MASKS: "SecAgg"} | CIPHERTEXTS
"""{family of protocols: its name for people}."""


@dataclass(frozen=True)
class Cohort:
    """What is to be run.

    Attributes:
        clients, dim: n, and float32 entries of each update.
        neighbours: k of SecAgg+, None for SecAgg.
        lost: clients that go silent when vectors are asked for.
        threshold: t, None for the scheme's own.
        family: of `FAMILIES`; neighbours and threshold are parameters of pairwise masking alone.
    """

    clients: int
    dim: int
    neighbours: int | None = None
    lost: int = 0
    threshold: int | None = None
    family: str = MASKS

    @property
    def scheme(self) -> Scheme:
        """The protocol with its options."""
        if self.family == MASKS:
            return PairwiseMasking(self.neighbours, self.threshold)
        return PROTOCOLS[self.family](self.clients)

    @property
    def case(self) -> Case:
        """For a row of results."""
        scheme, parameters, name = self.scheme, {}, FAMILIES[self.family]
        if isinstance(scheme, PairwiseMasking):
            found = scheme.parameters(Session.create(range(self.clients), np.float32(0)))
            parameters = {"neighbours": found.degree, "threshold": found.threshold}
            name += "" if found.complete else "+"
        return {"protocol": name, "clients": self.clients, "dim": self.dim, **parameters, "lost": self.lost}


@dataclass
class Trace:
    """What one round cost, by phase.

    Attributes:
        roles: who is asked, as the scheme calls them.
        client: seconds of each party that answered, on one core.
        server: seconds of the server, on all cores.
        server_cpu: seconds that its threads computed, all together; other programs do not lengthen them.
        server_thread: those of the thread that drives it.
        asked: bytes sent by the server, to all.
        replied: bytes of each reply.
    """

    roles: Mapping[str, str]
    client: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    server: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    server_cpu: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    server_thread: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    asked: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    replied: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))

    @property
    def server_seconds(self) -> float:
        """Of all phases."""
        return sum(self.server.values())

    @property
    def client_seconds(self) -> float:
        """Of the median client of each phase that all clients are asked in."""
        return sum(median(seconds) for phase, seconds in self.client.items() if self.roles[phase] == "client")

    @property
    def holder_seconds(self) -> float:
        """What a client that deals a key and opens the sum has on top of them; 0 where nobody does."""
        return sum(median(seconds) for phase, seconds in self.client.items() if self.roles[phase] != "client")


def update_of(dim: int) -> NDArray[np.float32]:
    """(dim,) float32: what every client submits. Some of it is clipped."""
    return (np.random.default_rng(0).normal(size=dim) * 0.4).astype(np.float32)


@cache
def warm(family: str) -> None:
    """Compile and load what rounds of this family need, once in this process."""
    replay(Cohort(4, 16, family=family), lambda _: None)


def replay(cohort: Cohort, tell: Tell, parts: Parts | None = None) -> Trace:
    """Run one round. Raises AssertionError unless the sum is exact, and what the protocol raises."""
    # In a session of this id the first few clients deal CKKS keys, and the same few hold the one that is used.
    session = Session.create(range(cohort.clients), update_of(cohort.dim), bits=BITS, entropy=bytes)
    return Replay(cohort.scheme, session, cohort.lost, tell, parts).run()


class Replay:
    """The round in progress.

    Args:
        scheme, session: the round.
        lost: how many go silent when vectors are asked for.
        tell: hears how far it is.
        parts: told whose work begins, where it is wanted.
    """

    def __init__(self, scheme: Scheme, session: Session, lost: int, tell: Tell, parts: Parts | None = None) -> None:
        self._scheme = scheme
        self._session = session
        self._lost = lost
        self._tell = tell
        self._parts = parts
        self._update = update_of(session.encoding.entries)
        self._coordinator = Coordinator(scheme, session)
        self._clients = {party: Participant(scheme, session, party) for party in session.parties}
        self._takes_input = next(phase.name for phase in scheme.phases if phase.takes_input)
        self._first: dict[PartyId, bytes] = {}  # replies to the first phase, which decide the graph
        self._busy: set[PartyId] = set()  # who had another role so far: a key may be theirs
        self.trace = Trace({phase.name: phase.role for phase in scheme.phases})

    def run(self) -> Trace:
        """All phases, and the check of the sum."""
        while not self._coordinator.done:
            self.step()
        out = self._coordinator.result
        assert out is not None
        assert len(out.contributors) == len(self._session.parties) - self._lost
        one = self._session.encoding.encode(self._update, 1, os.urandom)[: self._update.size].astype(np.uint64)
        np.testing.assert_array_equal(out.ring_sum, one * np.uint64(len(out.contributors)))
        return self.trace

    def first_upload(self) -> tuple[float, int]:
        """Seconds and bytes of the first vector; the round is left there."""
        phase = self._takes_input
        while self._coordinator.phase != phase:
            self.step()
        party, ask = next(iter(self._coordinator.asks().items()))
        reply = self.answer(phase, party, ask)
        return self.trace.client[phase][0], len(reply)

    def step(self) -> None:
        """One phase."""
        phase = self._coordinator.phase or ""
        with self._server(phase):
            asks = self._coordinator.asks()
        silent = self._silent() if phase == self._takes_input else frozenset()
        for place, party in enumerate(asks):
            if place % 16 == 0:
                self._tell(f"{phase} {place} of {len(asks)}")
            self._exchange(phase, party, asks, party in silent)
        with self._server(phase):
            self._coordinator.close_phase()

    def _exchange(self, phase: str, party: PartyId, asks: Mapping[PartyId, bytes], silent: bool) -> None:
        with self._server(phase):
            ask = asks[party]  # made when it is looked up
        self.trace.asked[phase] += len(ask)
        if not silent:
            reply = self.answer(phase, party, ask)
            with self._server(phase):
                self._coordinator.receive(party, reply)

    def answer(self, phase: str, party: PartyId, ask: bytes) -> bytes:
        """One party's reply, timed on one core."""
        role = self.trace.roles[phase]
        with on_threads(1), self._charged(phase, role):
            start = perf_counter()
            reply = self._clients[party].answer(ask, self._update)
            self.trace.client[phase].append(perf_counter() - start)
        assert reply is not None
        self.trace.replied[phase].append(len(reply))
        if role != "client":
            self._busy.add(party)
        if phase == self._scheme.phases[0].name:
            self._first[party] = reply
        return reply

    def _silent(self) -> frozenset[PartyId]:
        """Clients that had no other role so far, spread over a circle."""
        order = circle(self._scheme, self._session, self._first)
        clients = [party for party in order if party not in self._busy]
        if self._lost > len(clients):
            raise ConfigError(
                f"{self._lost} clients cannot be lost: {len(clients)} hold no key and have answered so far"
            )
        return frozenset(clients[place] for place in spread(len(clients), self._lost))

    @contextmanager
    def _server(self, phase: str) -> Iterator[None]:
        with self._charged(phase, "server"):
            start, cpu, thread = perf_counter(), process_time(), thread_time()
            yield
            self.trace.server[phase] += perf_counter() - start
            self.trace.server_cpu[phase] += process_time() - cpu
            self.trace.server_thread[phase] += thread_time() - thread

    def _charged(self, phase: str, role: str) -> AbstractContextManager[None]:
        return nullcontext() if self._parts is None else self._parts.charged(phase, role)
