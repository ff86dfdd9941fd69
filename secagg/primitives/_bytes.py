"""What every primitive needs: bytes of a known length, and a source of fresh ones."""

from collections.abc import Callable

from secagg.errors import ConfigError

Entropy = Callable[[int], bytes]
"""entropy(n) returns n fresh, uniform, unpredictable bytes, as os.urandom does."""


def draw(entropy: Entropy, n: int) -> bytes:
    """Take n bytes.

    Raises:
        ConfigError: the source returned another number of bytes, or something else.
    """
    drawn = entropy(n)
    if not isinstance(drawn, bytes) or len(drawn) != n:
        raise ConfigError(f"entropy({n}) must return {n} bytes")
    return drawn


def of_length(value: bytes, length: int, name: str) -> bytes:
    """`value` as bytes, where it has the right length; the error never shows the value.

    Raises:
        ConfigError: `value` is not bytes of that length; says `name`, and what was found.
    """
    if not isinstance(value, bytes | bytearray | memoryview):
        raise ConfigError(f"{name}: expected {length} bytes, got {type(value).__name__}")
    if len(value) != length:
        raise ConfigError(f"{name}: expected {length} bytes, got {len(value)}")
    return bytes(value)
