"""Which kernels this machine takes by itself: reruns and machine code of the others are for the nightly run."""

import pytest

from secagg.kernels import agreement, mask, montgomery

MASK, AGREEMENT, MONTGOMERY = mask.selected(), agreement.selected(), montgomery.selected()


def daily(name, in_use, *values):
    """A case of the kernel `name`: nightly, unless it is the one in use."""
    return pytest.param(*values, id=name, marks=[] if name == in_use else pytest.mark.nightly)
