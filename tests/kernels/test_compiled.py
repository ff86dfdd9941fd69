"""Compiled kernels outlive a run only in a private folder whose name says all that they depend on."""

import os
import stat
from pathlib import Path

import compiled
import pytest
from llvmlite import binding

pytestmark = pytest.mark.skipif(os.name != "posix", reason="owners and permissions of POSIX")


def test_this_run_keeps_them_in_such_a_folder():
    path = Path(os.environ["NUMBA_CACHE_DIR"])
    assert path.name.startswith(f"secagg-numba-{compiled.key()}")
    assert compiled.is_private(path)


@pytest.mark.parametrize(
    ("where", "name", "other"),
    [
        (compiled, "version", lambda package: "0.0" if package == "numba" else "1.0"),
        (compiled, "version", lambda package: "0.0" if package == "llvmlite" else "1.0"),
        (binding, "llvm_version_info", (1, 2, 3)),
        (binding, "get_host_cpu_name", lambda: "abacus"),
        (binding, "get_host_cpu_features", lambda: binding.FeatureMap(abacus=True)),
    ],
    ids=["numba", "llvmlite", "llvm", "processor", "features"],
)
def test_another_version_or_processor_has_another_name(monkeypatch, where, name, other):
    if name == "version":
        monkeypatch.setattr(compiled, "version", lambda package: "1.0")
    before = compiled.key()
    monkeypatch.setattr(where, name, other)
    assert compiled.key() != before


@pytest.mark.parametrize("switch", compiled.SWITCHES)
def test_another_switch_has_another_name(monkeypatch, switch):
    before = compiled.key()
    monkeypatch.setenv(switch, "another")
    assert compiled.key() != before


def test_any_edit_of_any_kernel_has_another_name(monkeypatch, tmp_path):
    monkeypatch.setattr(compiled, "KERNELS", tmp_path)
    keys = [compiled.key()]
    (tmp_path / "mask").mkdir()
    for name, text in [("a.py", ""), ("a.py", "1"), ("mask/a.py", "1"), ("mask/a.py", "2")]:
        (tmp_path / name).write_text(text)
        keys.append(compiled.key())
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    keys.append(compiled.key())
    assert len({*keys}) == len(keys) == 6


class TestPrivate:
    @pytest.fixture(autouse=True)
    def elsewhere(self, monkeypatch, tmp_path):
        monkeypatch.setattr(compiled.tempfile, "tempdir", str(tmp_path))
        monkeypatch.setattr(compiled.atexit, "register", lambda *arguments, **options: None)

    @pytest.fixture
    def path(self, tmp_path):
        return tmp_path / "kept"

    def test_a_new_one_is_ours_alone(self, path):
        assert compiled.private(path) == path
        assert stat.S_IMODE(path.stat().st_mode) == 0o700

    def test_ours_is_found_again(self, path):
        compiled.private(path)
        (path / "kernel").touch()
        assert compiled.private(path) == path

    def others(self, path, monkeypatch, kind):
        if kind == "file":
            path.touch(mode=0o700)
        elif kind == "link":
            (path.parent / "aim").mkdir(mode=0o700)
            path.symlink_to("aim")
        elif kind == "dangling":
            path.symlink_to("nowhere")
        else:
            path.mkdir()
            path.chmod(0o700 if kind == "somebody's" else int(kind, 8))
        if kind == "somebody's":
            monkeypatch.setattr(compiled.os, "getuid", lambda: path.stat().st_uid + 1)

    @pytest.mark.parametrize("kind", ["file", "link", "dangling", "somebody's", "755", "770", "701", "500"])
    def test_any_other_is_left_alone(self, path, monkeypatch, kind):
        self.others(path, monkeypatch, kind)
        fresh = [compiled.private(path) for _ in range(2)]
        monkeypatch.undo()
        assert len({path, *fresh}) == 3
        assert all(compiled.is_private(found) for found in fresh)
        assert not any(any(found.iterdir()) for found in fresh)
