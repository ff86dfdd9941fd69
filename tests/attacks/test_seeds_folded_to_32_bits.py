"""A mask whose seed is folded to 32 bits, as where a secret feeds a general random generator: whoever tries all of them
reads the vector under it (issue 5; seeds of NumPy's MT19937 in open frameworks).

Server and colluder know all of the victim's masks but one. The upper 18 of that mask's 32 bits are given to the test,
so that it tries 2**14 seeds and not 2**32.
"""

import numpy as np
import pytest
from attacker import LyingServer, assert_is_update_of, machine, make_round, pair_key, play
from hypothesis import given
from hypothesis import strategies as st

from secagg.primitives import prg
from secagg_protocols import PairwiseMasking
from secagg_protocols.pairwise import derive

VICTIM, HONEST, COLLUDER = 0, 1, 2
TRIED = 14
EVERYONE = {i: [0, 1, 2] for i in range(3)}


def folded(key: bytes) -> int:
    words = np.frombuffer(key[:16], "<u4")
    return int(np.bitwise_xor.reduce(words))


def as_seed(number: int) -> bytes:
    return number.to_bytes(4, "little").ljust(prg.SEED_BYTES, b"\0")


def searched():
    """(vectors that the search found, true mask key): one round, and all masks but one taken off."""
    round_ = play(make_round(PairwiseMasking(), 3), "shares")
    privates = {i: machine(round_.participants[i]).stage.mask for i in range(3)}
    play(round_, "unmask").exchange()
    server = LyingServer.of(round_)
    seed = server.seed(VICTIM, server.shares_of(VICTIM, range(3), EVERYONE))
    own = VICTIM, server.keys(VICTIM).mask
    theirs = pair_key(server.bound, privates[COLLUDER], (COLLUDER, server.keys(COLLUDER).mask), own)
    left = server.bare(VICTIM, seed, {COLLUDER: theirs})
    mask = pair_key(server.bound, privates[HONEST], (HONEST, server.keys(HONEST).mask), own)
    return list(tries(server, left, folded(mask) >> TRIED)), mask


def tries(server, left, upper):
    """Vectors that some seed leaves, whose last entry, the count of clipped ones, is zero as it must be."""
    for lower in range(2**TRIED):
        stream = prg.keystream(as_seed(upper << TRIED | lower), left.size, left.dtype)
        vector = server.session.ring.reduce(left - stream)
        if vector[-1] == 0 and (vector < 2**16).all():
            yield vector


def test_a_folded_seed_is_found_by_trying(monkeypatch):
    whole = derive.mask_seed
    monkeypatch.setattr(derive, "mask_seed", lambda shared: as_seed(folded(whole(shared))))
    found, _ = searched()
    assert len(found) == 1
    assert_is_update_of(VICTIM, found[0])


def test_a_seed_of_128_bits_is_not():
    found, mask = searched()
    assert found == []
    assert len(mask) == 16


@given(key=st.binary(min_size=16, max_size=16), noise=st.binary(min_size=4, max_size=4))
def test_seeds_that_agree_in_32_folded_bits_give_other_masks(key, noise):
    """The noise goes into two words and cancels in the fold."""
    words = np.frombuffer(key, "<u4").copy()
    words[:2] ^= np.frombuffer(noise, "<u4")
    other = words.tobytes()
    assert folded(other) == folded(key)
    same = prg.keystream(other, 8, np.uint64) == prg.keystream(key, 8, np.uint64)
    assert same.all() == (other == key)
    assert not same.any() or other == key


@pytest.mark.parametrize("bit", range(128))
def test_every_bit_of_a_seed_counts(bit):
    key = bytearray(16)
    key[bit // 8] ^= 1 << bit % 8
    assert (prg.keystream(bytes(key), 8, np.uint64) != prg.keystream(bytes(16), 8, np.uint64)).all()
