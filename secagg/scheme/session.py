"""A session: the public facts of one round, equal at every party and bound into every key."""

import hashlib
import os
from collections.abc import Collection, Iterable
from functools import cached_property
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from secagg.arguments import checked, whole
from secagg.encoding.encoding import Encoding, weight_range
from secagg.encoding.layout import Update, is_text
from secagg.encoding.quantize import Rounding
from secagg.encoding.ring import Ring
from secagg.errors import BadCohort, ConfigError, OutOfRange, PartyId, UnknownParty, WireError
from secagg.primitives.entropy import Entropy, draw
from secagg.wire import codec

MAX_PARTIES = 2**20
MAX_ID_LENGTH = 256
MAX_CONTEXT = 1024
ID_SIZE = 16
RUN_SIZE = 16
MAX_ROUND = 2**63 - 1
VERSION = 4
"""Of a session's structure."""


class Session(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, dict=True):
    """Who takes part in a round, and how updates become ring vectors. Public. Made by `create`, not by hand.

    Attributes:
        version: of this structure.
        id: 16 random bytes.
        parties: 2 to 2**20 distinct ids; a party's index in this tuple is its number in the protocols.
        encoding: how updates become ring vectors.
        context: what the server says this round is about (model, round, configuration), up to 1024 bytes;
            a party compares it with what it received itself.
        run: 16 random bytes that the sessions of one training run have in common, or empty for a session by itself.
        round: its number in the run, 0..2**63 - 1, which no other session of the run has; 0 without a run.
    """

    version: int
    id: bytes
    parties: Annotated[tuple[int | Annotated[str, Meta(max_length=MAX_ID_LENGTH)], ...], Meta(max_length=MAX_PARTIES)]
    encoding: Encoding
    context: bytes
    run: bytes
    round: int

    @classmethod
    def create(
        cls,
        parties: Iterable[PartyId],
        like: Update,
        *,
        bits: int = 16,
        clip: Update = 1.0,
        weight_max: int | None = None,
        weight_min: int | None = None,
        rounding: Rounding | None = None,
        helpers: Collection[PartyId] = (),
        context: bytes = b"",
        run: bytes = b"",
        round: int = 0,
        entropy: Entropy = os.urandom,
    ) -> "Session":
        """A new session with a fresh id.

        Args:
            parties: ids, ints or strs.
            like: any update of the right structure; its values do not matter.
            bits: of each quantized float, or of each integer, 1..32.
            clip: floats are clipped to [-clip, clip]: a number, or `like`'s structure of numbers or arrays.
            weight_max: a public bound (never the cohort's own maximum); weights are then integers
                weight_min..weight_max.
            weight_min: a public bound likewise; a hundredth of weight_max where not given. The largest that is true
                serves best: parties refuse sessions that could drown the light among them (`Policy.weight_ratio`).
            rounding: "nearest" (default without weights), or "stochastic" for an unbiased quantizer of twice the error
                bound (the only one with weights).
            helpers: parties that give no input, such as `Scheme.helpers`: the ring has no room for theirs.
            context: names the model, round and configuration; at most 1024 bytes.
            run, round: which round of which training run this is, where parties may prepare their first reply
                before the session exists (`secagg.prepare`). The run is 16 random bytes, chosen once. Numbers only
                grow: a round that failed is not repeated under its number.
            entropy: source of the id.

        Raises:
            BadCohort, OutOfRange, BadDtype, ConfigError: naming what is wrong and what was expected.
        """
        ids = party_ids(parties)
        inputs = max(1, len(ids) - len({*party_ids(helpers, "helpers")} & {*ids}))
        session = cls(
            version=VERSION,
            id=draw(entropy, 16),
            parties=ids,
            encoding=Encoding.of(like, inputs, bits, clip, weight_range(weight_max, weight_min), rounding),
            context=context_of(context),
            run=run_of(run),
            round=checked("round", round, whole(0, MAX_ROUND)),
        )
        session.check()
        return session

    @classmethod
    def from_bytes(cls, data: bytes) -> "Session":
        """The session that `to_bytes` wrote. Raises WireError for anything else, ConfigError for bad parameters."""
        if not isinstance(data, bytes | bytearray | memoryview):
            raise WireError(f"a {type(data).__name__}, expected the bytes of a session")
        session = codec.decode(bytes(data), cls)
        if session.version != VERSION:
            raise WireError(f"session of version {session.version}, expected {VERSION}")
        session.check()
        return session

    def to_bytes(self) -> bytes:
        """The one encoding of this session; what `digest` is taken over."""
        return codec.encode(self)

    def check(self) -> None:
        """Raise BadCohort, OutOfRange or ConfigError for parameters that no round can use."""
        if not isinstance(self.id, bytes) or len(self.id) != ID_SIZE:
            raise ConfigError(f"session id: expected {ID_SIZE} bytes from entropy({ID_SIZE})")
        _check_parties(self.parties)
        if not 1 <= self.encoding.inputs <= len(self.parties):
            raise BadCohort(f"{self.encoding.inputs} inputs of {len(self.parties)} parties")
        self.encoding.check()
        if len(self.context) > MAX_CONTEXT:
            raise OutOfRange(f"context of {len(self.context)} bytes: expected at most {MAX_CONTEXT}; pass a digest")
        if self.run or self.round:
            check_round(self.run, self.round)

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of `to_bytes`."""
        return hashlib.sha256(self.to_bytes()).digest()

    @property
    def ring(self) -> Ring:
        """The ring in which the vectors are added."""
        return self.encoding.ring

    @property
    def dim(self) -> int:
        """Entries of a ring vector, weight and counters included."""
        return self.encoding.dim

    @cached_property
    def _indices(self) -> dict[PartyId, int]:
        return {party: i for i, party in enumerate(self.parties)}

    def index(self, party: PartyId) -> int:
        """The party's number, 0..n-1. Raises UnknownParty."""
        try:
            return self._indices[party_id(party)]
        except KeyError:
            raise UnknownParty(f"{party!r} is not among the session's {len(self.parties)} parties") from None

    def ids(self, indices: Iterable[int]) -> frozenset[PartyId]:
        """Who they are."""
        return frozenset(self.parties[i] for i in indices)


