"""Many values at once give what Python's own integers give one by one."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secagg.errors import ConfigError, OutOfRange
from secagg.kernels import montgomery
from secagg.primitives.modular import TABLE_BYTES, Modulus, _width

SIZES = [2, 3, 8, 52, 64, 256, 1031]


@pytest.fixture(autouse=True, scope="module", params=[*montgomery.IMPLEMENTATIONS, montgomery.PORTABLE])
def kernel(request):
    """Every engine of this machine in turn."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(montgomery, "selected", lambda: request.param)
        yield request.param


def modulus(bits, seed=0):
    """An odd number of exactly that many bits, without structure."""
    return pow(3, 1000 + seed, 1 << bits) | 1 << (bits - 1) | 1


def values(n, count=11):
    """The ends of 0..n-1, and numbers between them."""
    return [0, 1, n - 1, n // 2, *(pow(5, 99 + i, n) for i in range(count - 4))]


def read(ring, numbers):
    return ring.read(b"".join(number.to_bytes(ring.size) for number in numbers))


odd = st.integers(1, 1 << 600).map(lambda x: 2 * x + 1)
every_modulus = pytest.mark.parametrize("make", [Modulus, Modulus.square], ids=["number", "square"])


class TestPowers:
    @every_modulus
    @pytest.mark.parametrize("bits", SIZES)
    @pytest.mark.parametrize("exponent", [0, 1, 2, 3, 65537, (1 << 130) - 1])
    def test_one_exponent(self, bits, exponent, make):
        ring = make(modulus(bits))
        assert ring.powers(values(ring.n), exponent) == [pow(value, exponent, ring.n) for value in values(ring.n)]

    @pytest.mark.parametrize("root", [*range(3, 99, 2), 1031**2, (1 << 50) - 1, (1 << 52) - 1, (1 << 100) + 1])
    def test_mod_a_square_with_multiples_of_the_root(self, root):
        """Which share factors with it, as the multiple of the root does by which lanes compute."""
        ring = Modulus.square(root)
        bases = [0, root, ring.n - root, root + 1, ring.n - 1, root // 3 * root, ring.n // 2]
        for exponent in (1, 2, root, 12345):
            assert ring.powers(bases, exponent) == [pow(base, exponent, ring.n) for base in bases]

    @pytest.mark.parametrize("threads", ["1", "2", "3", "64"])
    def test_over_threads(self, monkeypatch, threads):
        monkeypatch.setenv("SECAGG_THREADS", threads)
        n = modulus(200)
        assert Modulus(n).powers(values(n), 12345) == [pow(value, 12345, n) for value in values(n)]

    def test_of_nothing(self):
        assert Modulus(9).powers([], 5) == []


class TestFixedBase:
    @every_modulus
    @pytest.mark.parametrize("bits", SIZES)
    @pytest.mark.parametrize("length", [1, 2, 7, 64, 257])
    def test_edges_of_the_exponent(self, bits, length, make):
        ring = make(modulus(bits))
        exponents = [0, 1, 1 << (length - 1), (1 << length) - 1, (1 << length) // 3]
        for base in values(ring.n, 6):
            fixed = ring.fixed_base(base, length)
            assert fixed.powers(exponents) == [pow(base, exponent, ring.n) for exponent in exponents]

    @every_modulus
    @pytest.mark.parametrize("uses", [1, 10, 1000, 10**6])
    def test_whatever_use_is_foreseen(self, uses, make):
        ring = make(modulus(128))
        exponents = [0, (1 << 90) - 1, 12345 << 70]
        assert ring.fixed_base(7, 90, uses).powers(exponents) == [pow(7, e, ring.n) for e in exponents]

    @every_modulus
    @pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 8, 9, 31, 77])
    def test_as_many_as_are_asked_for(self, count, make):
        ring = make(modulus(200))
        exponents = [pow(5, i, 1 << 60) for i in range(count)]
        assert ring.fixed_base(3, 60).powers(exponents) == [pow(3, e, ring.n) for e in exponents]

    @pytest.mark.parametrize("threads", ["1", "2", "5"])
    def test_over_threads(self, monkeypatch, threads):
        monkeypatch.setenv("SECAGG_THREADS", threads)
        ring = Modulus.square(modulus(200))
        exponents = [pow(5, i, 1 << 60) for i in range(171)]
        assert ring.fixed_base(3, 60).powers(exponents) == [pow(3, e, ring.n) for e in exponents]

    @pytest.mark.parametrize("bits", [1, 90, 1024, 4096])
    @pytest.mark.parametrize("size", [64, 4096, 12288])
    def test_tables_stay_within_their_bound(self, bits, size):
        width = _width(bits, size // 8, 10**9, 0.0)
        assert width == 1 or -(-bits // width) * 2**width * size // 8 <= TABLE_BYTES


class TestProducts:
    @pytest.mark.parametrize("bits", SIZES)
    @pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 16, 33])
    def test_of_all(self, bits, count):
        n = modulus(bits)
        factors = [pow(7, i, n) for i in range(count)]
        assert read(Modulus(n), factors).product() == math.prod(factors) % n

    @pytest.mark.parametrize("bits", SIZES)
    def test_pairwise(self, bits):
        n = modulus(bits)
        lefts = [a for a in values(n) for _ in values(n)]
        rights = [b for _ in values(n) for b in values(n)]
        assert Modulus(n).products(lefts, rights) == [a * b % n for a, b in zip(lefts, rights, strict=True)]


class TestAccumulator:
    @pytest.mark.parametrize("bits", SIZES)
    @pytest.mark.parametrize("count", [0, 1, 7, 40])
    def test_running_products(self, bits, count):
        n = modulus(bits)
        ring = Modulus(n)
        products, expected = ring.accumulator(count), [1] * count
        for turn in range(5):
            assert products.values() == expected
            factors = [pow(3, turn * count + i, n) for i in range(count)]
            products.multiply(read(ring, factors))
            expected = [a * b % n for a, b in zip(expected, factors, strict=True)]
        assert products.values() == products.values() == expected

    def test_over_threads(self, monkeypatch):
        ring, factors = Modulus(modulus(100)), list(range(1, 5001))
        for threads in ("1", "2", "5"):
            monkeypatch.setenv("SECAGG_THREADS", threads)
            products = ring.accumulator(5000)
            products.multiply(read(ring, factors))
            products.multiply(read(ring, factors))
            assert products.values() == [factor**2 for factor in factors]

    def test_refused_values_leave_the_products(self):
        ring = Modulus(15)
        products = ring.accumulator(2)
        products.multiply(read(ring, [2, 7]))
        for wrong, why in [
            (read(ring, [1]), "values: expected 2, one for each product, got 1"),
            (read(Modulus(15), [1, 1]), "values: expected numbers that this modulus has read"),
        ]:
            with pytest.raises(ConfigError, match=f"^{why}$"):
                products.multiply(wrong)
        assert products.values() == [2, 7]


class TestResidues:
    @pytest.mark.parametrize("bits", SIZES)
    @pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 9])
    def test_a_sequence_of_what_was_written(self, bits, count):
        n = modulus(bits)
        written = ([0, 1, n - 1, n >> 1, n - 2] * 2)[:count]
        found = read(Modulus(n), written)
        assert len(found) == count
        assert list(found) == written == found[:]
        assert found[1:7:2] == written[1:7:2]
        assert [found[i - count] for i in range(count)] == written
        with pytest.raises(IndexError):
            found[count]

    @pytest.mark.parametrize("bits", SIZES)
    @pytest.mark.parametrize("place", [0, 1, 3, 4, 6])
    def test_the_first_that_is_too_large_is_named(self, bits, place):
        """By as little and as much as the bytes allow."""
        ring = Modulus(modulus(bits))
        for large in {ring.n, (1 << 8 * ring.size) - 1}:
            numbers = [ring.n - 1] * place + [large, 0, large]
            with pytest.raises(OutOfRange, match=f"^number {place} is too large: .* of {bits} bits$"):
                read(ring, numbers)

    @pytest.mark.parametrize("size", [1, 12, 14, 25])
    def test_a_piece_of_a_number(self, size):
        with pytest.raises(ConfigError, match=f"^{size} bytes: expected 13 for each number$"):
            Modulus(modulus(100)).read(bytes(size))


