"""What a lying server of a CKKS sum can do: the key holders decrypt what it hands them."""

import numpy as np
from attacker import UPDATES, make_session, play

from secagg.encoding.packing import unpack
from secagg.primitives.ckks import DEGREE, Masks, SecretKey
from secagg.testing import TestRound, asking, opened
from secagg.wire.packed import pack_bits
from secagg_protocols.ckks import residues
from secagg_protocols.ckks.messages import AskDecrypt, Decrypted, Encrypted


class LyingAdder:
    """An honest round up to "decrypt", and then any ask to a key holder.

    Args:
        scheme: such as `CkksSum()`.
        session: by default six parties with the updates of this folder.
    """

    def __init__(self, scheme, session=None, updates=UPDATES, **options):
        self.session = make_session() if session is None else session
        self.parameters = scheme.parameters(self.session)
        self.round = play(TestRound(scheme, self.session, updates, **options), "decrypt")
        self.holders = sorted(self.round.coordinator.asks())

    @property
    def n(self):
        return len(self.session.parties)

    def ciphertext(self, party):
        """(body, masks) of what one client sent."""
        sent = opened(self.round.sent["encrypted", party], Encrypted)
        masks = Masks(self.parameters, self.session.dim)
        masks.add(sent.seeds)
        return residues.unpack(sent.body, self.session.dim, self.parameters, "body"), masks.values()

    def ask(self, body, masks, contributors=None):
        """An ask that names all as contributors, whatever its ciphertext is."""
        named = range(self.n) if contributors is None else contributors
        return AskDecrypt(
            contributors=pack_bits([i in named for i in range(self.n)]),
            body=residues.pack(body, self.parameters),
            masks=residues.pack(masks.reshape(-1), self.parameters),
        )

    def decrypted(self, holder, ask):
        """The holder's answer to it, (dim,) ring entries."""
        data = asking(self.round.scheme, self.session, "decrypt", holder, ask)
        reply = self.round.participants[holder].answer(data, None)
        return unpack(opened(reply, Decrypted).vector, self.session.dim, self.session.ring)

    def key_of(self, answer):
        """The secret key whose coefficients the answer shows: 0, 1, and one large number for -1."""
        shown = answer[:DEGREE].astype(np.int64)
        ternary = np.where(shown > 1, -1, shown)
        found = SecretKey(bytes(32), self.parameters)
        found._secret = found._seal.secret_key(ternary)
        return found
