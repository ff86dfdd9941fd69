"""Against whom a protocol protects nothing, in the words of the terminal and the page."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What a protocol leaves open.

    Attributes:
        lying: to a server that lies, a sentence.
        colluding: to a server together with others, a sentence.
        in_short: both as one clause, whose subject is a server.
    """

    lying: str
    colluding: str
    in_short: str


_MASKING = Limits(
    "Against a server that lies, unless the protocol named above is “active”: in the passive mode, the default, such a "
    "server can get single updates.",
    "Against a server together with t of the holders of a hospital\u2019s shares, t being the threshold: they can get "
    "its update and its number of patients.",
    "one that lies (in passive mode, the default), or one together with t share holders, can get single updates",
)
_OTHERS = {
    "paillier-sum": Limits(
        "Against a server that lies: the hospitals that hold the key open what the server hands them.",
        "Against a server together with the one hospital that holds a round\u2019s key, or with t holders of a "
        "key that was dealt among several: they can get every update.",
        "one that lies, or one together with the key's holder (with t, of a shared key), can get every update",
    ),
    "ckks": Limits(
        "Against a server that lies: the hospitals that hold the key decrypt what the server hands them.",
        "Against a server together with any one hospital: every hospital holds the key while it encrypts, so the two "
        "can get every update.",
        "one that lies, or one together with any one hospital, can get every update",
    ),
}


def limits(protocol: str) -> Limits:
    """Those of `protocol`, a scheme's name and options as `Run.protocol` has them."""
    return _OTHERS.get(protocol.partition(" ")[0], _MASKING)
