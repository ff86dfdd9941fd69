"""Fresh secret bytes: randomness is a parameter, and this is how it is drawn."""

from collections.abc import Callable

from secagg.errors import ConfigError

Entropy = Callable[[int], bytes]
"""entropy(n) returns n fresh, uniform, unpredictable bytes, as os.urandom does."""


def draw(entropy: Entropy, n: int) -> bytes:
    """Take n bytes.

    Raises:
        ConfigError: the source returned another number of bytes, or something else, or is none.
    """
    if not callable(entropy):
        raise ConfigError(f"entropy is {type(entropy).__name__}, expected a function such as os.urandom")
    drawn = entropy(n)
    if not isinstance(drawn, bytes) or len(drawn) != n:
        raise ConfigError(f"entropy({n}) must return {n} bytes")
    return drawn
