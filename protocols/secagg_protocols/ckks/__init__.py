"""Sums under CKKS: clients encrypt under one key that all of them hold, the server adds, key holders open the sum.

For a server that follows the protocol and looks at all it sees. It never holds the key, and hands the holders only
sums: they decrypt what they are given. Any client together with the server reads any update.
"""

from typing import TYPE_CHECKING

from secagg import lazy
from secagg_protocols.ckks.facts import FACTS

if TYPE_CHECKING:
    from secagg_protocols.ckks.scheme import CkksSum, ckks

__all__ = ["FACTS", "CkksSum", "ckks"]

__getattr__ = lazy.names(__name__, {"CkksSum": "scheme", "ckks": "scheme"})
