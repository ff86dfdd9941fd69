"""What goes wrong in a client's own functions and files: its log has the whole of it, the server the class alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

from flwr.clientapp.client_app import LoadClientAppError
from flwr.common.constant import ErrorCode

Kind: TypeAlias = type[Exception] | tuple[type[Exception], ...]


class OwnError(Exception):
    """An exception of the client's own, whose text may quote a patient's row or name a file.

    Attributes:
        cause: that exception.
        code: with which Flower would report it.
    """

    def __init__(self, cause: Exception, code: int) -> None:
        super().__init__(type(cause).__name__)
        self.cause = cause
        self.code = code


@contextmanager
def as_own_error(kind: Kind = Exception, code: int = ErrorCode.MOD_FAILED_PRECONDITION) -> Iterator[None]:
    """Raise OwnError for exceptions of that kind, be they this library's or any other's."""
    try:
        yield
    except OwnError:
        raise
    except kind as error:
        loading = isinstance(error, LoadClientAppError)
        raise OwnError(error, ErrorCode.LOAD_CLIENT_APP_EXCEPTION if loading else code) from error