def context_of(context: Any, name: str = "context") -> bytes:
    """`context` as bytes. Raises ConfigError for anything else."""
    if not isinstance(context, bytes | bytearray | memoryview):
        raise ConfigError(f"{name} is {type(context).__name__}, expected bytes, such as a digest")
    return bytes(context)


def run_of(run: Any) -> bytes:
    """`run` as bytes. Raises ConfigError for anything else."""
    if not isinstance(run, bytes | bytearray | memoryview):
        raise ConfigError(f"run is {type(run).__name__}, expected {RUN_SIZE} random bytes")
    return bytes(run)


def check_round(run: bytes, number: int) -> None:
    """Raise ConfigError or OutOfRange for what names no round of a run."""
    if len(run) != RUN_SIZE:
        raise ConfigError(f"run of {len(run)} bytes: expected {RUN_SIZE} random ones, chosen once a training run")
    checked("round", number, whole(0, MAX_ROUND))


def party_ids(parties: Any, name: str = "parties") -> tuple[PartyId, ...]:
    """`parties` as plain ints and strs. Raises BadCohort for anything else."""
    if isinstance(parties, str | bytes) or not isinstance(parties, Iterable):
        raise BadCohort(f"{name} is {type(parties).__name__}, expected a list of ids")
    return tuple(party_id(party) for party in parties)


def party_id(party: Any) -> PartyId:
    """`party` as a plain int or str. Raises BadCohort for anything else."""
    if isinstance(party, np.integer):
        return int(party)
    if isinstance(party, bool) or not isinstance(party, int | str):
        raise BadCohort(f"party id {party!r} is {type(party).__name__}, expected int or str")
    return party if isinstance(party, int) else str(party)


def check_party_id(party: PartyId) -> None:
    """Raise BadCohort for an id that cannot travel: a text that is empty, long or malformed, an int beyond 64 bits."""
    if isinstance(party, str) and not 1 <= len(party) <= MAX_ID_LENGTH:
        raise BadCohort(f"party id of {len(party)} characters: expected 1..{MAX_ID_LENGTH}")
    if isinstance(party, str) and not is_text(party):
        raise BadCohort(f"party id {party!r} is no valid Unicode text")
    if isinstance(party, int) and not -(2**63) <= party < 2**63:
        raise BadCohort(f"party id {party}: expected a 64-bit integer")


def _check_parties(parties: tuple[PartyId, ...]) -> None:
    if not 2 <= len(parties) <= MAX_PARTIES:
        raise BadCohort(f"{len(parties)} {'party' if len(parties) == 1 else 'parties'}: expected 2 to 2**20")
    seen: set[PartyId] = set()
    for party in parties:
        check_party_id(party)
        if party in seen:
            raise BadCohort(f"party id {party!r} stands twice among the parties")
        seen.add(party)
