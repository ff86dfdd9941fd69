"""Whatever the network does: exact over the contributors or a named error, and one reply of a party to a phase."""

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import pytest
from rollcall import RollCall

from secagg.api.local import seats_for
from secagg.errors import PeerMisbehaved, TooFew
from secagg.scheme import Credentials, Policy, Session
from secagg.testing import HostileTransport, Schedule, SeededEntropy, small_keys
from secagg_protocols import PROTOCOLS, CkksSum, PaillierKeys, PaillierSum, PairwiseMasking

with small_keys(128):
    KEYS = PaillierKeys.generate(range(3), 2, 128, random.Random(0).randbytes)
KINDS = {
    "roll call": lambda n: RollCall(),
    "secagg": lambda n: PairwiseMasking(threshold=n // 2 + 1),
    "secagg+": lambda n: PairwiseMasking(neighbours=4 if n > 5 else 2),
    "active": lambda n: PairwiseMasking(threshold=n // 2 + 1, adversary="active", corrupt=0.0),
    "secagg, prepared": lambda n: PairwiseMasking(threshold=n // 2 + 1),
    "active, prepared": lambda n: PairwiseMasking(threshold=n // 2 + 1, adversary="active", corrupt=0.0),
    "ckks": lambda n: CkksSum(holders=n // 2),
    "paillier": lambda n: PROTOCOLS["paillier"](n, key_bits=128),
    "paillier, 2 of 3": lambda n: PaillierSum(keys=KEYS),
}
SCHEDULES = 300
NIGHTLY_SCHEDULES = 3400
"""Of each kind."""
DIM = 2
RUN = bytes(16)
CREDENTIALS = Credentials.generate(range(6), random.Random(0).randbytes)


@pytest.fixture(autouse=True)
def keys_are_small() -> Iterator[None]:
    with small_keys(128):
        yield


class Schedules:
    """Rounds of one kind, each under its own seed; their endings and the messages of the last few."""

    def __init__(self, kind: str) -> None:
        self.make = KINDS[kind]
        self.prepares = kind.endswith("prepared")
        self.endings: Counter[str] = Counter()
        self.earlier: list[bytes] = []

    def run(self, seed: int, harshness: float | None = None) -> HostileTransport:
        draw = np.random.default_rng(seed)
        n = int(draw.integers(3, 7))
        parties = list(range(n))
        scheme = self.make(n)
        run = {"run": RUN, "round": seed} if self.prepares else {}
        session = Session.create(parties, np.zeros(DIM, np.uint16), **run)
        credentials = {i: CREDENTIALS[i] for i in parties} if scheme.authenticated else None
        transport = HostileTransport(
            scheme,
            session,
            lambda party: draw.integers(0, 2**16, DIM, np.uint16),
            Schedule(seed, harshness, self.earlier),
            seats_for(scheme, session, Policy(min_cohort=2), credentials=credentials),
            parties[int(draw.integers(0, 2)) :] if self.prepares else (),
        )
        try:
            self.endings[ending(transport)] += 1
            law(transport)
        except BaseException as error:
            error.add_note(f"schedule of seed {seed}")
            raise
        self.earlier = [*transport.traffic, *self.earlier][:300]
        return transport


def ending(transport: HostileTransport) -> str:
    """How the round ended; any other exception than the two passes through."""
    try:
        out = transport.run()
    except TooFew:
        return "too few"
    except PeerMisbehaved as error:
        return "misbehaved" if error.culprits else "nobody's fault"
    return "all" if len(out.contributors) == len(transport.session.parties) else "some"


def law(transport: HostileTransport) -> None:
    assert transport.steps <= transport.max_steps
    for (phase, party), replies in transport.replies.items():
        assert len(replies) == 1, f"{party} answered twice at {phase!r}"
    if isinstance(transport.scheme, PairwiseMasking):  # which no server can bring to open two sums
        assert len({out.contributors for out in transport.results}) <= 1
    for out in transport.results:
        expected = sum(transport.submitted[i].astype(np.uint64) for i in out.contributors)
        np.testing.assert_array_equal(out.ring_sum.astype(np.uint64), expected)


def all_hold(kind: str, seeds: range) -> None:
    schedules = Schedules(kind)
    for seed in seeds:
        schedules.run(seed)
    assert set(schedules.endings) <= {"all", "some", "too few", "misbehaved"}
    assert min(schedules.endings[how] for how in ("all", "some", "too few")) > len(seeds) // 50, schedules.endings


@pytest.mark.parametrize("kind", KINDS)
def test_exact_or_a_named_error(kind: str) -> None:
    all_hold(kind, range(SCHEDULES))


@pytest.mark.nightly
@pytest.mark.parametrize("kind", KINDS)
def test_exact_or_a_named_error_over_many_schedules(kind: str) -> None:
    all_hold(kind, range(SCHEDULES, SCHEDULES + NIGHTLY_SCHEDULES))


def test_a_seed_is_a_schedule() -> None:
    def traffic(seed: int) -> list[bytes]:
        session = Session.create(range(4), np.zeros(DIM, np.uint16), entropy=SeededEntropy(1))
        vectors = np.random.default_rng(1).integers(0, 2**16, (4, DIM), np.uint16)
        scheme = PairwiseMasking()
        seats = seats_for(scheme, session, entropy=SeededEntropy(2))
        transport = HostileTransport(scheme, session, lambda party: vectors[int(party)], Schedule(seed), seats)
        with suppress(TooFew):
            transport.run()
        return transport.traffic

    assert traffic(5) == traffic(5)
    assert traffic(5) != traffic(6)


def test_a_kind_network_loses_nobody() -> None:
    schedules = Schedules("secagg")
    for seed in range(10):
        transport = schedules.run(seed, harshness=0.0)
        assert not transport.refusals
        assert not transport.coordinator.misbehaved
    assert schedules.endings == {"all": 10}
