"""Any t shares give the secrets back; what does not fit together is refused by name."""

import hashlib
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secagg.errors import ConfigError, OutOfRange, PeerMisbehaved, WireError
from secagg.primitives import shamir

P = 2**61 - 1


def entropy(seed):
    """A source that repeats: the bytes of SHAKE-128, in order."""
    position = 0

    def read(n):
        nonlocal position
        position += n
        return hashlib.shake_128(repr(seed).encode()).digest(position)[position - n :]

    return read


def secrets(m, seed=0):
    return np.frombuffer(entropy(("secrets", seed))(32 * m), np.uint8).reshape(m, 32)


EDGES = np.array([[0] * 32, [255] * 32, [255] * 7 + [0] * 25, [0] * 28 + [255] * 4], np.uint8)


@given(st.data())
def test_any_t_of_n(data):
    holders = data.draw(st.lists(st.integers(1, 2**32), min_size=1, max_size=7, unique=True))
    t = data.draw(st.integers(1, len(holders)))
    secret = np.frombuffer(data.draw(st.binary(min_size=96, max_size=96)), np.uint8).reshape(3, 32)
    shares = shamir.split(secret, holders, t, entropy(data.draw(st.integers())))
    assert list(shares) == holders
    for chosen in itertools.islice(itertools.permutations(holders, t), 30):
        np.testing.assert_array_equal(shamir.combine({h: shares[h] for h in chosen}), secret)


@pytest.mark.parametrize("t", [1, 2, 5])
def test_secrets_at_the_edges_of_their_limbs(t):
    shares = shamir.split(EDGES, range(1, 6), t, entropy(t))
    assert all(share.shape == (4, 5) and share.dtype == np.uint64 for share in shares.values())
    np.testing.assert_array_equal(shamir.combine({h: shares[h] for h in range(1, t + 1)}), EDGES)


def test_no_secret_at_all():
    shares = shamir.split(np.empty((0, 32), np.uint8), [1, 2, 3], 2, entropy(0))
    assert shamir.combine({1: shares[1], 3: shares[3]}).shape == (0, 32)


def test_a_threshold_of_one_shares_the_secret_itself():
    share = shamir.split(secrets(1), [9], 1, entropy(0))[9][0]
    number = sum(int(limb) << (56 * i) for i, limb in enumerate(share))
    assert number.to_bytes(32, "little") == secrets(1)[0].tobytes()


class TestManyRows:
    """Secrets with holders of their own."""

    def rows(self, pick, s=12, n=6, t=3):
        """`pick(i)` says which t of n holders answer for secret i."""
        secret = secrets(s)
        shares = shamir.split(secret, range(1, n + 1), t, entropy(1))
        points = np.array([pick(i) for i in range(s)], np.uint64)
        values = np.array([[shares[int(h)][i] for h in points[i]] for i in range(s)])
        return secret, points, values

    @pytest.mark.parametrize(
        "pick", [lambda i: [6, 2, 3], lambda i: [1 + i % 4, 5, 6], lambda i: [[1, 2, 3], [3, 2, 1]][i % 2]]
    )
    def test_rows_alike_and_unlike(self, pick):
        secret, points, values = self.rows(pick)
        recovered, ok = shamir.combine_many(points, values)
        assert ok.all()
        np.testing.assert_array_equal(recovered, secret)

    def test_layout_does_not_matter(self):
        secret, points, values = self.rows(lambda i: [1 + i % 4, 5, 6])
        recovered, _ = shamir.combine_many(np.asfortranarray(points), np.asfortranarray(values))
        np.testing.assert_array_equal(recovered, secret)

    def test_a_bad_row_is_marked_and_stops_no_other(self):
        secret, points, values = self.rows(lambda i: [1, 2, 3])
        values[7, 1, 4] ^= 1 << 40
        recovered, ok = shamir.combine_many(points, values)
        assert ok.tolist() == [i != 7 for i in range(12)]
        np.testing.assert_array_equal(recovered[ok], secret[ok])
        assert not recovered[7].any()

    def test_no_rows(self):
        recovered, ok = shamir.combine_many(np.empty((0, 3), np.uint64), np.empty((0, 3, 5), np.uint64))
        assert recovered.shape == (0, 32)
        assert ok.shape == (0,)

    @pytest.mark.parametrize(
        ("points", "values", "error"),
        [
            (np.array([[1, 1]], np.uint64), np.zeros((1, 2, 5), np.uint64), ConfigError),
            (np.array([[1, 0]], np.uint64), np.zeros((1, 2, 5), np.uint64), OutOfRange),
            (np.array([[1, 2**32 + 1]], np.uint64), np.zeros((1, 2, 5), np.uint64), OutOfRange),
            (np.array([[1, 2]], np.int64), np.zeros((1, 2, 5), np.uint64), ConfigError),
            (np.array([[1, 2]], np.uint64), np.zeros((1, 2, 5), np.int64), ConfigError),
            (np.array([[1, 2]], np.uint64), np.zeros((1, 2, 4), np.uint64), ConfigError),
            (np.array([[1, 2]], np.uint64), np.zeros((1, 3, 5), np.uint64), ConfigError),
            (np.empty((1, 0), np.uint64), np.zeros((1, 0, 5), np.uint64), ConfigError),
            (np.array([[1, 2]], np.uint64), np.full((1, 2, 5), P, np.uint64), WireError),
        ],
    )
    def test_refusals(self, points, values, error):
        with pytest.raises(error, match=r"points|values|share"):
            shamir.combine_many(points, values)


