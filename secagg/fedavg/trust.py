"""Against whom a protocol protects nothing, in the words of the terminal and the page."""

_MASKING = """\
Against a server that lies, unless the protocol named above is “active”: in the passive mode, the default, \
such a server can get single updates.
Against a server together with t of the holders of a hospital\u2019s shares, t being the threshold: they can get its \
update and its number of patients."""
_CKKS = """\
Against a server that lies: the hospitals that hold the key decrypt what the server hands them.
Against a server together with any one hospital: every hospital holds the key while it encrypts, so the two can get \
every update."""
_MASKING_IN_SHORT = (
    "one that lies (in passive mode, the default), or one together with t share holders, can get single updates"
)
_CKKS_IN_SHORT = "one that lies, or one together with any one hospital, can get every update"


def limits(protocol: str) -> list[str]:
    """Sentences for `protocol`, a scheme's name and options as `Run.protocol` has them."""
    return (_CKKS if _is_ckks(protocol) else _MASKING).splitlines()


def limits_in_short(protocol: str) -> str:
    """The same as one clause, whose subject is a server."""
    return _CKKS_IN_SHORT if _is_ckks(protocol) else _MASKING_IN_SHORT


def _is_ckks(protocol: str) -> bool:
    return protocol.startswith("ckks ")
