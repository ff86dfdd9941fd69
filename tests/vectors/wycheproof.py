"""Project Wycheproof's vectors in rows of our own, and those of its edges that stand in `edges.json`.

`python tests/vectors/wycheproof.py` writes that file anew, where `../shared/vectors/wycheproof` lies beside the
repository. Texts are hexadecimal; a key that HKDF makes stands as its SHA-256, as it may have 8160 bytes.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
EDGES = HERE / "edges.json"
FOLDER = HERE.parents[2] / "shared" / "vectors" / "wycheproof"
SOURCE = (
    "Selected from Project Wycheproof (github.com/C2SP/wycheproof, Apache-2.0) and written in our own rows by "
    "wycheproof.py: what is bent, or lies at an edge of the arithmetic"
)
Row = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """One of Wycheproof's files.

    Attributes:
        file: its name, without `.json`.
        row: (group, test) to a row.
        edges: flags of the tests that go into `edges.json`, all of them.
        some: further flags, and how many tests there that have none of `edges`.
    """

    file: str
    row: Callable[[Row, Row], Row]
    edges: frozenset[str]
    some: dict[str, int] = field(default_factory=dict)

    def tests(self) -> list[tuple[frozenset[str], Row]]:
        """(flags, row) of all."""
        groups = json.loads((FOLDER / f"{self.file}.json").read_text())["testGroups"]
        return [
            (frozenset(test["flags"]), {"is": f"{test['tcId']} {test['comment']}"[:40], **self.row(group, test)})
            for group in groups
            for test in group["tests"]
        ]

    def selected(self) -> list[Row]:
        """The rows of `edges.json`."""
        usable = [(flags, row) for flags, row in self.tests() if kept(row)]
        found = [row for flags, row in usable if flags & self.edges]
        for flag, number in self.some.items():
            found += [row for flags, row in usable if flag in flags and not flags & self.edges][:number]
        return found


def kept(row: Row) -> bool:
    """Whether a row is short, and one that the API takes."""
    return fits(row) and len(json.dumps(row)) < 480


def fits(row: Row) -> bool:
    """Where it is of AES: whether its key has 256 bits, its nonce 96 and its tag 128."""
    lengths = [len(row[name]) // 2 for name in ("key", "nonce", "tag") if name in row]
    return lengths in ([], [32, 12, 16])


def named(test: Row, **names: str) -> Row:
    return {ours: test[theirs] for ours, theirs in names.items()}


def x25519(_: Row, test: Row) -> Row:
    return named(test, private="private", public="public", shared="shared")


def ed25519(group: Row, test: Row) -> Row:
    texts = named(test, message="msg", signature="sig")
    return {"public": group["publicKey"]["pk"], **texts, "valid": test["result"] == "valid"}


def hkdf(_: Row, test: Row) -> Row:
    digest = hashlib.sha256(bytes.fromhex(test["okm"])).hexdigest() if test["result"] == "valid" else None
    return {**named(test, secret="ikm", salt="salt", info="info", length="size"), "sha256": digest}


def hmac(_: Row, test: Row) -> Row:
    return {**named(test, hmac_key="key", message="msg", hmac_tag="tag"), "valid": test["result"] == "valid"}


def aes_gcm(_: Row, test: Row) -> Row:
    names = {"key": "key", "nonce": "iv", "data": "aad", "plaintext": "msg", "ciphertext": "ct", "tag": "tag"}
    return {**named(test, **names), "valid": test["result"] == "valid"}


KINDS = {
    "x25519": Kind(
        "x25519_test",
        x25519,
        frozenset(["NonCanonicalPublic", "SmallPublicKey", "EdgeCaseShared", "EdgeCasePrivateKey"]),
        {"SpecialPublicKey": 40, "LowOrderPublic": 4, "Twist": 4, "EdgeCaseMultiplication": 4},
    ),
    "ed25519": Kind(
        "ed25519_test",
        ed25519,
        frozenset(["SignatureMalleability", "SignatureWithGarbage", "InvalidKtv"]),
        {
            "InvalidSignature": 8,
            "InvalidEncoding": 8,
            "TruncatedSignature": 3,
            "CompressedSignature": 4,
            "TinkOverflow": 4,
        },
    ),
    "hkdf_sha256": Kind(
        "hkdf_sha256_test",
        hkdf,
        frozenset(["OutputCollision", "MaximalOutputSize", "SizeTooLarge"]),
        {"EmptySalt": 3},
    ),
    "hmac_sha256": Kind("hmac_sha256_test", hmac, frozenset(), {"ModifiedTag": 6, "Pseudorandom": 6}),
    "aes_gcm": Kind("aes_gcm_test", aes_gcm, frozenset(["CounterWrap", "SpecialCase", "ModifiedTag"]), {"Ktv": 3}),
}


def everything() -> dict[str, list[Row]]:
    """All rows of Wycheproof's files."""
    return {name: [row for _, row in kind.tests()] for name, kind in KINDS.items()}


def edges() -> dict[str, list[Row]]:
    """The rows of `edges.json`."""
    found: dict[str, list[Row]] = json.loads(EDGES.read_text())["rows"]
    return found


def write() -> None:
    """A row a line."""
    parts = [
        f'  "{name}": [\n' + ",\n".join(f"   {json.dumps(row)}" for row in kind.selected()) + "\n  ]"
        for name, kind in KINDS.items()
    ]
    EDGES.write_text(f'{{\n "source": {json.dumps(SOURCE)},\n "rows": {{\n' + ",\n".join(parts) + "\n }\n}\n")


if __name__ == "__main__":
    write()