def test_shares_that_do_not_belong_together():
    shares = shamir.split(secrets(2), [1, 2, 3], 2, entropy(2))
    shares[2] = shares[2].copy()
    shares[2][1, 4] ^= 1 << 40
    with pytest.raises(PeerMisbehaved, match="secret 1 are inconsistent") as caught:
        shamir.combine({1: shares[1], 2: shares[2]})
    assert not caught.value.culprits


@pytest.mark.parametrize("limb", range(5))
def test_what_comes_out_must_fit_its_limb(limb):
    """One share is its own interpolation, so that the bound is met exactly."""
    bound = 2**32 if limb == 4 else 2**56
    share = np.zeros((1, 5), np.uint64)
    share[0, limb] = bound - 1
    assert int.from_bytes(shamir.combine({1: share}).tobytes(), "little") == (bound - 1) << (56 * limb)
    share[0, limb] = bound
    with pytest.raises(PeerMisbehaved, match="inconsistent"):
        shamir.combine({1: share})


def test_fewer_than_the_threshold_give_no_secret():
    shares = shamir.split(secrets(1), [1, 2, 3], 3, entropy(3))
    with pytest.raises(PeerMisbehaved, match="inconsistent"):
        shamir.combine({1: shares[1], 2: shares[2]})


@pytest.mark.parametrize(
    ("holders", "threshold", "error", "named"),
    [
        ([1, 2, 1], 2, ConfigError, "distinct"),
        ([0, 1], 1, OutOfRange, r"1..2\*\*32, got 0"),
        ([1, 2**32 + 1], 1, OutOfRange, str(2**32 + 1)),
        ([1, -1], 1, OutOfRange, "-1"),
        ([1, "2"], 1, ConfigError, "integer"),
        ([1, 2.0], 1, ConfigError, "integer"),
        ([1, 2], 0, OutOfRange, "1..2, .* got 0"),
        ([1, 2], 3, OutOfRange, "1..2, .* got 3"),
        ([1, 2], 1.5, OutOfRange, "1..2, .* got 1.5"),
        ([], 1, OutOfRange, "threshold"),
    ],
)
def test_split_names_what_cannot_be(holders, threshold, error, named):
    with pytest.raises(error, match=named):
        shamir.split(secrets(1), holders, threshold, entropy(0))


@pytest.mark.parametrize(
    "bad", [np.zeros((1, 31), np.uint8), np.zeros((1, 32), np.int8), np.zeros(32, np.uint8), b"s" * 32]
)
def test_split_names_what_is_no_secret(bad):
    with pytest.raises(ConfigError, match=r"secrets: expected an \(m, 32\) array of uint8"):
        shamir.split(bad, [1, 2], 2, entropy(0))


def test_combine_names_what_is_no_share():
    good = np.zeros((2, 5), np.uint64)
    for shares in ({}, {1: good, 2: good[:1]}, {1: good[:, :4]}, {1: good.astype(np.int64)}, {1: good[0]}):
        with pytest.raises(ConfigError, match=r"share|values"):
            shamir.combine(shares)
    with pytest.raises(OutOfRange, match="got 0"):
        shamir.combine({0: good})
    with pytest.raises(WireError, match="limb"):
        shamir.combine({1: good + np.uint64(P)})


class TestBytes:
    @given(st.lists(st.integers(0, P - 1), min_size=5, max_size=5))
    def test_round_trip(self, limbs):
        data = shamir.to_bytes(np.array(limbs, np.uint64))
        assert data == b"".join(limb.to_bytes(8, "little") for limb in limbs)
        assert shamir.from_bytes(data).tolist() == limbs

    @pytest.mark.parametrize("limb", [P, P + 1, 2**63, 2**64 - 1])
    @pytest.mark.parametrize("at", range(5))
    def test_a_limb_outside_the_field(self, limb, at):
        share = np.zeros(5, np.uint64)
        share[at] = limb
        for refuse in (
            lambda: shamir.from_bytes(share.tobytes()),
            lambda: shamir.to_bytes(share),
            lambda: shamir.check_limbs(share),
        ):
            with pytest.raises(WireError, match=r"below 2\*\*61 - 1"):
                refuse()

    @given(st.binary(max_size=60))
    def test_any_bytes_decode_exactly_or_not_at_all(self, data):
        try:
            share = shamir.from_bytes(data)
        except WireError:
            return
        assert shamir.to_bytes(share) == data

    def test_another_length_or_type(self):
        for data in (b"", bytes(39), bytes(41)):
            with pytest.raises(WireError, match=f"40 bytes, got {len(data)}"):
                shamir.from_bytes(data)
        for share in (np.zeros(4, np.uint64), np.zeros(5, np.int64), np.zeros((1, 5), np.uint64)):
            with pytest.raises(ConfigError, match=r"\(5,\) array of uint64"):
                shamir.to_bytes(share)
