"""What a party will take part in, whatever the server says."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from secagg.arguments import check_fields
from secagg.encoding.encoding import WEIGHT_RATIO, Encoding
from secagg.encoding.layout import path_of
from secagg.errors import OutOfRange, PartyId, PolicyRefused, TooFew
from secagg.scheme.session import MAX_PARTIES, Session

LEAST_COHORT = 2
"""A sum of one vector is that vector."""
MinCohort = Annotated[int, Meta(ge=LEAST_COHORT, le=MAX_PARTIES)]
"""`Policy.min_cohort` in a message."""
Range = Annotated[tuple[float, float], Meta(title="a tuple of the least and the most")]
WholeRange = Annotated[tuple[int, int], Meta(title="a tuple of the least and the most, integers")]
DEFAULT = "*"
CLIPS = (1e-4, 1e4)
"""Range of the clips where a party says nothing else."""


@dataclass(frozen=True)
class Policy:
    """One party's own limits. Each is held against public numbers alone: a refusal tells nothing about its data.

    Attributes:
        min_cohort: fewest contributors to a sum; at least 2, since a sum of one is that one. It enters no session of
            fewer clients and helps to open no sum of fewer. Who else can: in pairwise masking others, if they are the
            threshold and ask for less. In Paillier and CKKS sums the key's holders, so there it also tells the server,
            and one that follows the protocol opens no sum of fewer that holds its vector.
        max_dim: most entries of a ring vector it allocates.
        min_threshold: fewest shares that may open one of its secrets, where they are shared: in pairwise masking, and
            under Paillier keys dealt in advance. A fresh Paillier key and that of CKKS are each one holder's to use.
        clip: least and largest clip of a float leaf, or {name: (least, largest)} with a default under "*". A name is
            a key of the update, or keys joined by "/" where it is nested ("encoder/w"), and counts for all beneath it.
            Of entries far beyond the clip only signs are left, and nothing of those far below it: narrow the range to
            what updates of the model are like.
        bits: fewest and most bits of a quantized entry.
        weight_ratio: weight_max is at most so many times weight_min.
        levels: fewest steps between zero and the clip that the lightest party writes its entries in:
            levels * weight_max <= (2**(bits - 1) - 1) * weight_min. With fewer, heavy parties stand out in a sum.
        weights: this party's own range of weights, fixed when it is set up and never read from data. It takes part
            where the session's range includes it, and a weight outside counts as its nearer end. None for the
            session's word, at which sums over many sessions can tell how the parties' weights are spread.
        max_size: most bytes of a session that it reads: ids, structure, clips; for who reads it (`check_size`).
        same_parties: whether, with a ledger, it gives vectors of one model only in sessions over the same parties.
            Without, halves of two nested cohorts can open a sum each, and no ledger sees both; with, a round that
            failed is repeated over the same parties, or of another model.
    """

    min_cohort: Annotated[
        int, Meta(ge=LEAST_COHORT, title="an integer, at least 2: a sum of one vector is that vector")
    ] = 3
    max_dim: Annotated[int, Meta(ge=1)] = 2**28
    min_threshold: Annotated[int, Meta(ge=2, title="an integer, at least 2: one share must not open a secret")] = 2
    clip: Range | Annotated[Mapping[str, Range], Meta(title="{name: a tuple of the least and the most}")] = CLIPS
    bits: WholeRange = (2, 32)
    weight_ratio: Annotated[int, Meta(ge=1)] = WEIGHT_RATIO
    levels: Annotated[int, Meta(ge=1)] = 16
    weights: WholeRange | None = None
    max_size: Annotated[int, Meta(ge=1)] = 2**24
    same_parties: bool = False

    def __post_init__(self) -> None:
        check_fields(self)
        ranges: dict[str, tuple[float, float]] = {"bits": self.bits, "weights": self.weights or (1, 1)}
        if isinstance(self.clip, Mapping):
            ranges |= {f"clip[{name!r}]": found for name, found in self.clip.items()}
        else:
            ranges["clip"] = self.clip
        for name, (least, most) in ranges.items():
            if not 0 < least <= most:
                raise OutOfRange(f"{name} is {(least, most)}: expected (least, most), 0 < least <= most")

    def strictest(self, other: "Policy") -> "Policy":
        """These limits, and to sums and secrets none that is laxer than `other`'s.

        Formats and weights stay: what a party has entered a session by counts to its end.
        """
        return replace(
            self,
            min_cohort=max(self.min_cohort, other.min_cohort),
            max_dim=min(self.max_dim, other.max_dim),
            min_threshold=max(self.min_threshold, other.min_threshold),
        )

    def check_session(self, session: Session, clients: int | None = None) -> None:
        """Raise PolicyRefused for a session, of so many clients (default: all parties), this party takes no part in."""
        self.check_cohort(len(session.parties) if clients is None else clients)
        if session.dim > self.max_dim:
            raise PolicyRefused(f"session of {session.dim} entries: this party's policy allows {self.max_dim}")
        self.check_encoding(session.encoding)

    def check_encoding(self, encoding: Encoding) -> None:
        """Raise PolicyRefused for a number format in which a sum could show one party's update."""
        floats = [i for i, leaf in enumerate(encoding.layout.leaves) if leaf.is_float and leaf.size]
        if floats:
            _refuse_outside("bits", encoding.bits, encoding.bits, self.bits)
        places = encoding.layout.places
        for i in floats:
            least, most = float(np.min(encoding.clip[i])), float(np.max(encoding.clip[i]))
            _refuse_outside("clip", least, most, self._clip_range(places[i]), places[i])
        if encoding.weights is not None:
            self._check_weights(*encoding.weights, 2 ** (encoding.bits - 1) - 1 if floats else None)

    def _clip_range(self, place: tuple[str | int, ...]) -> tuple[float, float]:
        if isinstance(self.clip, tuple):
            return self.clip
        names = ["/".join(map(str, place[:length])) for length in range(len(place), 0, -1)]
        return next((self.clip[name] for name in [*names, DEFAULT] if name in self.clip), CLIPS)

    def _check_weights(self, least: int, most: int, levels: int | None) -> None:
        if most > self.weight_ratio * least:
            raise PolicyRefused(
                f"weights {least}..{most}: this party's policy allows a ratio of {self.weight_ratio} "
                "(Policy.weight_ratio): raise weight_min or lower weight_max"
            )
        if levels is not None and self.levels * most > levels * least:
            raise PolicyRefused(
                f"weights {least}..{most} leave the lightest party {levels * least // most} levels: this party's "
                f"policy asks for {self.levels} (Policy.levels): raise bits or weight_min, or lower weight_max"
            )
        if self.weights is not None and not least <= self.weights[0] <= self.weights[1] <= most:
            raise PolicyRefused(f"weights {least}..{most}: this party declares others (Policy.weights)")

    def clamped(self, weight: Any) -> Any:
        """What a weight counts as: the nearer end of this party's own range where it is outside.

        What is no integer stays what it is: the encoding refuses it.
        """
        if self.weights is None or isinstance(weight, bool) or not isinstance(weight, int | np.integer):
            return weight
        return min(max(int(weight), self.weights[0]), self.weights[1])

    def check_size(self, size: int) -> None:
        """Raise PolicyRefused for a session of more than `max_size` bytes, before it is read."""
        if size > self.max_size:
            raise PolicyRefused(
                f"a session of {size} bytes: this party's policy reads {self.max_size} (Policy.max_size)"
            )

    def check_threshold(self, threshold: int) -> None:
        """Raise PolicyRefused for fewer than `min_threshold` shares to a secret."""
        if threshold < self.min_threshold:
            raise PolicyRefused(
                f"{threshold} shares open a secret: "
                f"this party's policy asks for at least {self.min_threshold} (Policy.min_threshold)"
            )

    def check_cohort(self, contributors: int) -> None:
        """Raise PolicyRefused for fewer than `min_cohort` contributors."""
        if contributors < self.min_cohort:
            raise PolicyRefused(
                f"a sum over {contributors} parties: "
                f"this party's policy asks for at least {self.min_cohort} (Policy.min_cohort)"
            )


USUAL = Policy()
"""All defaults."""


def _refuse_outside(
    name: str, least: float, most: float, allowed: tuple[float, float], place: tuple[str | int, ...] | None = None
) -> None:
    if not allowed[0] <= least <= most <= allowed[1]:
        of = "" if place is None else f" of {path_of(place)}"
        found = f"{least:g}" if least == most else f"{least:g}..{most:g}"
        raise PolicyRefused(
            f"{name}{of} is {found}: this party's policy allows {allowed[0]:g}..{allowed[1]:g} (Policy.{name})"
        )


def check_least(phase: str, least: Mapping[PartyId, int], of: str = "parties answered") -> None:
    """Raise TooFew where a sum over these parties, {party: fewest that it allows}, is one of too few for any of them.

    For a server that is told what its clients ask for; the error names who asks for more.
    """
    asking = {party: asked for party, asked in least.items() if asked > len(least)}
    if asking or len(least) < LEAST_COHORT:
        raise TooFew(phase, len(least), max(asking.values(), default=LEAST_COHORT), of, asking)
