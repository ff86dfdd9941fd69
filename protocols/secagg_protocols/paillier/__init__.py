"""Paillier: clients encrypt to a key that t of m holders share, the server adds ciphertexts, the holders open the sum.

The holders decrypt what the server hands them, and cannot tell a sum from a single client's ciphertext: the server is
trusted to follow the protocol (honest but curious).
"""

from typing import TYPE_CHECKING

from secagg import lazy
from secagg_protocols.paillier.facts import FACTS

if TYPE_CHECKING:
    from secagg_protocols.paillier.keys import PaillierKeys
    from secagg_protocols.paillier.scheme import PaillierSum, paillier

__all__ = ["FACTS", "PaillierKeys", "PaillierSum", "paillier"]

__getattr__ = lazy.names(__name__, {"PaillierKeys": "keys", "PaillierSum": "scheme", "paillier": "scheme"})
