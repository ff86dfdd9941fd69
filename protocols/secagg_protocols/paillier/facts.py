"""Paillier sums, for people."""

from secagg.scheme.facts import Facts, Limits

FACTS = Facts(
    names={"paillier": "the server adds ciphertexts, and one client holds the key"},
    limits=Limits(
        lying="Against a server that lies: the clients that hold the key open what the server hands them.",
        colluding="Against a server together with the one client that holds a round\u2019s key, or with t holders of a "
        "key that was dealt among several: they can get every update.",
        in_short="one that lies, or one together with the key's holder (with t, of a shared key), can get every update",
    ),
    extra="paillier",
    libraries=frozenset({"gmpy2"}),
)
