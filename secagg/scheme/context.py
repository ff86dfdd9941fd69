"""What each end says the round is about (`Session.context`), by digests that differ or do not."""

from secagg.errors import InconsistentModel, PartyId

_DIGITS = 16
"""Of a digest, in an error's text."""


def check_shown(shown: bytes, expected: bytes, sender: PartyId) -> None:
    """At the server: raise InconsistentModel, naming `sender`, unless the digest that it shows is the session's."""
    if shown != expected:
        raise InconsistentModel(
            f"received another model, round or configuration: digest {shown.hex()[:_DIGITS]}, "
            f"the session's is {expected.hex()[:_DIGITS]}",
            {sender},
        )


def check_theirs(theirs: bytes, own: bytes, others: str) -> None:
    """At a party: raise InconsistentModel unless what `others` agree on, as the server says, is its own digest."""
    if theirs != own:
        raise InconsistentModel(
            f"this party received another model, round or configuration than {others}: "
            f"digest {own.hex()[:_DIGITS]}, theirs is {theirs.hex()[:_DIGITS]}"
        )
