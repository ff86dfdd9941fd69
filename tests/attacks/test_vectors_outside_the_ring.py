"""A client sends more entries than there are, or fewer, or values beyond the ring, to shift or to break the sum (input
checks: Bell et al., "ACORN", USENIX Security 2023; issue 5).

A value inside the ring that its client did not compute is poisoning. No sum can see that.
"""

import numpy as np
import pytest
from attacker import DIM, UPDATES, N, look_at_no_counter, make_round, make_session, on

from secagg import aggregate
from secagg.encoding.packing import packed_size
from secagg.errors import OutOfRing
from secagg.testing import opened, rewritten
from secagg_protocols import PairwiseMasking
from secagg_protocols.pairwise.messages import Masked
from secagg_protocols.pairwise.server import Masking

LIAR = 2
SIZE = packed_size(DIM + 2, make_session().ring)
HONEST = sum(UPDATES[i].astype(np.uint64) for i in range(N))


@pytest.fixture
def fitting_what_comes(monkeypatch):
    """A server that cuts what is too long and fills up what is too short."""
    absorb = Masking.absorb

    def fit(self, round, sender, reply):
        vector = bytearray(reply.vector[:SIZE].ljust(SIZE, b"\0"))
        spare = 8 * SIZE - (DIM + 2) * round.session.ring.bits
        vector[-1] &= 0xFF >> spare
        absorb(self, round, sender, Masked(bytes(vector)))

    monkeypatch.setattr(Masking, "absorb", fit)


def sending(change):
    return on("masked", [LIAR], lambda m: rewritten(m, Masked, vector=change(opened(m, Masked).vector)))


BAD = {
    "empty": lambda _: b"",
    "one byte short": lambda v: v[:-1],
    "one byte over": lambda v: b"\xff" + v,
    "a megabyte over": lambda v: bytes(2**20) + v,
    "a bit beyond the last entry": lambda v: v[:-1] + bytes([v[-1] | 0x80]),
}


@pytest.mark.parametrize("name", ["empty", "one byte over", "a megabyte over"])
@pytest.mark.usefixtures("fitting_what_comes")
def test_a_server_that_makes_them_fit_has_another_sum_and_no_error(name, monkeypatch):
    look_at_no_counter(monkeypatch)
    out = make_round(PairwiseMasking(), replies=sending(BAD[name])).run()
    assert not out.misbehaved
    assert out.contributors == set(range(N))
    assert (out.ring_sum != HONEST).any()


@pytest.mark.parametrize("name", BAD)
def test_the_sender_is_named_and_the_others_are_summed(name):
    out = make_round(PairwiseMasking(), replies=sending(BAD[name])).run()
    assert set(out.misbehaved) == {LIAR}
    assert "packed vector" in out.misbehaved[LIAR]
    np.testing.assert_array_equal(out.ring_sum, HONEST - UPDATES[LIAR])


@pytest.mark.parametrize(("value", "bits"), [(2**16, 16), (-1, 16), (256, 8)])
def test_a_client_refuses_its_own_integers_outside_the_range(value, bits):
    updates = {i: np.array([0, 1, 2]) for i in range(4)}
    updates[3] = np.array([0, value, 2])
    with pytest.raises(OutOfRing, match=r"party 3: update\[1\]") as error:
        aggregate(updates, PairwiseMasking(), bits=bits)
    assert error.value.party == 3
