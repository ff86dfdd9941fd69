"""The engine of vectors: which kernel it takes, that it proves itself first, and what it leaves in memory."""

import ctypes
import math
from ctypes.util import find_library

import numpy as np
import pytest

from secagg.errors import ConfigError
from secagg.kernels import _cpu, mask, montgomery
from secagg.kernels.montgomery import lanes
from secagg.primitives import _lanes
from secagg.primitives._gmp import Gmp
from secagg.primitives._lanes import MAX_BITS, Lanes
from secagg.primitives.modular import Modulus

N = (1 << 300) - 153

needs_a_kernel = pytest.mark.skipif(not montgomery.IMPLEMENTATIONS, reason="this processor has no kernel")
every_kernel = pytest.mark.parametrize("name", montgomery.IMPLEMENTATIONS)


@pytest.fixture(autouse=True)
def fresh_choice():
    caches = (montgomery.selected, mask.selected, _lanes.proved, _cpu.x86_features)
    for cached in caches:
        cached.cache_clear()
    yield
    for cached in caches:
        cached.cache_clear()


class TestChoice:
    @pytest.mark.parametrize("wanted", [None, ""])
    def test_the_fastest(self, monkeypatch, wanted):
        monkeypatch.delenv("SECAGG_KERNEL", raising=False)
        if wanted is not None:
            monkeypatch.setenv("SECAGG_KERNEL", wanted)
        assert montgomery.selected() == next(iter(montgomery.IMPLEMENTATIONS), "portable")

    @pytest.mark.parametrize(
        ("wanted", "taken"), [("vaes512", "ifma"), ("vaes256", "fma"), ("aesni", "portable"), ("portable", "portable")]
    )
    def test_vectors_no_wider_than_those_of_the_named_mask_kernel(self, monkeypatch, wanted, taken):
        monkeypatch.setattr(mask, "selected", lambda: wanted)
        monkeypatch.setattr(
            montgomery, "IMPLEMENTATIONS", {name: kind for name, (_, kind, _) in montgomery.FAST.items()}
        )
        monkeypatch.setenv("SECAGG_KERNEL", wanted)
        assert montgomery.selected() == taken

    def test_a_name_of_no_kernel_is_refused(self, monkeypatch):
        monkeypatch.setenv("SECAGG_KERNEL", "abacus")
        with pytest.raises(ConfigError, match="'abacus'"):
            Modulus(N).read(b"")

    @every_kernel
    def test_a_kernel_by_name(self, name):
        assert Modulus(N, name)._engine.limb == montgomery.IMPLEMENTATIONS[name]

    def test_a_kernel_that_does_not_run_here(self):
        with pytest.raises(ConfigError, match="Montgomery kernel 'abacus' does not run on this machine"):
            Modulus(N, "abacus").read(b"")

    def test_portable_is_gmp(self, monkeypatch):
        monkeypatch.setenv("SECAGG_KERNEL", "portable")
        monkeypatch.setattr(_lanes.lanes, "multiply", None)
        assert isinstance(Modulus(N)._engine, Gmp)

    @needs_a_kernel
    def test_the_longest_modulus_of_a_kernel(self, monkeypatch):
        monkeypatch.delenv("SECAGG_KERNEL", raising=False)
        longest = (1 << MAX_BITS) - 1
        ring = Modulus(longest)
        assert isinstance(ring._engine, Lanes)
        assert ring.powers([longest - 1, 2, longest - 2], 3) == [longest - 1, 8, longest - 8]
        assert isinstance(Modulus(2 * longest + 1)._engine, Gmp)

    @needs_a_kernel
    def test_the_longest_square_of_a_kernel(self, monkeypatch):
        monkeypatch.delenv("SECAGG_KERNEL", raising=False)
        longest = (1 << MAX_BITS // 2) - 1
        ring = Modulus.square(longest)
        assert ring._power_engine.parts == 2
        assert ring.powers([ring.n - 1, 2, ring.n - 2], 3) == [ring.n - 1, 8, ring.n - 8]
        assert isinstance(Modulus.square(2 * longest + 1)._power_engine, Gmp)

    @every_kernel
    def test_pairs_only_for_powers_mod_a_square(self, name):
        ring = Modulus.square(N, name)
        assert (ring._engine.parts, ring._power_engine.parts, ring.fixed_base(3, 10)._table._ring.parts) == (1, 2, 2)
        assert Modulus(N**2, name)._power_engine.parts == 1  # never guessed

    @pytest.mark.parametrize(
        ("has", "names"),
        [
            ((), []),
            (("avx2",), []),
            (("fma",), []),
            (("avx2", "fma"), ["fma"]),
            (("avx2", "fma", "avx512f"), ["fma"]),
            (("avx2", "fma", "avx512f", "avx512ifma"), ["ifma", "fma"]),
        ],
    )
    def test_each_kernel_waits_for_all_it_needs(self, monkeypatch, has, names):
        monkeypatch.setattr(_cpu, "x86_features", lambda: frozenset(has))
        assert list(montgomery._implementations()) == names


@needs_a_kernel
class TestProof:
    @every_kernel
    @pytest.mark.parametrize("square", [False, True])
    def test_every_kernel_here_passes(self, name, square):
        assert _lanes.proved(name, square) == montgomery.IMPLEMENTATIONS[name]

    @pytest.mark.parametrize(
        ("make", "what"),
        [
            *((Modulus, what) for what in ("multiply", "fold", "power", "fill", "fixed_power")),
            *((Modulus.square, what) for what in ("multiply", "power", "fill", "fixed_power")),
        ],
    )
    def test_one_wrong_bit_is_seen(self, monkeypatch, make, what):
        right = getattr(lanes, what)

        def flawed(out, *arguments):
            right(out, *arguments)
            out.reshape(-1)[0] += 1

        monkeypatch.delenv("SECAGG_KERNEL", raising=False)
        monkeypatch.setattr(lanes, what, flawed)
        for _ in range(2):
            with pytest.raises(ConfigError, match=r"Montgomery kernel '\w+' disagrees .* set SECAGG_KERNEL=portable"):
                make(N).powers([1], 1)

    def test_a_passed_proof_is_not_repeated(self, monkeypatch):
        monkeypatch.delenv("SECAGG_KERNEL", raising=False)
        Modulus(N).powers([2], 3)
        monkeypatch.setattr(lanes, "fold", None)
        assert Modulus(N).powers([2], 3) == [8]


TO_NEAREST, *OTHERWISE = 0, 0x400, 0x800, 0xC00
"""<fenv.h> of x86: nearest, down, up, towards zero."""


@every_kernel
@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("rounding", OTHERWISE)
def test_results_do_not_depend_on_the_rounding_mode(monkeypatch, name, parts, rounding):
    """Which some library may have left changed. R is as small as it may be here, so that nothing hides a large Q."""
    monkeypatch.setenv("SECAGG_THREADS", "1")
    kind = montgomery.IMPLEMENTATIONS[name]
    multiplier = lanes.MULTIPLIERS[str(kind)]
    root = (1 << 12 * multiplier.radix - multiplier.spare) - 1
    n = root**parts
    ring, values = Lanes(n, kind, root if parts == 2 else None), [0, 1, n - 1, n - 2]
    assert ring.length == 12
    values += [pow(3, 500 + i, n) for i in range(60)]
    plain = Lanes(n, kind)

    def read(values):
        return plain.read(b"".join(value.to_bytes((n.bit_length() + 7) // 8) for value in values))[0]

    libm = ctypes.CDLL(find_library("m"))
    libm.fesetround(rounding)
    try:
        running = plain.accumulator(len(values))
        for _ in range(20):
            running.multiply(read(values))
        found = ring.powers(values, 3**200), ring.fixed_base(3, 5, 30).powers(values[:2]), running.values()
        products = [plain.product(read(values[4:count])) for count in range(4, 64)]
    finally:
        libm.fesetround(TO_NEAREST)
    assert found == ([pow(x, 3**200, n) for x in values], [1, 3], [pow(x, 20, n) for x in values])
    assert products == [math.prod(values[4:count]) % n for count in range(4, 64)]


class Spy:
    """Every array that is made while it watches, and what went into the kernels."""

    def __init__(self, monkeypatch):
        self.scratch, made = [], _lanes.aligned

        def aligned(shape, dtype):
            self.scratch.append(made(shape, dtype))
            return self.scratch[-1]

        monkeypatch.setattr(_lanes, "aligned", aligned)
        self.arguments = {}
        for name in ("power", "fixed_power"):
            self.watch(monkeypatch, name, getattr(lanes, name))

    def watch(self, monkeypatch, name, kernel):
        def called(*arguments):
            kernel(*arguments)
            self.arguments.setdefault(name, []).append(arguments)

        monkeypatch.setattr(lanes, name, called)


@every_kernel
@pytest.mark.parametrize("root", [None, N])
class TestWiping:
    def test_after_fixed_powers(self, monkeypatch, name, root):
        ring = Lanes(N if root is None else N**2, montgomery.IMPLEMENTATIONS[name], root)
        table = ring.fixed_base(3, 5, 20)
        spy = Spy(monkeypatch)
        table.powers([(1 << 100) - 1] * 20)
        (out, _, exponents, _, digits, entry, _, room), *_ = spy.arguments["fixed_power"]
        for secret in (out, exponents, digits, entry, room, *spy.scratch):
            assert not secret.view(np.uint8).any()

    def test_after_powers(self, monkeypatch, name, root):
        ring = Lanes(N if root is None else N**2, montgomery.IMPLEMENTATIONS[name], root)
        spy = Spy(monkeypatch)
        ring.powers(list(range(20)), (1 << 100) - 1)
        (out, digits, _, table, _, entry, _, _, room), *_ = spy.arguments["power"]
        for secret in (out, digits, entry, room):
            assert not secret.view(np.uint8).any()
        assert table.any()  # of bases, which are public

    def test_after_a_failure(self, monkeypatch, name, root):
        ring = Lanes(N if root is None else N**2, montgomery.IMPLEMENTATIONS[name], root)
        table = ring.fixed_base(3, 5, 20)
        spy, kernel, seen = Spy(monkeypatch), lanes.fixed_power, []

        def failing(*arguments):
            kernel(*arguments)
            seen.append(arguments)
            raise KeyboardInterrupt

        monkeypatch.setattr(lanes, "fixed_power", failing)
        with pytest.raises(KeyboardInterrupt):
            table.powers([(1 << 100) - 1])
        _, _, exponents, _, digits, entry, _, room = seen[0]
        for secret in (exponents, digits, entry, room):
            assert not secret.view(np.uint8).any()
        assert spy.scratch
