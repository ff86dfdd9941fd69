"""A key in a file: made once and never overwritten, under a passphrase that is not empty."""

import os
from pathlib import Path

from secagg.errors import ConfigError


def create(file: str | os.PathLike[str], data: bytes, mode: int = 0o600) -> None:
    """A new file that is on the disk on return, with `mode` from its first moment; an existing one is never touched.

    Raises:
        ConfigError: the file exists or cannot be made; names it.
    """
    path = Path(file)
    try:
        with open(path, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as new:
            new.write(data)
            new.flush()
            os.fsync(new.fileno())
    except FileExistsError:
        raise ConfigError(f"{path}: exists, and is never overwritten") from None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None


def checked_passphrase(passphrase: bytes) -> bytes:
    """The passphrase itself. Raises ConfigError for an empty one, or what is no bytes."""
    if not isinstance(passphrase, bytes) or not passphrase:
        raise ConfigError("passphrase: expected 1 or more bytes")
    return passphrase
