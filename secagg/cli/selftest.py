"""The primitives against known answers that this library did not compute."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from secagg.api import aggregate
from secagg.kernels import agreement as kernel
from secagg.primitives import agreement, prg, sealing, shamir, signing
from secagg_protocols import PairwiseMasking

_STREAM = bytes.fromhex(
    "66e94bd4ef8a2c3b884cfa59ca342b2e58e2fccefa7e3061367f1d57a4e7455a0388dace60b6a392f328c2b971b2fe78"
)
_SEALED = bytes.fromhex("cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919")
_ALICE = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
_BOB = bytes.fromhex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
_SHARED = bytes.fromhex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")
_OKM = bytes.fromhex("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865")
_SIGNER = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
_SIGNATURE = bytes.fromhex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)
_SHARES = {
    1: "14c1bec6702b4d0de9866cc73ac0eb1043cb4d7a4c0266110da0b9a3b9305e1c39efc59a33678612",
    2: "ced530b020f42b0c6f964e235352f401d7655cf61de7ef13d48881fe89327711f99b77997799131f",
    5: "dd0fc74ec31b5612d128eced0f3c0916cb6b6ddb1c57dd02fb7bb9e919bbc5050cc2c7a7a6f2e300",
}


@dataclass(frozen=True)
class Outcome:
    """One check.

    Attributes:
        name: what was computed.
        source: where the known answer comes from.
        ok: whether it came out.
        problem: "" if so; else "differs", or the error that stopped it.
    """

    name: str
    source: str
    ok: bool
    problem: str


def _stream() -> bool:
    return prg.keystream(bytes(16), len(_STREAM) // 4, "<u4").tobytes() == _STREAM


def _masks() -> bool:
    """What the selected kernel subtracts, from the fourth lane on, is the known stream."""
    lanes = np.frombuffer(_STREAM, "<u4").astype(np.uint32)[3:]
    acc = np.zeros(lanes.size, np.uint32)
    prg.add_masks(acc, np.zeros((1, 16), np.uint8), np.array([-1], np.int8), offset=3)
    return bool(np.array_equal(acc + lanes, np.zeros_like(acc)))


def _agreement() -> bool:
    return agreement.shared_secret(_ALICE, _BOB) == _SHARED


def _agreements() -> bool:
    """By the selected kernel, where there is one."""
    kernel.load()
    rows = kernel.LEAST
    keys = agreement.derive_many([_ALICE] * rows, [_BOB] * rows, [b"info"] * rows, b"salt")
    return set(keys) == {agreement.hkdf(_SHARED, info=b"info", salt=b"salt")}


def _hkdf() -> bool:
    salt, info = bytes(range(13)), bytes(range(0xF0, 0xFA))
    return agreement.hkdf(b"\x0b" * 22, salt=salt, info=info, length=42) == _OKM


def _seal() -> bool:
    key = bytes(sealing.KEY_BYTES)
    return sealing.seal(key, bytes(16), b"") == _SEALED and sealing.open_sealed(key, _SEALED, b"") == bytes(16)


def _sign() -> bool:
    signing.verify(signing.public_key(_SIGNER), b"\x72", _SIGNATURE)
    return signing.sign(_SIGNER, b"\x72") == _SIGNATURE


def _shamir() -> bool:
    shares = {holder: shamir.from_bytes(bytes.fromhex(share))[None] for holder, share in _SHARES.items()}
    return shamir.combine(shares).tobytes() == bytes(range(shamir.SECRET_BYTES))


def _sum() -> bool:
    """Five clients, one lost before and one after it gave its vector."""
    vectors = {client: np.array([client, 1000 * client, 65535]) for client in range(1, 6)}
    out = aggregate(vectors, PairwiseMasking(threshold=3), lost={2: "masked", 4: "unmask"})
    return out.contributors == {1, 3, 4, 5} and out.ring_sum.tolist() == [13, 13_000, 4 * 65535]


_CHECKS: tuple[tuple[str, str, Callable[[], bool]], ...] = (
    ("AES-128-CTR mask stream", "McGrew and Viega, GCM, test cases 1 and 2", _stream),
    ("the selected mask kernel", "the same stream", _masks),
    ("X25519 agreement", "RFC 7748, 6.1", _agreement),
    ("HKDF-SHA256", "RFC 5869, A.1", _hkdf),
    ("the selected agreement kernel", "RFC 7748, 6.1, and the HKDF checked above", _agreements),
    ("AES-256-GCM sealing", "McGrew and Viega, GCM, test case 14", _seal),
    ("Ed25519 signature", "RFC 8032, 7.1, test 2", _sign),
    ("Shamir over GF(2^61-1)", "three shares, dealt with plain integers", _shamir),
    ("secure sum of 5 clients, 2 lost", "the sum, added by hand", _sum),
)


def run() -> tuple[Outcome, ...]:
    """Every check, in order; one that breaks does not stop the others."""
    return tuple(_outcome(name, source, check) for name, source, check in _CHECKS)


def _outcome(name: str, source: str, check: Callable[[], bool]) -> Outcome:
    try:
        problem = "" if check() else "differs"
    except Exception as error:  # whatever breaks here is a finding, a missing instruction no less than a bug
        problem = f"{type(error).__name__}: {error}"
    return Outcome(name, source, not problem, problem)
