"""CKKS sums, for people."""

from secagg.scheme.facts import Facts, Limits

FACTS = Facts(
    names={"ckks": "the server adds ciphertexts, and all clients hold the key while they encrypt"},
    limits=Limits(
        lying="Against a server that lies: the clients that hold the key decrypt what the server hands them.",
        colluding="Against a server together with any one client: every client holds the key while it encrypts, so the "
        "two can get every update.",
        in_short="one that lies, or one together with any one client, can get every update",
    ),
    extra="ckks",
    libraries=frozenset({"tenseal", "zstandard"}),
)
