"""What the scheme's options mean for one session."""

from dataclasses import dataclass

from secagg.errors import OutOfRange


@dataclass(frozen=True)
class Parameters:
    """Graph and threshold of one session.

    Attributes:
        complete: every pair of clients shares a mask, and each client holds a share of its own secrets too.
        degree: neighbours of a client; fewer once so many are lost at "keys" that the rest is a complete graph.
        threshold: shares that open a secret.
        fewest_drawn: clients over whose advertisements the graph may be drawn; with fewer of them, the corrupt ones
            could be too many among somebody's neighbours. 0 where that cannot be, and in passive mode.
    """

    complete: bool
    degree: int
    threshold: int
    fewest_drawn: int = 0

    @property
    def least_cohort(self) -> int:
        """Fewest clients among whom every secret finds `threshold` holders."""
        return self.threshold if self.complete else self.threshold + 1

    @property
    def least_advertised(self) -> int:
        """Fewest clients with keys among whom a round can begin."""
        return max(self.least_cohort, self.fewest_drawn)


def least_threshold(holders: int, corrupt: int = 0) -> int:
    """The least t with 2t > holders + corrupt: no server gets t shares of each of a client's two secrets.

    An honest holder gives a share of one of them, a corrupt one of both.
    """
    return (holders + corrupt) // 2 + 1


def check_threshold(threshold: int, holders: int, of: str, corrupt: int = 0) -> None:
    """Raise OutOfRange for a threshold below `least_threshold`, or above all holders."""
    least = least_threshold(holders, corrupt)
    if not least <= threshold <= holders:
        also = f" and {corrupt} corrupt ones counted twice" if corrupt else ""
        raise OutOfRange(
            f"threshold is {threshold}: expected {least}..{holders}, more than half of the {holders} {of}{also}"
        )
