"""Sums under CKKS come out exact, with certainty: the noise of each ciphertext has a bound, and the scale covers it."""

import hashlib
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tenseal import sealapi

from secagg.errors import ConfigError
from secagg.kernels import ntt
from secagg.primitives import ckks
from secagg.primitives.ckks import DEGREE, NOISE, SEED_BYTES, Masks, Parameters, SecretKey

SMALL = Parameters.holding(16, 20)


def opened(key, parameters, vectors):
    """Encrypt each, add, decrypt."""
    body = np.zeros(vectors[0].size, np.uint64)
    masks = Masks(parameters, body.size)
    for vector in vectors:
        carrying, seeds = key.encrypt(vector)
        assert carrying.shape == vector.shape
        assert len(seeds) == SEED_BYTES * parameters.blocks(vector.size)
        ckks.add(body, carrying, parameters)
        masks.add(seeds)
    return key.decrypt(body, masks.values())


def noise_of(key, parameters, ciphertexts):
    """(ciphertexts * N,) errors of fresh ciphertexts of zero, as signed integers."""
    vector = np.zeros(DEGREE * ciphertexts, np.uint64)
    body, seeds = key.encrypt(vector)
    masks = Masks(parameters, vector.size)
    masks.add(seeds)
    fine = Parameters(parameters.modulus.bit_length() - 1, parameters.modulus)  # scale 1: nothing is rounded away
    assert fine.scale == 1
    noisy = ckks.added(body, products(key, masks.values()), parameters).astype(np.int64)
    return np.where(noisy > parameters.modulus // 2, noisy - parameters.modulus, noisy)


def products(key, masks):
    """Uniform half times secret key, as coefficients, by SEAL's own decryptor."""
    seal = key._seal
    rows = np.empty_like(masks)
    decryptor = sealapi.Decryptor(seal.context, key._secret)
    with ckks._memory() as file:
        for mask, row in zip(masks, rows, strict=True):
            plain = sealapi.Plaintext()
            decryptor.decrypt(seal.ciphertext(file, mask), plain)
            row[:] = seal.last_numbers(file, plain)
    seal.to_coefficients(rows)
    return rows.reshape(-1)


@pytest.mark.parametrize(("inputs", "bits"), [(2, 1), (2, 2), (16, 20), (1000, 26), (1000, 42), (2000, 43)])
def test_parameters_hold_what_they_are_made_for(inputs, bits):
    found = Parameters.holding(inputs, bits)
    assert found.modulus % (2 * DEGREE) == 1
    assert found.modulus_bits in ckks.PRIME_BITS
    assert found.scale * 2**bits <= found.modulus
    assert found.capacity >= inputs
    assert 2 * NOISE * inputs < found.scale
    if found.modulus_bits > ckks.PRIME_BITS.start:
        shorter = Parameters(bits, ckks._largest_prime(found.modulus_bits - 1))
        assert shorter.capacity < inputs, "a shorter prime would do"


def test_every_size_has_a_prime():
    for bits in ckks.PRIME_BITS:
        assert ckks._largest_prime(bits).bit_length() == bits


@pytest.mark.parametrize(("inputs", "bits"), [(2**20, 36), (8192, 45), (2, 58)])
def test_sums_that_no_prime_holds_are_refused(inputs, bits):
    with pytest.raises(ConfigError, match=f"sums of {bits} bits over {inputs} clients.*60 bits"):
        Parameters.holding(inputs, bits)


def test_the_capacity_is_where_rounding_still_holds():
    """At the largest noise that `capacity` allows every integer is found; one more than the scale's half is not."""
    for parameters in (SMALL, Parameters.holding(1000, 42), Parameters.holding(3, 5)):
        scale, top = parameters.scale, 2**parameters.ring_bits - 1
        values = np.array([0, 1, 2, top // 2, top - 1, top] * 2, np.uint64)
        most = NOISE * parameters.capacity
        assert 2 * most < scale
        for noise in (-most, -1, 0, 1, most):
            noisy = np.array([(int(v) * scale + noise) % parameters.modulus for v in values], np.uint64)
            np.testing.assert_array_equal(ckks.decoded(noisy, parameters), values)
        beyond = np.array([(scale + scale // 2 + 1) % parameters.modulus], np.uint64)
        assert ckks.decoded(beyond, parameters)[0] == 2


@settings(max_examples=25)
@given(st.integers(0, 2**20 - 1), st.integers(-16 * NOISE, 16 * NOISE))
def test_any_value_with_any_noise_of_sixteen(value, noise):
    noisy = np.array([(value * SMALL.scale + noise) % SMALL.modulus], np.uint64)
    assert ckks.decoded(noisy, SMALL)[0] == value


@pytest.mark.parametrize("dim", [1, 7, DEGREE - 1, DEGREE, DEGREE + 1, 3 * DEGREE])
def test_sums_of_any_length(dim):
    draw = np.random.default_rng(dim)
    vectors = [draw.integers(0, 2**16, dim, np.uint16) for _ in range(5)]
    total = sum(vector.astype(np.uint64) for vector in vectors)
    np.testing.assert_array_equal(opened(SecretKey(os.urandom(32), SMALL), SMALL, vectors), total)


@pytest.mark.parametrize("fill", [0, 1, 2**16 - 1])
def test_sums_at_the_edges(fill):
    vectors = [np.full(100, fill, np.uint32)] * 16
    np.testing.assert_array_equal(opened(SecretKey(os.urandom(32), SMALL), SMALL, vectors), [16 * fill] * 100)


def test_the_widest_ring():
    """32-bit entries of 1000 clients take a prime of 58 bits."""
    parameters = Parameters.holding(1000, 42)
    vectors = [np.full(50, (2**42 - 1) // 3, np.uint64)] * 3
    key = SecretKey(os.urandom(32), parameters)
    np.testing.assert_array_equal(opened(key, parameters, vectors), [(2**42 - 1) // 3 * 3] * 50)


def test_the_noise_has_its_bound():
    noise = noise_of(SecretKey(os.urandom(32), SMALL), SMALL, 25)
    assert np.abs(noise).max() <= NOISE
    assert abs(noise.var() - 10.5) < 0.3
    assert abs(noise.mean()) < 0.1


@pytest.mark.nightly
@pytest.mark.parametrize("bits", [20, 42])
def test_the_noise_is_the_binomial_of_42_bits(bits):
    """Over 4 million draws: variance 42/4, never beyond 21, and as often at each value as the binomial says."""
    parameters = Parameters.holding(16, bits)
    noise = noise_of(SecretKey(os.urandom(32), parameters), parameters, 1000)
    assert np.abs(noise).max() <= NOISE
    assert abs(noise.var() - 10.5) < 0.05
    chances = np.array([1.0])
    for _ in range(42):
        chances = np.convolve(chances, [0.5, 0.5])
    seen = np.bincount(noise + NOISE, minlength=2 * NOISE + 1) / noise.size
    assert np.abs(seen - chances).max() < 6 * np.sqrt(chances.max() / noise.size)


@pytest.mark.nightly
def test_a_thousand_ciphertexts_add_up():
    parameters = Parameters.holding(1000, 42)
    draw = np.random.default_rng(5)
    vectors = [draw.integers(0, 2**32, 300, np.uint32) for _ in range(1000)]
    total = sum(vector.astype(np.uint64) for vector in vectors)
    np.testing.assert_array_equal(opened(SecretKey(os.urandom(32), parameters), parameters, vectors), total)


def test_seal_decrypts_what_we_send():
    """The whole ciphertext of one client, made of its coefficients and seed, is SEAL's own ciphertext of it."""
    key = SecretKey(os.urandom(32), SMALL)
    vector = np.arange(DEGREE, dtype=np.uint32)
    body, seeds = key.encrypt(vector)
    seal = key._seal
    values = body.reshape(1, DEGREE).copy()
    ntt.forward(values, *seal._to_values, np.uint64(SMALL.modulus))
    plain = sealapi.Plaintext()
    with ckks._memory() as file:
        whole = seal._loaded(file, sealapi.Ciphertext(), seal._before_body, values.tobytes(), seal._before_seed, seeds)
        sealapi.Decryptor(seal.context, key._secret).decrypt(whole, plain)
        noisy = seal.last_numbers(file, plain).reshape(1, DEGREE).copy()
    seal.to_coefficients(noisy)
    np.testing.assert_array_equal(ckks.decoded(noisy[0], SMALL), vector)


def test_the_root_of_unity_is_seals():
    """SEAL's own secret key is ternary once transformed back, which any other root would not give."""
    seal = ckks._seal(SMALL)
    with ckks._memory() as file:
        values = seal.last_numbers(file, sealapi.KeyGenerator(seal.context).secret_key()).reshape(1, DEGREE).copy()
    seal.to_coefficients(values)
    assert set(values[0].tolist()) == {0, 1, SMALL.modulus - 1}


def test_a_seed_is_one_ternary_key():
    seed = os.urandom(32)
    secret = ckks._ternary(seed)
    assert secret.shape == (DEGREE,)
    np.testing.assert_array_equal(secret, ckks._ternary(seed))
    assert (secret != ckks._ternary(bytes(32))).any()
    counts = np.bincount(secret + 1, minlength=3)
    assert counts.size == 3
    assert np.abs(counts - DEGREE / 3).max() < 6 * np.sqrt(DEGREE * 2 / 9)


def test_a_seed_s_key_by_hand():
    """SHAKE-256 of label and seed; of each byte below 243 five digits in base 3, the lowest first, less one."""
    seed, digits = bytes(range(32)), []
    for byte in hashlib.shake_256(b"secagg/ckks/ternary" + seed).digest(2000):
        if byte < 243:
            for _ in range(5):
                byte, digit = divmod(byte, 3)  # noqa: PLW2901
                digits.append(digit - 1)
    np.testing.assert_array_equal(ckks._ternary(seed), digits[:DEGREE])


def test_another_key_opens_nothing():
    vector = np.arange(1000, dtype=np.uint32)
    body, seeds = SecretKey(os.urandom(32), SMALL).encrypt(vector)
    masks = Masks(SMALL, vector.size)
    masks.add(seeds)
    other = SecretKey(os.urandom(32), SMALL).decrypt(body, masks.values())
    assert (other == vector).sum() < 5


def test_each_encryption_is_fresh():
    key, vector = SecretKey(os.urandom(32), SMALL), np.zeros(2 * DEGREE, np.uint32)
    (body, seeds), (again, others) = key.encrypt(vector), key.encrypt(vector)
    assert (body == again).mean() < 0.01
    distinct = {(seeds + others)[SEED_BYTES * i : SEED_BYTES * (i + 1)] for i in range(4)}
    assert len(distinct) == 4


def test_masks_go_on_from_their_values():
    key, vectors = SecretKey(os.urandom(32), SMALL), [np.full(5000, i, np.uint32) for i in range(3)]
    whole, parts = Masks(SMALL, 5000), Masks(SMALL, 5000)
    assert whole.values() is None
    for vector in vectors:
        _, seeds = key.encrypt(vector)
        whole.add(seeds)
        parts.add(seeds)
        parts = Masks(SMALL, 5000, parts.values())
    np.testing.assert_array_equal(whole.values(), parts.values())


def test_vectors_are_not_changed():
    vector = np.arange(10, dtype=np.uint64)
    SecretKey(bytes(32), SMALL).encrypt(vector)
    np.testing.assert_array_equal(vector, np.arange(10))


def test_keys_tell_nothing():
    key = SecretKey(bytes(31) + b"\x01", SMALL)
    assert repr(key) == "SecretKey(<4096 coefficients>)"
    with pytest.raises(ConfigError, match="seed of a CKKS key: expected 32 bytes, got 31"):
        SecretKey(bytes(31), SMALL)


def test_a_system_without_files_in_memory_is_refused(monkeypatch):
    ckks._seal(SMALL)
    monkeypatch.delattr(os, "memfd_create")
    with pytest.raises(ConfigError, match=r"files in memory.*expected Linux"):
        SecretKey(bytes(32), SMALL)


def test_another_layout_is_refused(monkeypatch):
    monkeypatch.setattr(ckks, "_BEFORE_CIPHER", 98)
    with pytest.raises(ConfigError, match="another layout"):
        ckks._Seal(SMALL)
