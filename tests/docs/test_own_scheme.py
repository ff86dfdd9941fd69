"""The scheme that the integration guide writes is as short as it says, and passes the exam."""

import numpy as np
from pages import ROOT, blocks

import secagg
from secagg.testing.conformance import SchemeConformance

EXAMPLE = next(block for block in blocks(ROOT / "docs" / "integrate.md") if "class PlainSum(Scheme):" in block.text)
WRITTEN: dict[str, object] = {"__name__": "page", "np": np, "secagg": secagg}
exec(compile("\n" * (EXAMPLE.line - 1) + EXAMPLE.text, "docs/integrate.md", "exec"), WRITTEN)


class TestPlainSum(SchemeConformance):
    def make(self, n):
        return WRITTEN["PlainSum"]()


def test_it_has_sixty_lines():
    assert sum(bool(line.strip()) for line in EXAMPLE.text.splitlines()) <= 60
