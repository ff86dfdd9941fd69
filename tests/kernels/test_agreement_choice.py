"""Which agreement kernel runs: the fastest whose vectors SECAGG_KERNEL allows, once it proved itself."""

import subprocess
import sys

import numpy as np
import pytest

from secagg.errors import ConfigError
from secagg.kernels import _cpu, agreement, mask
from secagg.primitives import agreement as primitive

CACHES = (agreement.selected, agreement._proved, mask.selected, mask._proved, _cpu.x86_features)
ROWS = 2 * agreement.proof.PAIRS


@pytest.fixture(autouse=True)
def fresh_choice(monkeypatch):
    for cached in CACHES:
        cached.cache_clear()
    monkeypatch.setattr(agreement, "_asked", 0)
    yield
    for cached in CACHES:
        cached.cache_clear()


def some_pairs(n=ROWS):
    privates = [bytes([i % 5 + 1]) * 32 for i in range(n)]
    publics = [primitive.public_key(i.to_bytes(32, "big")) for i in range(n)]
    return privates, publics, [b"info %04d" % i for i in range(n)]


class TestChoice:
    @pytest.mark.parametrize(
        ("has", "variable", "name"),
        [
            ((), None, "portable"),
            (("avx2",), None, "portable"),
            (("avx2", "fma"), None, "avx2"),
            (("avx2", "fma", "avx512f"), None, "avx2"),
            (("avx2", "fma", "avx512f", "avx512ifma"), None, "ifma"),
            (("avx2", "fma", "avx512f", "avx512ifma"), "portable", "portable"),
            (("avx2", "fma", "avx512f", "avx512ifma"), "aesni", "portable"),
            (("avx2", "fma", "avx512f", "avx512ifma"), "vaes256", "avx2"),
            (("avx2", "fma", "avx512f", "avx512ifma"), "vaes512", "ifma"),
            (("avx2", "fma", "avx512f"), "vaes512", "avx2"),
        ],
    )
    def test_the_widest_that_runs_and_is_allowed(self, monkeypatch, has, variable, name):
        monkeypatch.setattr(_cpu, "x86_features", lambda: frozenset({"aes", "vaes", "avx512bw", *has}))
        monkeypatch.setattr(mask, "IMPLEMENTATIONS", dict.fromkeys([*mask.FAST, "portable"]))
        monkeypatch.setattr(agreement, "IMPLEMENTATIONS", agreement._implementations())
        monkeypatch.delenv("SECAGG_KERNEL", raising=False)
        if variable:
            monkeypatch.setenv("SECAGG_KERNEL", variable)
        assert agreement.selected() == name

    def test_a_name_that_no_mask_kernel_has(self, monkeypatch):
        monkeypatch.setenv("SECAGG_KERNEL", "abacus")
        with pytest.raises(ConfigError, match="'abacus' is not a mask kernel of this machine"):
            agreement.selected()

    def test_portable_never_asks_a_kernel(self, monkeypatch):
        monkeypatch.setenv("SECAGG_KERNEL", "portable")
        monkeypatch.setattr(agreement, "derive", None)
        assert not agreement.is_worth(10**6)
        assert len(primitive.derive_many(*some_pairs(), b"salt")) == ROWS


@pytest.fixture
def rigged(monkeypatch):
    """What was asked of the only implementation, which answers with zeros."""
    asked = []

    def answer(scalars, points, infos, salt):
        asked.append(len(scalars))
        return np.zeros((len(scalars), 32), np.uint8), np.zeros(len(scalars), np.bool_)

    monkeypatch.setattr(agreement, "IMPLEMENTATIONS", {"rigged": answer})
    monkeypatch.setattr(agreement, "selected", lambda: "rigged")
    return asked


