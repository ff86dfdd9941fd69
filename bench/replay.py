"""One round with every client in this process, one at a time, no message kept longer than it is needed.

So a round of a thousand clients with a million entries fits in memory, and the server does exactly the work that it
would do if they were elsewhere. Clients get one core; the server gets all.

Who goes silent is spread evenly on the circle of the graph, so that a threshold stands where it can, as
docs/benchmarks.md explains: at random, some client nearly always keeps too few neighbours.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache
from statistics import median
from time import perf_counter, process_time, thread_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.cohorts import Cohort
from bench.measure import Tell, on_threads
from bench.results import Case, Row, row
from secagg import Coordinator, Participant, Session
from secagg.api.local import LocalRound
from secagg.errors import ConfigError, PartyId
from secagg.spans import Listener
from secagg.testing.round import opened
from secagg_protocols import PairwiseMasking
from secagg_protocols.pairwise import graph
from secagg_protocols.pairwise.messages import Keys

BITS = 16
CLOCKS = ("server", "server cpu", "server thread")
"""Wall seconds on all cores; seconds that all threads computed, which other programs do not lengthen; those of the
thread that drives the server.
"""


class Trace:
    """What one round cost, by phase.

    Attributes:
        roles: who is asked, as the scheme calls them.
        client: seconds of each party that answered, on one core.
        server: seconds by `CLOCKS`.
        asked, replied: bytes sent by the server, to all, and of each reply.
    """

    def __init__(self, roles: dict[str, str]) -> None:
        self.roles = roles
        self.client: dict[str, list[float]] = {phase: [] for phase in roles}
        self.server: dict[str, NDArray[np.float64]] = {phase: np.zeros(3) for phase in roles}
        self.asked = dict.fromkeys(roles, 0)
        self.replied: dict[str, list[int]] = {phase: [] for phase in roles}

    def totals(self) -> dict[str, float]:
        """Seconds of the round: of the "server" by each clock; of the median "client" of each phase that all clients
        are asked in; and of a "holder", what one that deals a key and opens the sum has on top of that. And bytes that
        the server sends to all, and such a client with both.
        """
        found = dict(zip(CLOCKS, np.sum(list(self.server.values()), axis=0).tolist(), strict=True))
        for phase, taken in self.client.items():
            role = "client" if self.roles[phase] == "client" else "holder"
            found[role] = found.get(role, 0.0) + median(taken)
        found["client bytes"] = sum(median(sizes) for sizes in self.replied.values())
        return found | {"server bytes": sum(self.asked.values())}


def phase_rows(what: str, case: Case, traces: Sequence[Trace]) -> Iterator[Row]:
    """One row a phase and role: of all who answered in all rounds, and the bytes of a reply or of all asks."""
    for phase, role in traces[0].roles.items():
        seconds = [taken for trace in traces for taken in trace.client[phase]]
        replied = median(size for trace in traces for size in trace.replied[phase])
        server = [trace.server[phase][0].item() for trace in traces]
        yield row(what, case | {"phase": phase, "role": role}, seconds, bytes=replied)
        yield row(what, case | {"phase": phase, "role": "server"}, server, bytes=traces[0].asked[phase])


def update_of(dim: int) -> NDArray[np.float32]:
    """(dim,) float32: what every client submits. Some of it is clipped."""
    return (np.random.default_rng(0).normal(size=dim) * 0.4).astype(np.float32)


def replay(cohort: Cohort, tell: Tell, heard: Listener | None = None) -> Trace:
    """Run one round. Raises AssertionError or PeerMisbehaved unless the sum is exact, and what the protocol raises.

    `tell` hears how far it is; `heard`, which has been entered, whose work begins.
    """
    replayed = Replay(cohort, tell, heard)
    replayed.run()
    replayed.check()
    return replayed.trace


@cache
def warm(family: str) -> None:
    """Compile and load what rounds of this family need, once in this process."""
    replay(Cohort(4, 16, family=family), lambda _: None)


def session_of(cohort: Cohort) -> Session:
    """Always the same. By its id the first few clients deal CKKS keys, and the same few hold the one that is used."""
    return Session.create(range(cohort.clients), update_of(cohort.dim), bits=BITS, entropy=bytes)


class Replay(LocalRound):
    """The round in progress, see `replay`; its clients may be elsewhere."""

    def __init__(
        self, cohort: Cohort, tell: Tell, heard: Listener | None = None, clients: Sequence[Any] | None = None
    ) -> None:
        self._cohort, self._tell, self._clients = cohort, tell, clients
        self._heard = heard or Listener()  # which hears nothing until it is entered
        self._update, session = update_of(cohort.dim), session_of(cohort)
        self._keys: dict[PartyId, bytes] = {}  # public keys, which decide the graph, where the scheme has one
        self._busy: set[PartyId] = set()  # who had another role so far: a key may be theirs
        self.trace = Trace({phase.name: phase.role for phase in cohort.scheme.phases})
        super().__init__(cohort.scheme, session, dict.fromkeys(session.parties, self._update))

    def ends(self) -> tuple[Coordinator, dict[PartyId, Any]]:
        """A coordinator whose work is booked, and the clients."""
        coordinator = _Booked(self.scheme, self.session)
        coordinator.trace, coordinator.heard = self.trace, self._heard
        if self._clients is None:
            return coordinator, {party: Participant(self.scheme, self.session, party) for party in self.session.parties}
        return coordinator, dict(zip(self.session.parties, self._clients, strict=True))

    def check(self) -> None:
        """Raise AssertionError unless the sum is that of all who were not lost, entry by entry."""
        out = self.coordinator.result
        assert out is not None
        assert len(out.contributors) == len(self.session.parties) - self._cohort.lost
        one = self.session.encoding.encode(self._update, 1, os.urandom)[: self._update.size].astype(np.uint64)
        np.testing.assert_array_equal(out.ring_sum, one * np.uint64(len(out.contributors)))

    @property
    def takes_input(self) -> bool:
        """Whether the open phase is the one that asks for vectors."""
        return any(phase.takes_input for phase in self.scheme.phases if phase.name == self.coordinator.phase)

    def exchange(self) -> None:
        """One phase, left open: an ask is made when it is looked up, and looked up for the lost too."""
        asks, phase = self.coordinator.asks(), self.coordinator.phase or ""
        silent = self._silent() if self.takes_input else frozenset()
        for place, party in enumerate(asks):
            if place % 16 == 0:
                self._tell(f"{phase} {place} of {len(asks)}")
            with self.coordinator.booked():
                ask = asks[party]
            self.trace.asked[phase] += len(ask)
            if party not in silent:
                self.coordinator.receive(party, self.answer(phase, party, ask))

    def answer(self, phase: str, party: PartyId, ask: bytes) -> bytes:
        """One party's reply, timed on one core."""
        role = self.trace.roles[phase]
        with on_threads(1), self._heard.charged(phase, role):
            start = perf_counter()
            reply: bytes | None = self.participants[party].answer(ask, self._update)
            self.trace.client[phase].append(perf_counter() - start)
        assert reply is not None
        self.trace.replied[phase].append(len(reply))
        if role != "client":
            self._busy.add(party)
        if isinstance(self.scheme, PairwiseMasking) and phase == self.scheme.phases[0].name:
            keys = opened(reply, Keys)
            self._keys[party] = keys.sealing + keys.mask + keys.signature
        return reply

    def _silent(self) -> frozenset[PartyId]:
        """Clients that had no other role so far, spread over the circle."""
        clients, lost = [party for party in self._circle() if party not in self._busy], self._cohort.lost
        if lost > len(clients):
            raise ConfigError(f"{lost} clients cannot be lost: {len(clients)} hold no key and have answered so far")
        return frozenset(clients[place] for place in spread(len(clients), lost))

    def _circle(self) -> list[PartyId]:
        """The clients as they stand in the graph that the first replies decide; without one, in the session's order."""
        if not self._keys:
            return [party for party in self.session.parties if party in self.scheme.clients(self.session)]
        parties = sorted(self._keys, key=self.session.index)
        order = graph.permutation([self._keys[party] for party in parties], len(parties))
        return [parties[place] for place in order]


class _Booked(Coordinator):
    """Its work is booked by phase: seconds by `CLOCKS`, and parts where somebody listens."""

    trace: Trace
    heard: Listener

    @contextmanager
    def booked(self) -> Iterator[None]:
        phase, start = self.phase, _clocks()
        with nullcontext() if phase is None else self.heard.charged(phase, "server"):
            try:
                yield
            finally:
                if phase is not None:
                    self.trace.server[phase] += _clocks() - start


def _clocks() -> NDArray[np.float64]:
    return np.array((perf_counter(), process_time(), thread_time()))


def spread(circle: int, lost: int) -> list[int]:
    """`lost` places of a circle, evenly spaced, ascending."""
    return [place * circle // lost for place in range(lost)]
