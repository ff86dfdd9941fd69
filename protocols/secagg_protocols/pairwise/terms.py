"""What the scheme's options mean for one session."""

from dataclasses import dataclass

from secagg.errors import OutOfRange


@dataclass(frozen=True)
class Terms:
    """Graph and threshold of one session.

    Attributes:
        complete: every pair of clients shares a mask, and each client holds a share of its own secrets too.
        degree: neighbours of a client; fewer once so many are lost at "keys" that the rest is a complete graph.
        threshold: shares that open a secret.
    """

    complete: bool
    degree: int
    threshold: int

    @property
    def least_cohort(self) -> int:
        """Fewest clients among whom every secret finds `threshold` holders."""
        return self.threshold if self.complete else self.threshold + 1


def check_threshold(threshold: int, holders: int, of: str) -> None:
    """More than half of the holders, so that two halves asked for two secrets of one client never both suffice."""
    if not holders // 2 < threshold <= holders:
        raise OutOfRange(
            f"threshold is {threshold}: expected {holders // 2 + 1}..{holders}, more than half of the {holders} {of}"
        )
