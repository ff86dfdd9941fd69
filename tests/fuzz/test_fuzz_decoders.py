"""Whatever the bytes, a decoder returns or raises an error that it states, within its bound of memory a byte.

48 bytes for most; a ledger's sets of small integers take 100.
"""

import random

import msgspec
import pytest
from bombs import AIMED, ANYWHERE
from decoders import ALLOWANCE, DECODERS, Decoder, holds
from hypothesis import given, settings
from hypothesis import strategies as st
from mutation import damaged, revalued

every = pytest.mark.parametrize("name", DECODERS)
seeds = st.integers(0, 2**64 - 1)


@every
def test_the_examples_are_valid(name):
    decoder = DECODERS[name]
    assert decoder.examples
    for example in decoder.examples:
        assert not isinstance(holds(decoder, example), decoder.errors)


@every
@settings(max_examples=25)
@given(data=st.binary(max_size=200))
def test_any_bytes(name, data):
    holds(DECODERS[name], data)


@every
@settings(max_examples=50)
@given(seed=seeds)
def test_damaged_bytes(name, seed):
    draw, decoder = random.Random(seed), DECODERS[name]
    holds(decoder, damaged(draw.choice(decoder.examples), decoder.examples, draw))


NO_MESSAGES = (
    "frame",
    "prepared reply",
    "roster",
    "paillier key file",
    "identity file",
    "what an identity file frames",
    "journal",
    "journal's latch",
)


@pytest.mark.parametrize("name", [name for name in DECODERS if name not in NO_MESSAGES])
@settings(max_examples=50)
@given(seed=seeds)
def test_other_values(name, seed):
    draw, decoder = random.Random(seed), DECODERS[name]
    holds(decoder, revalued(draw.choice(decoder.examples), draw))


@every
@pytest.mark.parametrize("bomb", ANYWHERE)
def test_bombs(name, bomb):
    holds(DECODERS[name], ANYWHERE[bomb])


@pytest.mark.parametrize("place", range(len(AIMED)), ids=[f"{name} {i}" for i, (name, _) in enumerate(AIMED)])
def test_aimed_bombs(place):
    name, data = AIMED[place]
    holds(DECODERS[name], data)


def test_memory_over_the_bound_is_seen_and_a_cache_that_fills_once_is_let_pass():
    filled = []

    def hoards(data):
        return len(bytes(ALLOWANCE + 2 * len(data)))

    def fills(data):
        if not filled:
            filled.append(hoards(data))

    with pytest.raises(AssertionError, match="bytes of memory for 100 bytes"):
        holds(Decoder(hoards, (b"",), growth=1), bytes(100))
    holds(Decoder(fills, (b"",), growth=1), bytes(100))
    assert filled


@pytest.mark.nightly
@every
def test_many(name):
    decoder = DECODERS[name]
    for seed in range(20_000):
        draw = random.Random(seed)
        example = draw.choice(decoder.examples)
        try:
            data = revalued(example, draw) if seed % 2 else damaged(example, decoder.examples, draw)
        except (msgspec.DecodeError, UnicodeDecodeError):  # a frame or a roster is no MessagePack
            continue
        holds(decoder, data)
