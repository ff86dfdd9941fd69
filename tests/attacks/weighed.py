"""Rounds of weighted sums in active mode, whose number format a lying server has chosen."""

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from secagg import Coordinator, Credentials, Participant, Policy, Seat, Session, Store
from secagg.encoding.encoding import Encoding
from secagg.testing import SeededEntropy
from secagg_protocols import PairwiseMasking

Updates = Mapping[int, NDArray[np.float64]]
SCHEME = PairwiseMasking(adversary="active")
CLIENTS = range(10)
CREDENTIALS = Credentials.generate(CLIENTS, SeededEntropy("weighed"))


class NoLimits(Policy):
    """The twin: a client that takes any number format."""

    def check_encoding(self, encoding: Encoding) -> None:
        pass


def session_of(updates: Updates, context: bytes = b"model 7", rounding: str = "stochastic", **encoding: Any) -> Session:
    """Of a server that says what it likes: `Session.create` makes, and `Session.from_bytes` reads, no weighted session
    with nearest rounding."""
    made = Session.create(updates, next(iter(updates.values())), context=context, rounding="stochastic", **encoding)
    return msgspec.structs.replace(made, encoding=msgspec.structs.replace(made.encoding, rounding=rounding))


def summed(
    session: Session,
    updates: Updates,
    weights: Mapping[int, int],
    policy: Policy,
    stores: Mapping[int, Store] | None = None,
) -> NDArray[np.int64]:
    """What the server reads: the sum's entries, in steps and without their offset. Clients are honest."""
    server = Coordinator(SCHEME, session, CREDENTIALS[0].roster)
    ends = {
        i: Participant(
            SCHEME,
            session,
            Seat(i, policy, session.context, credentials=CREDENTIALS[i], store=stores[i] if stores else Store()),
        )
        for i in updates
    }
    while not server.done:
        for party, ask in server.asks().items():
            i = int(party)
            server.receive(i, ends[i].answer(ask, updates[i], weights[i]))
        server.close_phase()
    assert server.result is not None
    assert server.result.contributors == set(updates)
    offset = 2 ** (session.encoding.bits - 1)
    return np.asarray(server.result.ring_sum).astype(np.int64) - len(updates) * offset
