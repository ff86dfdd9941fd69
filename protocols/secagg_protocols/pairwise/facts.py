"""Pairwise masking, for people."""

from secagg.scheme.facts import Facts, Limits

FACTS = Facts(
    names={
        "secagg": "every pair of clients shares a mask",
        "secagg+": "a client shares masks with some neighbours only",
    },
    limits=Limits(
        lying="Against a server that lies, unless the protocol named above is \u201cactive\u201d: in the passive mode, "
        "the default, such a server can get single updates.",
        colluding="Against a server together with t of the holders of a client\u2019s shares, t being the threshold: "
        "they can get its update and its number of patients.",
        in_short="one that lies (in passive mode, the default), or one together with t share holders, can get single "
        "updates",
    ),
)
