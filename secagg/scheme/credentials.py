"""What a party brings of its own and knows of the others before any round."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from secagg.errors import ConfigError, PartyId
from secagg.primitives import signing
from secagg.primitives.entropy import Entropy
from secagg.scheme.draw import Draw
from secagg.scheme.roster import Roster
from secagg.scheme.session import Session, party_ids


@dataclass(frozen=True)
class Credentials:
    """What a party authenticates itself and others with.

    Attributes:
        identity: its own Ed25519 private key, 32 bytes; secret.
        roster: everybody's public keys.
        draw: which of the roster make up which round; None leaves that to the server.

    Raises BadCohort for a draw of more than the roster has.
    """

    identity: bytes = field(repr=False)
    roster: Roster
    draw: Draw | None = None

    def __post_init__(self) -> None:
        if self.draw is not None:
            self.draw.check_roster(self.roster)

    @classmethod
    def generate(
        cls, parties: Iterable[PartyId], entropy: Entropy, draw: Draw | None = None
    ) -> "dict[PartyId, Credentials]":
        """Fresh identities for parties that all live in this process: simulations and tests."""
        identities = {party: signing.generate(entropy) for party in party_ids(parties)}
        roster = Roster({party: signing.public_key(private) for party, private in identities.items()})
        return {party: cls(private, roster, draw) for party, private in identities.items()}

    def check_identity(self, party: PartyId) -> None:
        """Raise ConfigError if this is not the identity that the roster has for `party`, BadCohort if it has none."""
        self.roster.check_members([party])
        if signing.public_key(self.identity) != self.roster.key(party):
            raise ConfigError(f"the identity key of party {party!r} is not the one on the roster")

    def check_cohort(self, session: Session) -> None:
        """Raise PolicyRefused for a session of other parties than those drawn for its round, where they are drawn."""
        if self.draw is not None:
            self.draw.check_cohort(self.roster, session.round, session.parties)

    def sign(self, message: bytes) -> bytes:
        """This party's signature, 64 bytes."""
        return signing.sign(self.identity, message)