class TestMultiPower:
    @pytest.mark.parametrize("bits", SIZES)
    @pytest.mark.parametrize("count", [0, 1, 2, 11, 100])
    def test_the_product_of_powers(self, bits, count):
        n = modulus(bits)
        bases = values(n, max(count, 4))[-count:] if count else []
        exponents = [pow(11, 40 + i, 1 << 128) for i in range(count)]
        expected = math.prod(pow(base, e, n) for base, e in zip(bases, exponents, strict=True)) % n
        assert Modulus(n).multi_power(bases, exponents) == expected

    @pytest.mark.parametrize("exponents", [[0, 0], [0, 1], [1, 1 << 128], [(1 << 128) - 1, 3]])
    def test_edges_of_the_exponents(self, exponents):
        n = modulus(100)
        expected = pow(3, exponents[0], n) * pow(n - 1, exponents[1], n) % n
        assert Modulus(n).multi_power([3, n - 1], exponents) == expected


class TestLaws:
    @every_modulus
    @given(odd, st.integers(0), st.integers(0), st.integers(0, 1 << 300), st.integers(0, 1 << 300))
    def test_powers(self, make, n, a, b, x, y):
        ring = make(n)
        a, b = a % ring.n, b % ring.n
        (both,), (left, right) = ring.powers(ring.products([a], [b]), x), ring.powers([a, b], x)
        assert read(ring, [left, right]).product() == both == ring.multi_power([a, b], [x, x])
        fixed = ring.fixed_base(a, 302, 1)
        assert read(ring, fixed.powers([x, y])).product() == fixed.powers([x + y])[0] == ring.powers([a], x + y)[0]


