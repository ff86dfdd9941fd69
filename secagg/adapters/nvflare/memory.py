"""A site's state between two processes of the simulator, which has fewer threads than sites.

Each key lies beside what it locks, so that whoever reads a file reads its secrets; only the simulator, which holds all
sites' data, ever has one.
"""

import os
from pathlib import Path
from typing import ClassVar, TypeVar

import msgspec

from secagg.adapters.choice import Terms, terms_bytes
from secagg.api import Participant, Prepared
from secagg.errors import StateError
from secagg.primitives.entropy import Entropy

KEY_BYTES = 32


class Swapped(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a site wrote down at its last answer.

    Attributes:
        FILE: in the site's run folder, while it is in a round.
        key: of the state, 32 bytes; secret.
        terms: those it entered the round under.
        parties: of its session.
        state: what `Participant.save` returned under `key`.
    """

    FILE: ClassVar = "secagg.swapped"

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


class Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a site prepared for the next round.

    Attributes:
        FILE: in the site's run folder, until that round's first reply leaves.
        key: of the state, 32 bytes; secret.
        state: what `Prepared.save` returned under `key`.
    """

    FILE: ClassVar = "secagg.prepared"

    key: bytes
    state: bytes

    def __repr__(self) -> str:
        return "Kept()"

    @classmethod
    def of(cls, prepared: Prepared, entropy: Entropy) -> "Kept":
        """Under a fresh key."""
        key = entropy(KEY_BYTES)
        return cls(key, prepared.save(key))


T = TypeVar("T", Swapped, Kept)


def store(folder: Path, what: Swapped | Kept) -> None:
    """Write it down, for its owner alone; all of it or nothing."""
    part = folder / f"{what.FILE}.part"
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(msgspec.msgpack.encode(what))
    part.replace(folder / what.FILE)


def load(folder: Path, kind: type[T]) -> T | None:
    """What was written down, None where there is nothing. Raises StateError for anything else."""
    path = folder / kind.FILE
    if not path.exists():
        return None
    try:
        return msgspec.msgpack.decode(path.read_bytes(), type=kind)
    except msgspec.DecodeError as error:
        raise StateError(f"{kind.FILE} is no memory of a round: {error}") from None


def forget(folder: Path, kind: type[Swapped | Kept]) -> None:
    """Remove it, secrets included."""
    (folder / kind.FILE).unlink(missing_ok=True)
