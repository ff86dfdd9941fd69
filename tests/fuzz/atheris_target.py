"""Coverage-guided fuzzing of every decoder: `make fuzz SECONDS=60`, or with libFuzzer's own options.

    python tests/fuzz/atheris_target.py FOLDER -max_total_time=60

The first byte of an input chooses the decoder. FOLDER keeps the corpus, so a later run goes on where this one ended,
and inputs that broke the invariant of `test_fuzz_decoders`.
"""

import random
import sys
from pathlib import Path

import atheris
import msgspec
from mutation import damaged, revalued

KERNELS = Path(__file__).parents[2] / "secagg" / "kernels"
PLAIN = [
    ".".join(("secagg", "kernels", *path.relative_to(KERNELS).with_suffix("").parts)) for path in KERNELS.rglob("*.py")
]
"""Numba compiles no instrumented code."""

with atheris.instrument_imports(include=["secagg", "secagg_protocols"], exclude=PLAIN):
    from decoders import DECODERS, holds

NAMES = sorted(DECODERS)


def one_input(data: bytes) -> None:
    """The invariant."""
    if data:
        holds(DECODERS[NAMES[data[0] % len(NAMES)]], data[1:])


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """Half of the time what libFuzzer does, else what `mutation` knows of the formats."""
    draw = random.Random(seed)
    if len(data) > 1 and draw.random() < 0.5:
        decoder = DECODERS[NAMES[data[0] % len(NAMES)]]
        try:
            changed = revalued(data[1:], draw)
        except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError):
            changed = damaged(data[1:], decoder.examples, draw)
        return (data[:1] + changed)[:max_size]
    return bytes(atheris.Mutate(data, max_size))


def plant(folder: Path) -> None:
    """Put the valid examples into the corpus."""
    folder.mkdir(parents=True, exist_ok=True)
    for choice, name in enumerate(NAMES):
        for place, example in enumerate(DECODERS[name].examples):
            (folder / f"{choice}-{place}").write_bytes(bytes([choice]) + example)


def main() -> None:
    """The command."""
    folder = Path(sys.argv[1])
    plant(folder / "corpus")
    options = [f"-artifact_prefix={folder}/", "-max_len=20000", "-timeout=10", "-rss_limit_mb=1024"]
    atheris.Setup([sys.argv[0], *options, *sys.argv[2:], str(folder / "corpus")], one_input, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
