"""Writes the vectors beside it, or into another folder: `python tests/vectors/ckks/generate.py [FOLDER]`.

Whole rounds with every secret and every message, and single messages that must be refused (`negative.json`). SEAL's own
generator starts from a fixed seed for each client, so that its part comes out byte for byte the same too.
"""

import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).parents[1]))  # as a script it sees only its own folder

import recording
from lying import Change, Lies, Value, contributors, flip, frames, of, reframed, refused, to, told
from tenseal import sealapi

from secagg.api import Participant
from secagg.primitives import ckks
from secagg.primitives.entropy import Entropy
from secagg_protocols import CkksSum
from secagg_protocols.ckks.stages import Advertised


@contextmanager
def seal_drawing_from(entropy: Entropy) -> Iterator[None]:
    """Within it a new SEAL context draws seeds and noise from a generator of this seed: one ciphertext's worth."""
    seed = list(struct.unpack("<8Q", entropy(64)))
    plain = sealapi.EncryptionParameters

    def parameters(kind: Any) -> Any:
        made = plain(kind)
        made.set_random_generator(sealapi.Blake2xbPRNGFactory(seed))
        return made

    ckks._seal.cache_clear()
    try:
        with patch.object(sealapi, "EncryptionParameters", parameters):
            yield
    finally:
        ckks._seal.cache_clear()


@dataclass
class Round(recording.Round):
    """A round of CKKS sums."""

    label = "ckks/"

    scheme: CkksSum

    def answer(self, participant: Participant, i: int, ask: bytes) -> bytes:
        """What client i answers, SEAL's part of it too."""
        with seal_drawing_from(self.entropy(f"SEAL of client {i}")):
            return super().answer(participant, i, ask)

    def shown(self, i: int, stage: Any) -> dict[str, str]:
        """The private key."""
        return {"private": stage.private.hex()} if isinstance(stage, Advertised) else {}

    def preamble(self) -> dict[str, Any]:
        """Scheme and session, and what clients know."""
        return {
            "about": self.about,
            "scheme": self.scheme.identifier,
            "session": self.session.to_bytes().hex(),
            "clients": self.clients(),
        }


def rounds() -> list[Round]:
    """Both of them, not run yet."""
    return [
        Round(
            "two_holders",
            "Two clients asked to deal, two key holders: one lost at deal, a client at encrypted. q of 20 bits.",
            CkksSum(holders=2),
            ["a", 1, "1", -7, "\u00e9"],
            8,
            {1: "encrypted", 2: "deal"},
        ),
        Round(
            "one_holder",
            "One key holder: a client lost at keys. Lanes of 64 bits.",
            CkksSum(holders=1),
            list(range(10, 15)),
            32,
            {3: "keys"},
        ),
    ]


def _first_of_all_ones(name: str) -> Value:
    """The first coefficient is 2**20 - 1, which is not below the modulus of 20 bits."""
    return lambda mine, _: (int.from_bytes(getattr(mine, name), "little") | 0xFFFFF).to_bytes(
        len(getattr(mine, name)), "little"
    )


