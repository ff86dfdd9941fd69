"""A site's state between two processes of the simulator, which has fewer threads than sites."""

import os
from pathlib import Path

import msgspec

from secagg.adapters.choice import Terms, terms_bytes
from secagg.api import Participant
from secagg.errors import StateError
from secagg.primitives.entropy import Entropy

FILE = "secagg.swapped"
"""In the site's run folder, while it is in a round."""
KEY_BYTES = 32


class Swapped(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a site wrote down at its last answer.

    Attributes:
        key: of the state, 32 bytes; secret. It lies beside the state, so that whoever reads the file reads the
            round's secrets; only the simulator, which holds all sites' data, ever has one.
        terms: those it entered the round under.
        parties: of its session.
        state: what `Participant.save` returned under `key`.
    """

    key: bytes
    terms: bytes
    parties: int
    state: bytes

    def __repr__(self) -> str:
        return f"Swapped(<{self.parties} parties>)"

    @classmethod
    def of(cls, terms: Terms, participant: Participant, entropy: Entropy) -> "Swapped":
        """The participant's state under a fresh key."""
        key = entropy(KEY_BYTES)
        return cls(key, terms_bytes(terms), len(participant.session.parties), participant.save(key))


def store(folder: Path, swapped: Swapped) -> None:
    """Write it down, for its owner alone; all of it or nothing."""
    part = folder / f"{FILE}.part"
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(msgspec.msgpack.encode(swapped))
    part.replace(folder / FILE)


def load(folder: Path) -> Swapped | None:
    """What was written down, None where there is nothing. Raises StateError for anything else."""
    path = folder / FILE
    if not path.exists():
        return None
    try:
        return msgspec.msgpack.decode(path.read_bytes(), type=Swapped)
    except msgspec.DecodeError as error:
        raise StateError(f"{FILE} is no memory of a round: {error}") from None


def forget(folder: Path) -> None:
    """Remove it, secrets included."""
    (folder / FILE).unlink(missing_ok=True)
