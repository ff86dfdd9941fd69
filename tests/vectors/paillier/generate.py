"""Writes the vectors beside it, or into another folder: `python tests/vectors/paillier/generate.py [FOLDER]`.

A key of 2048 bits whose secrets everybody knows, and what it encrypts and opens; whole rounds, under that key and under
a fresh one; and single messages that must be refused (`negative.json`).

For tests alone: whoever has this folder opens all that is encrypted under these keys.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # as a script it sees only its own folder

import recording
from lying import Lies, Value, contributors, flip, frames, of, refused, to

from secagg.api import Participant
from secagg.primitives import passphrase
from secagg.primitives.paillier import primes
from secagg.primitives.paillier.threshold import deal_factors
from secagg.scheme import Seat
from secagg.testing import SeededEntropy
from secagg.wire import codec
from secagg_protocols import PaillierSum
from secagg_protocols.paillier import PaillierKeys, keys
from secagg_protocols.paillier.parameters import read_private
from secagg_protocols.paillier.stages import Offered

FOLDER = Path(__file__).parent
WARNING = "TEST KEY: its secrets are public. Never encrypt anything under it."
HOLDERS = ["hospital-1", "hospital-2", 3]
PASSPHRASE = b"test key, known to everybody"
LABEL = b"known answers"
SIZE = 512
"""Bytes of a ciphertext."""


def known_answers() -> tuple[dict[str, Any], PaillierKeys, bytes]:
    """known_answers.json, its key, and test.key: a file as `PaillierKeys.save` writes it."""
    draw = SeededEntropy(b"vectors/paillier")
    p, q = primes.distinct_primes(1024, safe=True, entropy=draw)
    key, shares = deal_factors(p, q, 3, 2, draw)
    n = key.public.n
    plaintexts = [0, 1, n - 1, int.from_bytes(draw(255)), (1 << 2040) - 1]
    exponents = [0, 1, (1 << 1024) - 1, *(int.from_bytes(draw(128)) for _ in range(2))]
    ciphertexts = key.public.encrypt_with(plaintexts, exponents)
    opened = [key.partial_decrypt(share, ciphertexts, draw, LABEL) for share in shares]
    known = {
        "warning": WARNING,
        "p": hex(p),
        "q": hex(q),
        "n": hex(n),
        "h": hex(key.public.h),
        "threshold": 2,
        "base": hex(key.base),
        "verifiers": [*map(hex, key.verifiers)],
        "shares": [hex(share.exponent) for share in shares],
        "plaintexts": [*map(hex, plaintexts)],
        "exponents": [*map(hex, exponents)],
        "ciphertexts": [*map(hex, ciphertexts)],
        "label": LABEL.hex(),
        "partials": [[*map(hex, row)] for row, _ in opened],
        "proofs": [proof.hex() for _, proof in opened],
    }
    made = PaillierKeys(HOLDERS, key, dict(zip(HOLDERS, shares, strict=True)))
    file = passphrase.protect(codec.encode(made._saved(secrets=True)), PASSPHRASE, keys._PURPOSE, draw)
    return known, made, file


@dataclass
class Round(recording.Round):
    """A round of Paillier sums; `keys`: dealt in advance, or None."""

    label = "vectors/paillier/"
    entries = 60
    """Two plaintexts."""

    scheme: PaillierSum
    keys: PaillierKeys | None = None

    def slot(self) -> dict[str, Any]:
        """Who gives no vector."""
        return {"helpers": self.scheme.helpers}

    def participant(self, i: int) -> Participant:
        """Party i at the start of the round, with its share of a key dealt in advance."""
        party, scheme = self.parties[i], self.scheme
        if self.keys is not None and party in self.keys.holders:
            scheme = PaillierSum(keys=self.keys.share(party), helpers=scheme.helpers)
        return Participant(scheme, self.session, Seat(party, entropy=self.entropy(f"party {i}")))

    def shown(self, i: int, stage: Any) -> dict[str, str]:
        """The factors of a fresh key that this party has just made."""
        if not isinstance(stage, Offered):
            return {}
        key = read_private(stage.private)
        return {"p": hex(key.factors[0]), "q": hex(key.factors[1]), "h": hex(key.public.h)}

    def preamble(self) -> dict[str, Any]:
        """Session and roles, fresh keys, and the updates."""
        holders = {} if self.keys is None else {party: number for number, party in enumerate(self.keys.holders, 1)}
        return {
            "warning": WARNING,
            "about": self.about,
            "scheme": self.scheme.identifier,
            "session": self.session.to_bytes().hex(),
            "least": 3,
            "holders": {str(i): holders[party] for i, party in enumerate(self.parties) if party in holders},
            "helpers": sorted(map(self.session.index, self.scheme.helpers)),
            "keys": {str(i): secrets for i, secrets in enumerate(self.secrets) if secrets},
            "updates": {str(i): update.astype("<u4").tobytes().hex() for i, update in self.updates().items()},
        }


def rounds(shared: PaillierKeys) -> list[Round]:
    """The two of them, not run yet; `shared` is the key of known_answers.json."""
    return [
        Round(
            "dealt",
            "The key of known_answers.json, 2 of 3 holders, one a helper; losses at encrypted and decrypt.",
            PaillierSum(keys=shared.public, helpers=(3,)),
            ["hospital-1", "hospital-2", "client", -1, 3],
            32,
            {3: "encrypted", 1: "decrypt"},
            shared,
        ),
        Round(
            "fresh",
            "A fresh key of one holder; the first candidate is lost at deal.",
            PaillierSum(),
            list(range(4)),
            32,
            {0: "deal"},
        ),
    ]


def _cut(name: str) -> dict[str, Value]:
    return {name: lambda mine, others: getattr(mine, name)[:-1]}


def _flipped(name: str) -> dict[str, Value]:
    """The last bit."""
    return {name: lambda mine, others: flip(getattr(mine, name), -1)}


def _first(name: str, value: int, size: int = SIZE) -> dict[str, Value]:
    """The first number of a row."""
    return {name: lambda mine, others: value.to_bytes(size) + getattr(mine, name)[size:]}


def _swapped(name: str) -> dict[str, Value]:
    def halves(mine: Any, others: Any) -> bytes:
        data = getattr(mine, name)
        return data[len(data) // 2 :] + data[: len(data) // 2]

    return {name: halves}


def _divisible(key: bytes) -> bytes:
    """n as the next multiple of three, odd."""
    n = int.from_bytes(key[:256])
    return (n + next(step for step in (2, 4) if (n + step) % 3 == 0)).to_bytes(256) + key[256:]


ALL_ONES = 2 ** (8 * SIZE) - 1
LIES: Lies = {
    ("dealt", "client", "encrypted", 0): [
        ("a key, where one was dealt in advance", {"key": to(bytes(SIZE))}, "PeerMisbehaved"),
        ("a holder, where the key was dealt in advance", {"holder": to(0)}, "PeerMisbehaved"),
    ],
    ("dealt", "server", "encrypted", 1): [
        ("another model", {"context": to(bytes(32))}, "InconsistentModel", 1),
        ("a context of no size", {"context": to(b"")}, "InconsistentModel", 1),
        ("encrypted under another key", {"key": to(bytes(32))}, "PeerMisbehaved", 1),
        ("a ciphertext of zero", _first("ciphertexts", 0), "WireError"),
        ("a ciphertext beyond n squared", _first("ciphertexts", ALL_ONES), "WireError"),
        ("ciphertexts that are cut", _cut("ciphertexts"), "WireError"),
        ("one ciphertext", {"ciphertexts": lambda mine, _: mine.ciphertexts[:SIZE]}, "WireError"),
        ("no ciphertexts", {"ciphertexts": to(b"")}, "WireError"),
        ("a least cohort of one", {"least": to(1)}, "WireError"),
        ("a least cohort of more than the clients", {"least": to(5)}, "PeerMisbehaved", 1),
    ],
    ("dealt", "client", "decrypt", 0): [
        ("what others received, to open", {"context": to(bytes(32))}, "InconsistentModel"),
        ("a sum without the holder's own vector", contributors(1, 2, 3), "PeerMisbehaved"),
        ("a sum of two", contributors(0, 2), "PolicyRefused"),
        ("a helper among the contributors", contributors(0, 1, 2, 4), "PeerMisbehaved"),
        ("set padding", {"contributors": to(b"\xe7")}, "WireError"),
        ("contributors of no size", {"contributors": to(b"")}, "WireError"),
        ("a ciphertext of zero, to open", _first("ciphertexts", 0), "WireError"),
        ("ciphertexts that are cut, to open", _cut("ciphertexts"), "WireError"),
    ],
    ("dealt", "server", "decrypt", 4): [
        ("a partial decryption with another bit", _flipped("values"), "PeerMisbehaved"),
        ("partial decryptions in the other order", _swapped("values"), "PeerMisbehaved"),
        ("another holder's partial decryptions", of(0, "values"), "PeerMisbehaved"),
        ("a partial decryption of zero", _first("values", 0), "WireError"),
        ("a partial decryption beyond n squared", _first("values", ALL_ONES), "WireError"),
        ("partial decryptions that are cut", _cut("values"), "WireError"),
        ("another answer in the proof", _flipped("proof"), "PeerMisbehaved"),
        ("another holder's proof", of(0, "proof"), "PeerMisbehaved"),
        ("a proof that is cut", _cut("proof"), "WireError"),
    ],
    ("fresh", "client", "deal", 2): [
        *frames("a changed byte", "a cut frame", "a byte too many, with its checksum"),
        *frames("another session's frame", "another party's frame"),
    ],
    ("fresh", "server", "deal", 2): [
        ("an even modulus", {"key": lambda mine, _: mine.key[:255] + b"\0" + mine.key[256:]}, "WireError"),
        ("a key that is cut", _cut("key"), "WireError"),
        ("a key of another size", {"key": lambda mine, _: bytes(1) + mine.key[1:]}, "WireError"),
        ("h of zero", {"key": lambda mine, _: mine.key[:256] + bytes(256)}, "WireError"),
        ("another candidate's key", of(1, "key"), "PeerMisbehaved"),
        ("another candidate's proof of its key", of(1, "proof"), "PeerMisbehaved"),
        ("roots in another order", {"proof": lambda mine, _: mine.proof[256:] + mine.proof[:256]}, "PeerMisbehaved"),
        ("a root of zero", _first("proof", 0, 256), "WireError"),
        ("eight roots", {"proof": lambda mine, _: mine.proof[256:]}, "WireError"),
    ],
    ("fresh", "client", "encrypted", 1): [
        ("its own key in another's name", {"holder": to(2)}, "PeerMisbehaved"),
        ("h of another Jacobi symbol", {"key": lambda mine, _: mine.key[:-1] + bytes([mine.key[-1] ^ 2])}, "WireError"),
        ("no key", {"key": to(b"")}, "WireError"),
        ("a key of another size, to encrypt under", {"key": lambda mine, _: mine.key[:-2]}, "WireError"),
        ("a modulus with a small factor", {"key": lambda mine, _: _divisible(mine.key)}, "WireError"),
    ],
    ("fresh", "client", "encrypted", 2): [
        ("a holder of no index", {"holder": to(4)}, "PeerMisbehaved"),
        ("another's key in its name", {"holder": to(2)}, "PeerMisbehaved"),
    ],
    ("fresh", "server", "decrypt", 1): [
        ("a plaintext with another bit", _flipped("values"), "PeerMisbehaved"),
        ("plaintexts in the other order", _swapped("values"), "PeerMisbehaved"),
        ("a plaintext beyond n", _first("values", 2**2048 - 1, 256), "WireError"),
        ("plaintexts that are cut", _cut("values"), "WireError"),
        ("roots of the opening in another order", _swapped("proof"), "WireError"),
        ("another root of the opening", _first("proof", 2, 256), "PeerMisbehaved"),
        ("a root of the opening of zero", _first("proof", 0, 256), "WireError"),
        ("eight roots of the opening", {"proof": lambda mine, _: mine.proof[256:]}, "WireError"),
    ],
}


def documents() -> dict[str, bytes]:
    """{file name: contents}."""
    known, shared, file = known_answers()
    run = rounds(shared)
    found = {"known_answers.json": known, **recording.recorded(run), "negative.json": refused(LIES, run)}
    return {**recording.texts(found), "test.key": file}


if __name__ == "__main__":
    recording.write(documents(), FOLDER)
