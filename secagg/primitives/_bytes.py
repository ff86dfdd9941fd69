"""Bytes of a known length."""

from secagg.errors import ConfigError


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