LOW_ORDER = bytes(32)
LIES: Lies = {
    ("two_holders", "server", "keys", 3): [
        *frames("a changed byte", "a cut frame", "a byte too many, with its checksum", "another session's frame"),
        ("an answer to another ask", lambda data: reframed(data, answers=bytes(16)), "WireError"),
        ("a key of low order", {"key": to(LOW_ORDER)}, "PeerMisbehaved"),
        ("a key of 31 bytes", {"key": lambda mine, _: mine.key[1:]}, "WireError"),
        ("another party's key", of(0, "key"), "PeerMisbehaved", 3),
        ("another model", {"context": lambda mine, _: flip(mine.context, 0)}, "InconsistentModel", 3),
        ("a least cohort of one", {"least": to(1)}, "WireError"),
        ("a least cohort of more than all", {"least": to(6)}, "PeerMisbehaved", 3),
    ],
    ("two_holders", "client", "deal", 3): [
        ("another key in its own name", {"keys": lambda ask, _: flip(ask.keys, 3 * 32)}, "PeerMisbehaved"),
        ("one key twice", {"keys": lambda ask, _: ask.keys[:-32] + ask.keys[-64:-32]}, "PeerMisbehaved"),
        ("a relayed key of low order", {"keys": lambda ask, _: ask.keys[:-32] + LOW_ORDER}, "PeerMisbehaved"),
        ("a key too few", {"keys": lambda ask, _: ask.keys[:-32]}, "WireError"),
        ("a bit set with padding", {"parties": lambda ask, _: bytes([ask.parties[0] | 0x80])}, "WireError"),
    ],
    ("two_holders", "server", "deal", 3): [
        ("a commitment of 31 bytes", {"commitment": lambda mine, _: mine.commitment[1:]}, "WireError"),
        ("a sealed key too few", {"sealed": lambda mine, _: mine.sealed[48:]}, "WireError"),
        ("a sealed key too many", {"sealed": lambda mine, _: mine.sealed + mine.sealed[:48]}, "WireError"),
    ],
    ("two_holders", "client", "encrypted", 4): [
        ("the others have another model", {"context": lambda ask, _: flip(ask.context, 0)}, "InconsistentModel"),
        ("other parameters", {"parameters": lambda ask, _: flip(ask.parameters, 0)}, "PeerMisbehaved"),
        ("a dealer that is nobody", {"dealer": to(5)}, "PeerMisbehaved"),
        ("a dealer's key of low order", {"key": to(LOW_ORDER)}, "PeerMisbehaved"),
        ("a box of 47 bytes", {"box": lambda ask, _: ask.box[1:]}, "WireError"),
    ],
    ("two_holders", "server", "encrypted", 3): [
        ("coefficients cut", {"body": lambda mine, _: mine.body[:-1]}, "WireError"),
        ("a byte of coefficients too many", {"body": lambda mine, _: mine.body + b"\0"}, "WireError"),
        ("a coefficient that is not below the modulus", {"body": _first_of_all_ones("body")}, "WireError"),
        ("a seed cut", {"seeds": lambda mine, _: mine.seeds[:-1]}, "WireError"),
        ("a seed too many", {"seeds": lambda mine, _: mine.seeds * 2}, "WireError"),
    ],
    ("two_holders", "client", "decrypt", 3): [
        ("a sum without the holder", contributors(0, 1, 4) | {"masks": to(b"")}, "PeerMisbehaved"),
        ("a sum of fewer than its policy asks for", contributors(3, 4) | {"masks": to(b"")}, "PolicyRefused"),
        ("no sum of uniform halves", {"masks": to(b"")}, "WireError"),
        ("a sum that is not below the modulus", {"body": _first_of_all_ones("body"), "masks": to(b"")}, "WireError"),
        ("a uniform half that is not below the modulus", {"masks": _first_of_all_ones("masks")}, "WireError"),
    ],
    ("two_holders", "server", "decrypt", 3): [
        ("a sum cut", {"vector": lambda mine, _: mine.vector[:-1]}, "WireError"),
        ("a sum with padding", {"vector": lambda mine, _: mine.vector[:-1] + b"\xff"}, "WireError"),
    ],
    ("one_holder", "server", "encrypted", 2): [
        ("coefficients of 42 bits", {"body": lambda mine, _: mine.body[:32]}, "WireError"),
    ],
    ("one_holder", "client", "deal", 1): [
        (
            "fewer keys than its policy asks for",
            {"parties": to(b"\x03"), "keys": lambda ask, _: ask.keys[:64]},
            "PolicyRefused",
        ),
    ],
}

KEYLESS: dict[str, Change] = {
    "another dealer": {"dealer": to(0)},
    "another commitment": {"commitment": lambda ask, _: flip(ask.commitment, 0)},
    "a changed box": {"box": lambda ask, _: flip(ask.box, 0)},
    "another client's box": of(0, "box"),
}
"""Changes of an ask to encrypt to which a client answers that it was dealt no key."""


def keyless(round_: Round) -> Iterator[dict[str, Any]]:
    """Those asks as their file has them, of the last client of the first round."""
    for what, change in KEYLESS.items():
        message = told(round_, "client", "encrypted", 4, change).hex()
        yield {"name": what, "round": f"{round_.name}.json", "phase": "encrypted", "party": 4, "message": message}


def documents() -> dict[str, bytes]:
    """{file name: contents}."""
    run = rounds()
    found = recording.recorded(run)
    about = (
        "Each message, in place of the true one, gets `expect` from the end that it is for; the asks "
        "in `keyless` get the reply of a client whose box holds no key."
    )
    negative = refused(LIES, run) | {"about": about, "keyless": list(keyless(run[0]))}
    return recording.texts({**found, "negative.json": negative})


if __name__ == "__main__":
    recording.write(documents(), Path(__file__).parent)
