"""CKKS (Cheon, Kim, Kim, Song, ASIACRYPT 2017) by SEAL through TenSEAL, for sums of integers that come out exact.

Only additions are needed, so an integer m stands as scale * m in one coefficient of a plaintext polynomial, N of
them to a polynomial; the canonical embedding, which would spread each coefficient's error over all slots, is left
out. SEAL draws the ciphertexts (seeded and symmetric: half of each is a 64-byte seed), adds and decrypts them. This
module encodes and decodes, and takes SEAL's objects apart and together: what a peer sends never reaches SEAL's
decoders, only coefficients that were counted and found below the modulus do.

SEAL takes its randomness from the operating system. Its default noise is a centered binomial of 42 bits: at most 21
in absolute value, always (a build with the clipped Gaussian instead stays below 20), so a sum of n ciphertexts with
2 * 21 * n < scale decrypts exactly, with certainty.
"""

import hashlib
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray
from tenseal import sealapi

from secagg.errors import ConfigError
from secagg.kernels import ntt
from secagg.primitives._bytes import of_length
from secagg.spans import span

Residues = NDArray[np.uint64]

DEGREE = 4096
"""N: coefficients of a polynomial. SEAL's table allows moduli of up to 109 bits for 128-bit security."""
SEED_BYTES = 64
"""Of the uniform half of one ciphertext, public."""
KEY_SEED_BYTES = 32
"""Of a secret key."""
NOISE = 21
"""Largest absolute value of one fresh ciphertext's error, in each coefficient."""
PRIME_BITS = range(20, 61)
"""Of the one prime that is the modulus: there is one = 1 mod 2N of each size, and SEAL allows no larger ones."""

_HEADER = struct.Struct("<HBBBBHQ")
"""Before all that SEAL saves: magic, own size, version (two bytes), compression, zero, size in all."""
_MAGIC = 0xA15E
_UNCOMPRESSED, _ZSTANDARD = 0, 2
_BEFORE_PLAIN = 72
"""Bytes of a plaintext or secret key before its N numbers: parameters' digest, size, scale, header, count."""
_BEFORE_CIPHER = 97
"""The same of a ciphertext: in between, its form, three sizes, scale and a factor of another scheme."""
_BEFORE_SEED = 17
"""Between the N numbers of a seeded ciphertext and its seed: a header, and the kind of generator."""


