"""Which mask kernel runs: the fastest of this machine, or the one that a variable names, once it proved itself."""

import numba
import numpy as np
import pytest

from secagg.errors import ConfigError
from secagg.kernels import _cpu, mask

LANES = [np.uint16, np.uint32, np.uint64]


def nothing_to_add():
    return np.zeros(1, np.uint32), np.zeros((0, 16), np.uint8), np.zeros(0, np.int8), 0


@pytest.fixture(autouse=True)
def fresh_choice():
    caches = (mask.selected, mask._proved, _cpu.x86_features)
    for cached in caches:
        cached.cache_clear()
    yield
    for cached in caches:
        cached.cache_clear()


class TestChoice:
    def test_the_first_is_taken_unless_the_variable_names_another(self, monkeypatch):
        monkeypatch.delenv("SECAGG_KERNEL", raising=False)
        assert mask.selected() == next(iter(mask.IMPLEMENTATIONS))

    @pytest.mark.parametrize("name", list(mask.IMPLEMENTATIONS))
    def test_the_variable_names_one(self, monkeypatch, name):
        called = []
        monkeypatch.setenv("SECAGG_KERNEL", name)
        monkeypatch.setattr(mask.proof, "prove", lambda *arguments: None)
        for other in mask.IMPLEMENTATIONS:
            monkeypatch.setitem(mask.IMPLEMENTATIONS, other, lambda *arguments, other=other: called.append(other))
        mask.add_masks(*nothing_to_add())
        assert mask.selected() == name
        assert called == [name]

    def test_an_unknown_one_is_refused_with_the_choices(self, monkeypatch):
        monkeypatch.setenv("SECAGG_KERNEL", "abacus")
        with pytest.raises(ConfigError, match=r"'abacus'.*choose one of: .*portable"):
            mask.add_masks(*nothing_to_add())

    def test_one_that_needs_another_processor_is_refused_likewise(self, monkeypatch):
        monkeypatch.setattr(_cpu, "x86_features", frozenset)
        monkeypatch.setattr(mask, "IMPLEMENTATIONS", mask._implementations())
        monkeypatch.setenv("SECAGG_KERNEL", "vaes512")
        with pytest.raises(ConfigError, match=r"'vaes512' .* choose one of: portable$"):
            mask.selected()


class TestFeatures:
    @pytest.mark.parametrize(
        ("has", "names"),
        [
            ((), ["portable"]),
            (("vaes", "avx2"), ["portable"]),
            (("aes",), ["aesni", "portable"]),
            (("aes", "vaes", "avx2"), ["vaes256", "aesni", "portable"]),
            (("aes", "avx2", "avx512f", "avx512bw"), ["aesni", "portable"]),
            (("aes", "vaes", "avx2", "avx512f", "avx512bw"), ["vaes512", "vaes256", "aesni", "portable"]),
        ],
    )
    def test_each_kernel_waits_for_all_it_needs(self, monkeypatch, has, names):
        monkeypatch.setattr(_cpu, "x86_features", lambda: frozenset(has))
        assert list(mask._implementations()) == names

    @pytest.fixture
    def processor(self, monkeypatch):
        monkeypatch.setattr(_cpu.platform, "machine", lambda: "x86_64")
        host = {"aes": True, "avx2": True, "vaes": True, "avx512f": False}
        monkeypatch.setattr(_cpu.binding, "get_host_cpu_features", lambda: host)
        monkeypatch.setattr(numba.config, "CPU_FEATURES", None)
        monkeypatch.setattr(numba.config, "ENABLE_AVX", 1)

    def test_what_the_processor_has(self, processor):
        assert _cpu.x86_features() == {"aes", "avx2", "vaes"}

    @pytest.mark.parametrize(("features", "left"), [("", set()), ("+aes,-avx2,+avx512f", {"aes"})])
    def test_a_target_of_numba_takes_away_and_adds_nothing(self, processor, monkeypatch, features, left):
        monkeypatch.setattr(numba.config, "CPU_FEATURES", features)
        assert _cpu.x86_features() == left

    def test_avx_switched_off(self, processor, monkeypatch):
        monkeypatch.setattr(numba.config, "ENABLE_AVX", 0)
        assert _cpu.x86_features() == {"aes", "vaes"}

    def test_the_same_names_mean_nothing_on_another_architecture(self, processor, monkeypatch):
        monkeypatch.setattr(_cpu.platform, "machine", lambda: "aarch64")
        assert _cpu.x86_features() == frozenset()


class TestThreads:
    @pytest.mark.parametrize("wanted", ["1", "2", "64"])
    def test_the_variable_says(self, monkeypatch, wanted):
        monkeypatch.setenv("SECAGG_THREADS", wanted)
        assert _cpu.threads() == int(wanted)

    @pytest.mark.parametrize("wanted", [None, ""])
    def test_or_else_every_processor_of_this_process(self, monkeypatch, wanted):
        monkeypatch.delenv("SECAGG_THREADS", raising=False)
        if wanted is not None:
            monkeypatch.setenv("SECAGG_THREADS", wanted)
        monkeypatch.setattr(_cpu.os, "sched_getaffinity", lambda pid: {0, 3, 4}, raising=False)
        assert _cpu.threads() == 3

    @pytest.mark.parametrize("wanted", ["0", "-1", "two", "1.5", "²"])
    def test_anything_else_is_refused(self, monkeypatch, wanted):
        monkeypatch.setenv("SECAGG_THREADS", wanted)
        with pytest.raises(ConfigError, match=f"SECAGG_THREADS='{wanted}': expected an integer >= 1"):
            _cpu.threads()


class TestProof:
    @pytest.mark.parametrize("name", list(mask.IMPLEMENTATIONS))
    @pytest.mark.parametrize("dtype", LANES)
    def test_every_kernel_here_passes(self, name, dtype):
        mask.proof.prove(name, mask.IMPLEMENTATIONS[name], np.dtype(dtype))

    @pytest.mark.parametrize("dtype", LANES)
    def test_once_for_each_lane_before_anything_is_written(self, monkeypatch, dtype):
        calls = []
        monkeypatch.setenv("SECAGG_KERNEL", "rigged")
        monkeypatch.setitem(mask.IMPLEMENTATIONS, "rigged", lambda acc, *rest: calls.append(acc.size))
        acc, keys, signs = np.zeros(5, dtype), np.ones((1, 16), np.uint8), np.ones(1, np.int8)
        for _ in range(2):
            with pytest.raises(ConfigError, match=f"'rigged' disagrees with OpenSSL .* {acc.dtype} lanes; set SECAGG"):
                mask.add_masks(acc, keys, signs, 0)
        assert 5 not in calls
        assert not acc.any()

    @pytest.mark.parametrize("where", [0, 1000, -1])
    def test_one_wrong_bit_is_seen(self, where):
        def flawed(acc, *arguments):
            mask.portable.add_masks(acc, *arguments)
            acc[where] ^= 1

        with pytest.raises(ConfigError):
            mask.proof.prove("flawed", flawed, np.dtype(np.uint32))

    def test_a_passed_proof_is_not_repeated(self, monkeypatch):
        calls = []

        def counted(*arguments):
            calls.append(arguments)
            mask.portable.add_masks(*arguments)

        monkeypatch.setenv("SECAGG_KERNEL", "counted")
        monkeypatch.setitem(mask.IMPLEMENTATIONS, "counted", counted)
        for _ in range(3):
            mask.add_masks(*nothing_to_add())
        assert len(calls) == 1 + 3
