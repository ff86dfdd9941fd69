"""X25519 and HKDF give the RFCs' answers, and nothing is derived from a point of low order."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from secagg.errors import ConfigError, OutOfRange, PeerMisbehaved
from secagg.primitives import agreement

VECTORS = Path(__file__).parents[1] / "vectors"
X25519 = json.loads((VECTORS / "x25519_rfc7748.json").read_text())
LOW_ORDER = json.loads((VECTORS / "x25519_low_order.json").read_text())["points"]
HKDF_CASES = json.loads((VECTORS / "hkdf_rfc5869.json").read_text())["cases"]
keys = st.binary(min_size=32, max_size=32)


@pytest.mark.parametrize("case", X25519["products"])
def test_products_of_rfc_7748(case):
    result = agreement.shared_secret(bytes.fromhex(case["scalar"]), bytes.fromhex(case["point"]))
    assert result.hex() == case["result"]


def test_iterated_products_of_rfc_7748():
    scalar = point = bytes.fromhex(X25519["iterated"]["start"])
    for i in range(1000):
        scalar, point = agreement.shared_secret(scalar, point), scalar
        if i == 0:
            assert scalar.hex() == X25519["iterated"]["1"]
    assert scalar.hex() == X25519["iterated"]["1000"]


def test_agreement_of_rfc_7748():
    case = {name: bytes.fromhex(value) for name, value in X25519["agreement"].items()}
    assert agreement.public_key(case["alice_private"]) == case["alice_public"]
    assert agreement.public_key(case["bob_private"]) == case["bob_public"]
    assert agreement.shared_secret(case["alice_private"], case["bob_public"]) == case["shared"]
    assert agreement.shared_secret(case["bob_private"], case["alice_public"]) == case["shared"]


@pytest.mark.parametrize("case", HKDF_CASES, ids=lambda case: case["name"])
def test_hkdf_of_rfc_5869(case):
    okm = bytes.fromhex(case["okm"])
    ikm, salt, info = (bytes.fromhex(case[name]) for name in ("ikm", "salt", "info"))
    assert agreement.hkdf(ikm, info=info, salt=salt, length=len(okm)) == okm


@given(st.binary(max_size=80), st.binary(max_size=200), st.binary(max_size=130), st.integers(1, 8160))
def test_hkdf_is_the_librarys(secret, info, salt, length):
    expected = HKDF(algorithm=hashes.SHA256(), length=length, salt=salt, info=info).derive(secret)
    assert agreement.hkdf(secret, info=info, salt=salt, length=length) == expected


@pytest.mark.parametrize("length", [0, 1, 32, 63, 64, 65, 128])
def test_salts_around_the_block_of_the_hash(length):
    salt = bytes(range(length))
    expected = HKDF(algorithm=hashes.SHA256(), length=32, salt=salt, info=b"info").derive(b"secret")
    assert agreement.hkdf(b"secret", info=b"info", salt=salt) == expected


@pytest.mark.parametrize("length", [0, -1, 8161])
def test_hkdf_length(length):
    with pytest.raises(OutOfRange, match=f"1..8160, got {length}"):
        agreement.hkdf(b"secret", info=b"", length=length)


@given(st.lists(st.tuples(st.integers(0, 2), keys, st.binary(max_size=100)), max_size=6), st.binary(max_size=70))
def test_derive_many_is_one_by_one(rows, salt):
    own = [bytes([i + 1]) * 32 for i in range(3)]
    privates = [own[i] for i, _, _ in rows]
    publics, infos = [agreement.public_key(key) for _, key, _ in rows], [info for _, _, info in rows]
    expected = [
        agreement.hkdf(agreement.shared_secret(private, public), info=info, salt=salt)
        for private, public, info in zip(privates, publics, infos, strict=True)
    ]
    assert agreement.derive_many(privates, publics, infos, salt) == expected


@pytest.mark.parametrize("point", LOW_ORDER)
def test_points_of_low_order(point):
    private, good = b"\x07" * 32, agreement.public_key(b"\x08" * 32)
    with pytest.raises(PeerMisbehaved, match="low order") as caught:
        agreement.shared_secret(private, bytes.fromhex(point))
    assert not caught.value.culprits
    derived = agreement.derive_many([private] * 3, [good, bytes.fromhex(point), good], [b"a", b"b", b"a"], b"")
    assert derived[1] is None
    assert derived[0] == derived[2] == agreement.hkdf(agreement.shared_secret(private, good), info=b"a")


@pytest.mark.parametrize("point", LOW_ORDER)
def test_the_order_of_a_point_is_checked_without_a_scalar(point):
    with pytest.raises(PeerMisbehaved, match="low order") as caught:
        agreement.check_order(bytes.fromhex(point))
    assert not caught.value.culprits


@given(keys | st.sampled_from(LOW_ORDER).map(bytes.fromhex))
def test_the_order_of_a_point_is_low_exactly_where_the_product_is_zero(point):
    def refused(check):
        try:
            check()
        except PeerMisbehaved:
            return True
        return False

    assert refused(lambda: agreement.check_order(point)) == refused(lambda: agreement.shared_secret(bytes(32), point))


def test_no_other_point_doubles_to_the_neutral_element_in_three_steps():
    """RFC 7748, 5: u doubles to (u^2 - 1)^2 / (4 u (u^2 + A u + 1)). Backwards, all roots modulo p are counted."""
    p, a = 2**255 - 19, 486662

    def is_square(x):
        return pow(x % p, (p - 1) // 2, p) in (0, 1)

    def halves_of(sign):
        """How many u double to `sign`: with y = u + 1 / u, that is y^2 - 4 = 4 sign (y + A), and u^2 - y u + 1 = 0."""
        return sum(2 * is_square(y * y - 4) for y in roots(sign))

    def roots(sign):
        found = square_root(4 * (2 + a * sign))
        return [] if found is None else [2 * sign + found, 2 * sign - found]

    def square_root(x):
        root = pow(x % p, (p + 3) // 8, p)
        candidates = (root, root * pow(2, (p - 1) // 4, p) % p)
        return next((r for r in candidates if (r * r - x) % p == 0), None)

    assert not is_square(a * a - 4)  # only 0 doubles to the neutral element, and only 1 and -1 to 0
    of_order_8 = halves_of(1) + halves_of(-1)
    assert len(agreement._LOW_ORDER) == 3 + of_order_8


def test_generate_takes_exactly_one_key_from_its_entropy():
    asked = []
    assert agreement.generate(lambda n: asked.append(n) or bytes(n)) == bytes(32)
    assert asked == [32]


def test_a_broken_entropy_is_named():
    with pytest.raises(ConfigError, match=r"entropy\(32\) must return 32 bytes"):
        agreement.generate(lambda n: bytes(n - 1))
    with pytest.raises(ConfigError, match=r"entropy\(32\)"):
        agreement.generate(lambda n: [0] * n)


@pytest.mark.parametrize("key", [b"S" * 31, b"S" * 33, "S" * 32])
def test_keys_of_another_length_are_named_and_not_shown(key):
    good = b"\x09" + bytes(31)
    calls = [
        lambda: agreement.public_key(key),
        lambda: agreement.shared_secret(key, good),
        lambda: agreement.shared_secret(good, key),
        lambda: agreement.check_order(key),
        lambda: agreement.derive_many([key], [good], [b""], b""),
        lambda: agreement.derive_many([good], [key], [b""], b""),
    ]
    for call in calls:
        with pytest.raises(ConfigError, match=r"X25519 (private|public) key: expected 32 bytes") as caught:
            call()
        assert "SSS" not in str(caught.value)


def test_rows_of_unequal_number():
    with pytest.raises(ConfigError, match="1 privates, 2 publics, 1 infos"):
        agreement.derive_many([bytes(32)], [bytes(32)] * 2, [b""], b"")