@dataclass(frozen=True)
class Parameters:
    """What one sum needs; equal at all ends of a round.

    Attributes:
        ring_bits: b; plaintexts are 0..2**b - 1.
        modulus: q, a prime = 1 mod 2N.
    """

    ring_bits: int
    modulus: int

    @classmethod
    def holding(cls, inputs: int, ring_bits: int) -> "Parameters":
        """The smallest modulus with which `inputs` ciphertexts, whose plaintexts' sum is below 2**ring_bits, add up.

        Raises:
            ConfigError: no prime that SEAL allows is large enough.
        """
        least = 2 * NOISE * inputs + 1
        for bits in range(max(PRIME_BITS.start, (least << ring_bits).bit_length() - 1), PRIME_BITS.stop):
            found = cls(ring_bits, _largest_prime(bits))
            if found.scale >= least:
                return found
        raise ConfigError(
            f"sums of {ring_bits} bits over {inputs} clients take a modulus of more than "
            f"{PRIME_BITS.stop - 1} bits, SEAL's largest prime: use fewer bits an entry, or a smaller cohort"
        )

    @property
    def scale(self) -> int:
        """What an integer is multiplied with: floor(q / 2**b)."""
        return self.modulus >> self.ring_bits

    @property
    def capacity(self) -> int:
        """Most ciphertexts whose summed noise stays below half the scale."""
        return (self.scale - 1) // (2 * NOISE)

    @property
    def modulus_bits(self) -> int:
        """Bits of a coefficient on the wire."""
        return self.modulus.bit_length()

    @property
    def digest(self) -> bytes:
        """32 bytes that stand for these parameters."""
        return hashlib.sha256(f"secagg/ckks/{DEGREE}/{self.modulus}/{self.ring_bits}".encode()).digest()

    def blocks(self, dim: int) -> int:
        """Ciphertexts of a vector of `dim` entries."""
        return -(-dim // DEGREE)


class SecretKey:
    """A ternary polynomial that a seed stands for: who has the seed has the key.

    Args:
        seed: 32 bytes.
        parameters: of the round.

    Raises:
        ConfigError: the seed has another length, or this system has no files in memory.
    """

    @span("CKKS keys from their seeds")
    def __init__(self, seed: bytes, parameters: Parameters) -> None:
        self._seal = _seal(parameters)
        self._secret = self._seal.secret_key(_ternary(of_length(seed, KEY_SEED_BYTES, "seed of a CKKS key")))

    def __repr__(self) -> str:
        return f"SecretKey(<{DEGREE} coefficients>)"

    @span("CKKS encryption")
    def encrypt(self, vector: NDArray[np.unsignedinteger]) -> tuple[Residues, bytes]:
        """Fresh ciphertexts of (dim,) integers below 2**ring_bits.

        Returns:
            (dim,) uint64 below q: the coefficients that carry the entries, and 64 bytes of seed a ciphertext.
        """
        body = np.empty((self._seal.parameters.blocks(vector.size), DEGREE), np.uint64)
        seeds = []
        encryptor = sealapi.Encryptor(self._seal.context, self._secret)
        with _memory() as file:
            for row in body:
                row[:], seed = self._seal.taken_apart(file, encryptor.encrypt_zero_symmetric())
                seeds.append(seed)
        self._seal.to_coefficients(body)
        carrying = body.reshape(-1)[: vector.size]
        add(carrying, vector.astype(np.uint64) * np.uint64(self._seal.parameters.scale), self._seal.parameters)
        return carrying, b"".join(seeds)

    @span("opening of CKKS sums")
    def decrypt(self, body: Residues, masks: Residues) -> Residues:
        """The sum of the plaintexts, mod 2**ring_bits.

        Args:
            body: (dim,) uint64 below q, the sum of what `encrypt` returned.
            masks: (blocks, N) uint64 below q, what `Masks` adds up of the seeds.
        """
        decryptor = sealapi.Decryptor(self._seal.context, self._secret)
        products = np.empty_like(masks)
        with _memory() as file:
            for mask, product in zip(masks, products, strict=True):
                plain = sealapi.Plaintext()
                decryptor.decrypt(self._seal.ciphertext(file, mask), plain)
                product[:] = self._seal.last_numbers(file, plain)
        self._seal.to_coefficients(products)
        return decoded(added(body, products.reshape(-1)[: body.size], self._seal.parameters), self._seal.parameters)


class Masks:
    """The sum of ciphertexts' uniform halves, each expanded from its seed by SEAL as it comes.

    Args:
        parameters, dim: of the round.
        values: (blocks, N) uint64 below q, as `values` returned it; None for no ciphertext yet.
    """

    def __init__(self, parameters: Parameters, dim: int, values: Residues | None = None) -> None:
        self._parameters = parameters
        self._blocks = parameters.blocks(dim)
        self._sums: list[Any] = []
        if values is not None:
            seal = _seal(parameters)
            with _memory() as file:
                self._sums = [seal.ciphertext(file, row) for row in values]

    @span("sums of CKKS ciphertexts")
    def add(self, seeds: bytes) -> None:
        """Expand and add one client's seeds, 64 bytes a block."""
        seal = _seal(self._parameters)
        rows = [seeds[SEED_BYTES * i : SEED_BYTES * (i + 1)] for i in range(self._blocks)]
        with _memory() as file:
            expanded = [seal.expanded(file, seed) for seed in rows]
        self._add(expanded)

    def merge(self, other: "Masks") -> None:
        """Add another sum, which must not be used any more."""
        if other._sums:
            self._add(other._sums)

    def _add(self, ciphertexts: list[Any]) -> None:
        if not self._sums:
            self._sums = ciphertexts
            return
        evaluator = sealapi.Evaluator(_seal(self._parameters).context)
        for total, one in zip(self._sums, ciphertexts, strict=True):
            evaluator.add_inplace(total, one)

    def values(self) -> Residues | None:
        """(blocks, N) uint64 below q, in SEAL's transformed order; None before the first `add`."""
        if not self._sums:
            return None
        with _memory() as file:
            return np.stack([_Seal.last_numbers(file, total) for total in self._sums])


@span("sums of CKKS ciphertexts")
def add(total: Residues, terms: Residues, parameters: Parameters) -> None:
    """total += terms mod q, in place; all below q."""
    total += terms
    np.subtract(total, np.uint64(parameters.modulus), out=total, where=total >= parameters.modulus)


def added(total: Residues, terms: Residues, parameters: Parameters) -> Residues:
    """The same as a new array."""
    fresh = total.copy()
    add(fresh, terms, parameters)
    return fresh


def decoded(noisy: Residues, parameters: Parameters) -> Residues:
    """The integers nearest to noisy / scale, mod 2**ring_bits; noise below zero wraps to just below q, and back."""
    shifted = added(noisy, np.full_like(noisy, parameters.scale // 2), parameters)
    shifted //= np.uint64(parameters.scale)
    shifted &= np.uint64(2**parameters.ring_bits - 1)
    return shifted


def _ternary(seed: bytes) -> NDArray[np.int64]:
    """(N,) of -1, 0 and 1: each byte of SHAKE-256(seed) below 3**5 gives five, by its digits in base 3."""
    stream = np.frombuffer(hashlib.shake_256(b"secagg/ckks/ternary" + seed).digest(2 * DEGREE), np.uint8)
    accepted = stream[stream < 3**5][: -(-DEGREE // 5), None].astype(np.int64)
    return (accepted // 3 ** np.arange(5) % 3).reshape(-1)[:DEGREE] - 1


def _largest_prime(bits: int) -> int:
    return int(sealapi.CoeffModulus.Create(DEGREE, [bits])[0].value())


@lru_cache(maxsize=8)
def _seal(parameters: Parameters) -> "_Seal":
    return _Seal(parameters)


_OTHER_LAYOUT = "this TenSEAL saves its objects in another layout than TenSEAL 0.3.18: SEAL 4's, with zstandard"


class _Seal:
    """SEAL's context, and its objects taken apart and put together: "Serialization" in SEAL 4's headers.

    A saved object is a header of 16 bytes and its body, compressed with zstandard unless the header says otherwise.
    Of each kind one example, made here, gives the bytes that stand before the numbers.
    """

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        settings = sealapi.EncryptionParameters(sealapi.SCHEME_TYPE.CKKS)
        settings.set_poly_modulus_degree(DEGREE)
        settings.set_coeff_modulus(sealapi.CoeffModulus.Create(DEGREE, [parameters.modulus_bits]))
        self.context = sealapi.SEALContext(settings, False, sealapi.SEC_LEVEL_TYPE.TC128)
        if not self.context.parameters_set() or settings.coeff_modulus()[0].value() != parameters.modulus:
            raise ConfigError(f"SEAL refuses its parameters: {self.context.parameters_error_message()}")
        self._to_values, self._to_coefficients = _tables(parameters.modulus)
        self._read_examples()

    def _read_examples(self) -> None:
        """The bytes that stand before the numbers of a secret key, of a whole and of a seeded ciphertext."""
        secret = sealapi.KeyGenerator(self.context).secret_key()
        encryptor, whole = sealapi.Encryptor(self.context, secret), sealapi.Ciphertext()
        encryptor.encrypt_zero_symmetric(whole)
        with _memory() as file:
            key, pair = _saved(file, secret), _saved(file, whole)
            seeded = _saved(file, encryptor.encrypt_zero_symmetric())
            self._version = os.pread(file, _HEADER.size, 0)[3:5]
        numbers = 8 * DEGREE
        seeded_size = _BEFORE_CIPHER + numbers + _BEFORE_SEED + SEED_BYTES
        if (len(key), len(pair), len(seeded)) != (_BEFORE_PLAIN + numbers, _BEFORE_CIPHER + 2 * numbers, seeded_size):
            raise ConfigError(_OTHER_LAYOUT)
        self._before_key, self._before_pair = key[:_BEFORE_PLAIN], pair[:_BEFORE_CIPHER]
        self._before_body = seeded[:_BEFORE_CIPHER]
        self._before_seed = seeded[_BEFORE_CIPHER + numbers : -SEED_BYTES]

    def to_coefficients(self, values: Residues) -> None:
        """(m, N), in place."""
        ntt.inverse(values, *self._to_coefficients, np.uint64(self.parameters.modulus))

    def secret_key(self, ternary: NDArray[np.int64]) -> Any:
        """SEAL's key of these coefficients."""
        values = (ternary % self.parameters.modulus).astype(np.uint64)[np.newaxis]
        ntt.forward(values, *self._to_values, np.uint64(self.parameters.modulus))
        with _memory() as file:
            return self._loaded(file, sealapi.SecretKey(), self._before_key, values.tobytes())

    def taken_apart(self, file: int, seeded: Any) -> tuple[Residues, bytes]:
        """(N,) transformed coefficients and the seed of a fresh seeded ciphertext."""
        data = _saved(file, seeded)
        return np.frombuffer(data, np.dtype("<u8"), DEGREE, _BEFORE_CIPHER), data[-SEED_BYTES:]

    def expanded(self, file: int, seed: bytes) -> Any:
        """The ciphertext of zeros and what the seed stands for."""
        zeros = bytes(8 * DEGREE)
        return self._loaded(file, sealapi.Ciphertext(), self._before_body, zeros, self._before_seed, seed)

    def ciphertext(self, file: int, mask: Residues) -> Any:
        """The ciphertext of zeros and (N,) `mask`."""
        return self._loaded(file, sealapi.Ciphertext(), self._before_pair, bytes(8 * DEGREE), mask.tobytes())

    @staticmethod
    def last_numbers(file: int, thing: Any) -> Residues:
        """(N,) of a plaintext, or the uniform half of a ciphertext."""
        return np.frombuffer(_saved(file, thing)[-8 * DEGREE :], np.dtype("<u8"))

    def _loaded(self, file: int, thing: Any, *parts: bytes) -> Any:
        """`thing`, made of a body that is given in parts."""
        size = _HEADER.size + sum(map(len, parts))
        header = _HEADER.pack(_MAGIC, _HEADER.size, *self._version, _UNCOMPRESSED, 0, size)
        os.ftruncate(file, 0)
        os.pwrite(file, b"".join((header, *parts)), 0)
        thing.load(self.context, _path(file))
        return thing


@contextmanager
def _memory() -> Iterator[int]:
    """A file that has no name and never touches a disk: SEAL saves to paths only, and secret keys pass through it."""
    if not hasattr(os, "memfd_create"):
        raise ConfigError("CKKS needs files in memory to reach into TenSEAL, which this system lacks: expected Linux")
    file = os.memfd_create("secagg-ckks")
    try:
        yield file
    finally:
        os.close(file)


def _path(file: int) -> str:
    return f"/proc/self/fd/{file}"


def _saved(file: int, thing: Any) -> bytes:
    """The body of what SEAL saves."""
    thing.save(_path(file))
    data = os.pread(file, os.fstat(file).st_size, 0)
    magic, _, _, _, compression, _, size = _HEADER.unpack_from(data)
    if (magic, compression, size) != (_MAGIC, _ZSTANDARD, len(data)):
        raise ConfigError(_OTHER_LAYOUT)
    return zstandard.ZstdDecompressor().decompressobj().decompress(data[_HEADER.size :])


def _tables(modulus: int) -> tuple[tuple[Residues, Residues], tuple[Residues, Residues]]:
    """(roots, quotients) of `ntt.forward` and of `ntt.inverse`, for SEAL's root: the least primitive 2N-th one."""
    some = next(
        root
        for root in (pow(base, (modulus - 1) // (2 * DEGREE), modulus) for base in range(2, modulus))
        if pow(root, DEGREE, modulus) == modulus - 1
    )
    powers = [1]
    for _ in range(2 * DEGREE - 1):
        powers.append(powers[-1] * some % modulus)
    least = min(powers[1::2])
    step = powers.index(least)
    width = DEGREE.bit_length() - 1
    order = [int(f"{i:0{width}b}"[::-1], 2) for i in range(DEGREE)]
    forward = [powers[step * i % (2 * DEGREE)] for i in order]
    inverse = [powers[-step * i % (2 * DEGREE)] for i in order]
    inverse[0] = pow(DEGREE, -1, modulus)
    return _with_quotients(forward, modulus), _with_quotients(inverse, modulus)


def _with_quotients(factors: list[int], modulus: int) -> tuple[Residues, Residues]:
    return np.array(factors, np.uint64), np.array([(f << 64) // modulus for f in factors], np.uint64)
