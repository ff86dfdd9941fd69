"""Writes the vectors beside it, or into another folder: `python tests/vectors/pairwise/generate.py [FOLDER]`.

Whole rounds with every secret and every message, and single messages that must be refused (`negative.json`).
"""

import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # as a script it sees only its own folder

import recording
from lying import refused
from pairwise.lies import LIES

from secagg.api import Coordinator, Participant, Prepared, prepare
from secagg.scheme import Credentials, Seat
from secagg_protocols import PairwiseMasking
from secagg_protocols.pairwise.stages import Advertised, Dealt, Ready


@dataclass
class Round(recording.Round):
    """A round of pairwise masking; `prepared`: indices of those who advertised before the session."""

    label = ""

    scheme: PairwiseMasking
    prepared: tuple[int, ...] = ()

    def slot(self) -> dict[str, Any]:
        """A run, where something is prepared."""
        return {"run": self.entropy("run")(16), "round": 7} if self.prepared else {}

    @cached_property
    def members(self) -> dict[int | str, Credentials]:
        """Who signs: all, or nobody."""
        return Credentials.generate(self.parties, self.entropy("identities")) if self.scheme.authenticated else {}

    def participant(self, i: int) -> Participant:
        """Client i at the start of the round."""
        party = self.parties[i]
        return Participant(
            self.scheme,
            self.session,
            Seat(party, entropy=self.entropy(f"client {i}"), credentials=self.members.get(party)),
            prepared=self.ahead(i) if i in self.prepared else None,
        )

    def ahead(self, i: int) -> Prepared:
        """What client i made before the session."""
        party = self.parties[i]
        return prepare(
            self.scheme,
            Seat(party, entropy=self.entropy(f"client {i}, ahead"), credentials=self.members.get(party)),
            run=self.session.run,
            round=self.session.round,
        )

    def coordinator(self) -> Coordinator:
        """The server at the start of the round."""
        roster = self.members[self.parties[0]].roster if self.members else None
        prepared = {self.parties[i]: self.ahead(i).message for i in self.prepared}
        return Coordinator(self.scheme, self.session, roster, prepared)

    def shown(self, i: int, stage: Any) -> dict[str, str]:
        """Private keys, the seed of the self-mask, and the identity."""
        held = {"sealing": stage.sealing, "mask": stage.mask} if isinstance(stage, Ready | Advertised) else {}
        held |= {"seed": stage.seed} if isinstance(stage, Dealt) else {}
        held |= {"identity": self.members[self.parties[i]].identity} if self.members else {}
        return {name: secret.hex() for name, secret in held.items()}

    def preamble(self) -> dict[str, Any]:
        """Parameters and session, who signs, and what was sent ahead."""
        parameters = self.scheme.parameters(self.session)
        return {
            "about": self.about,
            "scheme": self.scheme.identifier,
            "parameters": {
                "complete": parameters.complete,
                "degree": parameters.degree,
                "threshold": parameters.threshold,
            },
            "session": self.session.to_bytes().hex(),
            "roster": [[party, self.members[party].roster.key(party).hex()] for party in self.members] or None,
            "clients": self.clients(),
            "prepared": {str(i): self.ahead(i).message.hex() for i in self.prepared},
        }


def rounds() -> list[Round]:
    """The five of them, not run yet."""
    mixed: list[int | str] = ["a", 1, "1", -7, "\u00e9"]
    return [
        Round(
            "complete",
            "SecAgg, passive: one client lost at masked, another at unmask. Lanes of 32 bits.",
            PairwiseMasking(threshold=3),
            mixed,
            16,
            {1: "masked", 4: "unmask"},
        ),
        Round(
            "regular",
            "SecAgg+, passive: a client lost at each of keys, shares and masked. Lanes of 16 bits.",
            PairwiseMasking(neighbours=6),
            list(range(10)),
            8,
            {2: "keys", 5: "shares", 7: "masked"},
        ),
        Round(
            "complete_active",
            "SecAgg, active: one client lost at masked, another at consistency. Lanes of 64 bits.",
            PairwiseMasking(threshold=4, adversary="active"),
            [*mixed, "f"],
            32,
            {0: "masked", 3: "consistency"},
        ),
        Round(
            "regular_active",
            "SecAgg+, active: a client lost at each of keys, masked, consistency and unmask. Lanes of 32 bits.",
            PairwiseMasking(neighbours=6, adversary="active"),
            list(range(100, 112)),
            20,
            {0: "keys", 7: "masked", 3: "consistency", 10: "unmask"},
        ),
        Round(
            "prepared_active",
            "SecAgg, active: three advertisements prepared before the session; losses at keys and masked.",
            PairwiseMasking(threshold=4, adversary="active"),
            [*mixed, "f"],
            16,
            {4: "keys", 0: "masked"},
            prepared=(0, 2, 5),
        ),
    ]


def documents() -> dict[str, bytes]:
    """{file name: contents}."""
    run = rounds()
    return recording.texts({**recording.recorded(run), "negative.json": refused(LIES, run)})


if __name__ == "__main__":
    recording.write(documents(), Path(__file__).parent)