class TestRefusals:
    @pytest.mark.parametrize("n", [-3, 0, 1, 2, 4, 1 << 64, 3.0, "3", None])
    def test_a_modulus_that_is_none(self, n):
        with pytest.raises(ConfigError, match="modulus: expected"):
            Modulus(n)

    @pytest.mark.parametrize("root", [-3, 0, 1, 2, 4, 1 << 64, 3.0, "3", None])
    def test_a_root_that_is_none(self, root):
        with pytest.raises(ConfigError, match="root of a modulus: expected"):
            Modulus.square(root)

    @pytest.mark.parametrize("value", [-1, 15, 1 << 70])
    def test_values_out_of_range(self, value):
        ring = Modulus(15)
        for call, name in [
            (lambda: ring.powers([1, value], 2), "bases"),
            (lambda: ring.products([value], [1]), "lefts"),
            (lambda: ring.products([1], [value]), "rights"),
            (lambda: ring.multi_power([value], [1]), "bases"),
            (lambda: ring.fixed_base(value, 8), "base"),
        ]:
            with pytest.raises(OutOfRange, match=f"^{name}: expected integers in 0..n-1 for a modulus n of 4 bits"):
                call()

    def test_exponents_out_of_range(self):
        ring = Modulus(15)
        for call in (lambda: ring.powers([1], -1), lambda: ring.multi_power([1], [-1])):
            with pytest.raises(OutOfRange, match="exponent: expected an integer"):
                call()
        for exponent in (-1, 256):
            with pytest.raises(OutOfRange, match=r"^exponents: expected integers in 0\.\.2\*\*8-1"):
                ring.fixed_base(2, 8).powers([exponent])
        with pytest.raises(OutOfRange, match=r"^bits: expected an integer >= 1"):
            ring.fixed_base(2, 0)
        with pytest.raises(OutOfRange, match=r"^count: expected an integer >= 0"):
            ring.accumulator(-1)

    def test_lengths_that_differ(self):
        ring = Modulus(15)
        with pytest.raises(ConfigError, match="as many lefts as rights, got 1 and 2"):
            ring.products([1], [1, 2])
        with pytest.raises(ConfigError, match="as many bases as exponents, got 2 and 0"):
            ring.multi_power([1, 2], [])

    def test_what_is_no_integer(self):
        with pytest.raises(ConfigError, match="bases: expected integers, got float"):
            Modulus(15).powers([2.0], 3)

    def test_values_never_show(self):
        with pytest.raises(OutOfRange) as refused:
            Modulus(15).powers([987654321], 2)
        assert "987654321" not in str(refused.value)
        assert "987654321" not in repr(Modulus(987654321))