class TestSmallCounts:
    """Loading costs as much as `LOADING` pairs."""

    @pytest.fixture(autouse=True)
    def quickly(self, monkeypatch):
        monkeypatch.setattr(agreement, "LOADING", 3 * ROWS)
        monkeypatch.setattr(agreement.proof, "prove", lambda *arguments: None)

    def test_a_process_that_asks_for_few_pairs_does_not_load_it(self, rigged):
        for rows in (ROWS, ROWS, ROWS - 1):
            primitive.derive_many(*some_pairs(rows), b"salt")
        assert not rigged

    def test_calls_that_it_would_not_serve_never_load_it(self, rigged):
        rows = agreement.LEAST - 1
        for _ in range(4 * ROWS // rows):
            primitive.derive_many(*some_pairs(rows), b"salt")
        assert not rigged

    @pytest.mark.parametrize("calls", [[3 * ROWS], [ROWS] * 3, [1] * ROWS + [3 * ROWS]])
    def test_it_is_loaded_with_the_call_that_brings_enough(self, rigged, calls):
        for rows in calls:
            primitive.derive_many(*some_pairs(rows), b"salt")
        assert rigged == [calls[-1]]

    def test_once_loaded_it_serves_few(self, rigged):
        agreement.load()
        primitive.derive_many(*some_pairs(agreement.LEAST), b"salt")
        primitive.derive_many(*some_pairs(agreement.LEAST - 1), b"salt")
        assert rigged == [agreement.LEAST]

    def test_no_rows(self):
        assert primitive.derive_many([], [], [], b"") == []


class TestProof:
    @pytest.mark.parametrize("name", list(agreement.IMPLEMENTATIONS))
    def test_every_kernel_here_passes(self, name):
        agreement.proof.prove(name, agreement.IMPLEMENTATIONS[name])

    def test_one_that_is_wrong_derives_nothing(self, rigged, monkeypatch):
        monkeypatch.setattr(agreement, "LOADING", ROWS)
        for use in (agreement.load, lambda: primitive.derive_many(*some_pairs(), b"salt")):
            with pytest.raises(ConfigError, match=r"'rigged' disagrees with OpenSSL .*set SECAGG_KERNEL=portable"):
                use()
        assert set(rigged) == {agreement.proof.PAIRS}

    @pytest.mark.parametrize("row", range(agreement.proof.PAIRS))
    def test_one_wrong_row_is_seen(self, row):
        def flawed(scalars, points, infos, salt):
            rows = ([bytes(row) for row in table] for table in (scalars, points, infos))
            derived = primitive._one_by_one(*rows, salt)
            keys = np.frombuffer(b"".join(key or bytes(32) for key in derived), np.uint8).reshape(-1, 32).copy()
            is_zero = np.array([key is None for key in derived])
            if row == agreement.proof.LOW_ORDER:
                is_zero[row] = False
            keys[row, row % 32] ^= 1
            return keys, is_zero

        with pytest.raises(ConfigError):
            agreement.proof.prove("flawed", flawed)


@pytest.mark.skipif(not agreement.IMPLEMENTATIONS, reason="no kernel here")
def test_derive_many_is_the_same_with_and_without_a_kernel(monkeypatch):
    """Infos of several lengths, points of low order, and few rows of one length among many of another."""
    privates, publics, infos = some_pairs(2 * ROWS)
    for i in range(0, len(infos), 3):
        infos[i] += bytes(i % 2)
    infos[7], publics[9], publics[10] = b"alone", bytes(32), b"\1" + bytes(31)
    expected = primitive._one_by_one(privates, publics, infos, b"salt")
    assert expected[9] is expected[10] is None
    agreement.load()
    asked = []
    derive = agreement.derive
    monkeypatch.setattr(agreement, "derive", lambda *arguments: asked.append(len(arguments[0])) or derive(*arguments))
    assert primitive.derive_many(privates, publics, infos, b"salt") == expected
    assert sum(asked) == 2 * ROWS - 1


def test_a_small_round_does_not_even_import_it():
    program = """
import sys
import numpy as np
import secagg
from secagg_protocols import PairwiseMasking
secagg.aggregate({i: np.zeros(10) for i in range(10)}, PairwiseMasking())
assert "secagg.kernels.mask.aes" in sys.modules
assert not {"secagg.kernels.agreement.batch", "secagg.kernels.agreement.x25519"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
