"""The load command runs, checks its own sum, and finds the server's memory at O(dim + n * k)."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CLIENTS, DIM = 40, 100_000
ENTRY = 4
"""Bytes of a lane: sums of 40 numbers below 2**16 need 22 bits."""


def load(folder, *options):
    """{(name of a row, phase): it}, and what the command prints."""
    command = [sys.executable, "-m", "bench", "load", *map(str, options), "--json", str(folder / "load.json")]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = json.loads((folder / "load.json").read_text())["rows"]
    return {(row["what"], row["case"].get("phase")): row for row in rows}, done.stdout


def test_a_small_load(tmp_path):
    rows, _ = load(tmp_path, "--clients", CLIENTS, "--dim", DIM, "--lost", 2, "--traced")
    memory = rows.pop(("memory", None))
    case, grown = memory["case"], memory["figures"]["grown"]
    assert (case["clients"], case["dim"], case["lost"]) == (CLIENTS, DIM, 2)
    assert [phase for _, phase in rows] == ["keys", "shares", "masked", "unmask"]
    assert all(row["figures"]["sent"] > 0 for row in rows.values())
    assert rows["load", "masked"]["figures"]["received"] > (CLIENTS - 2) * DIM * 2
    vectors = 8 * DIM * ENTRY
    assert vectors < CLIENTS * DIM * ENTRY / 4
    assert grown < vectors + 3000 * CLIENTS * case["neighbours"]


def test_its_table_names_every_phase(tmp_path):
    _, out = load(tmp_path, "--clients", 5, "--dim", 3, "--lost", 0)
    assert all(word in out for word in ("keys", "shares", "masked", "unmask", "grown"))
