"""A folder for Matplotlib's fonts where the user's own cannot be written.

Otherwise Matplotlib makes one itself, at each start, and says so on standard error in lines of its own.
"""

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

_VARIABLE = "MPLCONFIGDIR"


def provide_plot_folder() -> None:
    """Before Matplotlib is imported: name it a folder that lasts as long as this process, where it would find none."""
    try:
        writable = all(_writable(folder) for folder in _folders())
    except RuntimeError:  # nobody's home is known
        writable = False
    if not writable:
        folder = tempfile.mkdtemp(prefix="secagg-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        os.environ[_VARIABLE] = folder


def _folders() -> list[Path]:
    """Where Matplotlib looks for its configuration and its cache."""
    if named := os.environ.get(_VARIABLE):
        return [Path(named)]
    if not sys.platform.startswith(("linux", "freebsd")):
        return [Path.home() / ".matplotlib"]
    roots = (("XDG_CONFIG_HOME", ".config"), ("XDG_CACHE_HOME", ".cache"))
    return [Path(os.environ.get(variable) or Path.home() / usual) / "matplotlib" for variable, usual in roots]


def _writable(folder: Path) -> bool:
    """Whether files can be made in it; it is made where it is missing, as Matplotlib would."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)
