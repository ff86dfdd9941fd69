"""Makes the files beside it: a key of 2048 bits whose secrets everybody knows, and what it encrypts and opens.

    python generate.py          writes them anew; the same bytes every time

For tests alone: whoever has this folder opens all that is encrypted under this key.
"""

import json
import sys
from pathlib import Path

from secagg.primitives import passphrase
from secagg.primitives.paillier import primes
from secagg.primitives.paillier.threshold import deal_factors
from secagg.testing import SeededEntropy
from secagg.wire import codec
from secagg_protocols.paillier import PaillierKeys, keys

FOLDER = Path(__file__).parent
WARNING = "TEST KEY: its secrets are public. Never encrypt anything under it."
HOLDERS = ["hospital-1", "hospital-2", 3]
PASSPHRASE = b"test key, known to everybody"
LABEL = b"known answers"


def document() -> tuple[bytes, bytes]:
    """known_answers.json, and test.key: a file as `PaillierKeys.save` writes it."""
    draw = SeededEntropy(b"vectors/paillier")
    p, q = primes.distinct_primes(1024, safe=True, entropy=draw)
    key, shares = deal_factors(p, q, 3, 2, draw)
    n = key.public.n
    plaintexts = [0, 1, n - 1, int.from_bytes(draw(255)), (1 << 2040) - 1]
    exponents = [0, 1, (1 << 1024) - 1, *(int.from_bytes(draw(128)) for _ in range(2))]
    ciphertexts = key.public.encrypt_with(plaintexts, exponents)
    opened = [key.partial_decrypt(share, ciphertexts, draw, LABEL) for share in shares]
    text = {
        "warning": WARNING,
        "p": hex(p),
        "q": hex(q),
        "n": hex(n),
        "h": hex(key.public.h),
        "threshold": 2,
        "base": hex(key.base),
        "verifiers": [*map(hex, key.verifiers)],
        "shares": [hex(share.exponent) for share in shares],
        "plaintexts": [*map(hex, plaintexts)],
        "exponents": [*map(hex, exponents)],
        "ciphertexts": [*map(hex, ciphertexts)],
        "label": LABEL.hex(),
        "partials": [[*map(hex, row)] for row, _ in opened],
        "proofs": [proof.hex() for _, proof in opened],
    }
    made = PaillierKeys(HOLDERS, key, dict(zip(HOLDERS, shares, strict=True)))
    file = passphrase.protect(codec.encode(made._saved(secrets=True)), PASSPHRASE, keys._PURPOSE, draw)
    return json.dumps(text, indent=1).encode() + b"\n", file


if __name__ == "__main__":
    known, file = document()
    (FOLDER / "known_answers.json").write_bytes(known)
    (FOLDER / "test.key").write_bytes(file)
    sys.stdout.write(f"{len(known)} and {len(file)} bytes\n")
