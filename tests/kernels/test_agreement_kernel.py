"""Keys of many pairs at once are those that `cryptography` derives one by one, on every path that runs here."""

from functools import partial

import derivation
import pytest
from derivation import PAIRS, agrees, some_rows
from guarded import guarded
from hypothesis import given, settings
from hypothesis import strategies as st

from secagg.errors import ConfigError
from secagg.kernels import agreement
from secagg.kernels.agreement import batch, x25519

WIDTHS = [agreement.FAST[name][0] for name in agreement.IMPLEMENTATIONS]
if not WIDTHS:
    pytest.skip("this processor has none of the instructions that these kernels use", allow_module_level=True)

pytestmark = pytest.mark.parametrize("bits", WIDTHS)
keys = st.binary(min_size=32, max_size=32)


def test_products_of_rfc_7748(bits):
    derivation.rfc_7748_agrees(bits)


def test_iterated_products_of_rfc_7748(bits):
    derivation.rfc_7748_iterates(1, bits)
    derivation.rfc_7748_iterates(1000, bits)


def test_every_count(bits):
    derivation.counts_agree([*range(41), 63, 64, 65, PAIRS], bits)


def test_edges(bits):
    derivation.edges_agree(bits)


def test_infos_of_every_length_around_blocks(bits):
    derivation.lengths_agree([*range(4), *range(50, 60), *range(115, 122), 300], bits)


@pytest.mark.parametrize("length", [0, 1, 32, 63, 64, 65, 128])
def test_salts_around_the_block_of_the_hash(bits, length):
    agrees(*(some_rows(label, 3, 32) for label in "abc"), bits=bits, salt=bytes(range(length)))


@settings(max_examples=25)
@given(
    rows=st.integers(0, 9).flatmap(
        lambda length: st.lists(st.tuples(keys, keys, st.binary(min_size=length, max_size=length)), max_size=12)
    )
)
def test_any_rows(bits, rows):
    scalars, points, infos = ([row[column] for row in rows] for column in range(3))
    agrees(scalars, points, infos, bits=bits)


def test_a_point_of_low_order_takes_nothing_from_the_others(bits):
    points = some_rows("points", PAIRS, 32)
    for place in range(0, PAIRS, 3):
        points[place] = derivation.LOW_ORDER[place % len(derivation.LOW_ORDER)]
    agrees(some_rows("scalars", PAIRS, 32), points, [b"info"] * PAIRS, bits=bits)


class TestThreads:
    @pytest.mark.parametrize("threads", [1, 2, 3, 64])
    def test_the_result_does_not_depend_on_them(self, bits, threads):
        rows = [some_rows(label, 5 * PAIRS, 32) for label in "abc"]
        assert derivation.derived(*rows, bits=bits, threads=threads) == derivation.derived(*rows, bits=bits)

    def test_what_a_thread_raises_reaches_the_caller(self, bits, monkeypatch):
        def fails(*arguments):
            raise MemoryError

        monkeypatch.setattr(batch.x25519, "exchange", fails)
        with pytest.raises(MemoryError):
            derivation.derived(*(some_rows(label, 5 * PAIRS, 32) for label in "abc"), bits=bits, threads=2)


@pytest.mark.parametrize("fails", [False, True])
def test_rooms_secrets_and_scalars_are_wiped(bits, fails, monkeypatch):
    """Also when a kernel does not come to its end."""
    rooms, held = [], []
    aligned, derive, pairs = batch.aligned, batch.hkdf.derive, batch._Pairs
    made = []

    def watched(shape, dtype):
        rooms.append(aligned(shape, dtype))
        return rooms[-1]

    def seen(*arguments):
        made.append(pairs(*arguments))
        return made[-1]

    def ended(secrets, *arguments):
        derive(secrets, *arguments)
        rooms.append(secrets)
        held.extend(bool(room.any()) for room in (*rooms, made[0]._scalars))
        if fails:
            raise KeyboardInterrupt

    monkeypatch.setattr(batch, "aligned", watched)
    monkeypatch.setattr(batch, "_Pairs", seen)
    monkeypatch.setattr(batch.hkdf, "derive", ended)
    try:
        agrees(*(some_rows(label, 3, 32) for label in "abc"), bits=bits)
    except KeyboardInterrupt:
        assert fails
    assert held == [True] * 4
    assert not any(room.any() for room in (*rooms, made[0]._scalars))


def test_another_rounding_is_refused_before_anything_is_derived(bits, monkeypatch):
    if x25519.FIELDS[bits // 64].half == 0:
        pytest.skip("integers are not rounded")
    assert x25519.rounds_right(bits // 64)
    monkeypatch.setattr(x25519, "_rounds_to_nearest", lambda one, tiny: False)
    monkeypatch.setattr(x25519, "exchange", None)
    with pytest.raises(ConfigError, match="not rounded to nearest: set SECAGG_KERNEL=portable"):
        derivation.derived(*(some_rows(label, 3, 32) for label in "abc"), bits=bits)


def test_no_byte_outside_the_rooms(bits, monkeypatch):
    """All that vectors touch, between pages that cannot even be read."""
    for end in (False, True):
        monkeypatch.setattr(batch, "aligned", partial(guarded, end=end))
        agrees(*(some_rows(label, PAIRS, 32) for label in "abc"), bits=bits)
