"""A protocol whose library is not installed says how to install it, and only when it is asked for."""

import subprocess
import sys

import pytest

import secagg_protocols


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)


WITHOUT = "import sys; sys.modules['gmpy2'] = None; import secagg_protocols; "


@pytest.mark.parametrize(
    "use",
    ["secagg_protocols.PROTOCOLS['paillier'](5)", "secagg_protocols.PaillierSum", "secagg_protocols.PaillierKeys"],
)
def test_without_gmpy2(use):
    done = python(WITHOUT + use)
    last = done.stderr.strip().splitlines()[-1]
    assert last == (
        "secagg.errors.ConfigError: protocol paillier needs gmpy2, which is not installed: "
        "pip install 'secagg[paillier]'"
    )


def test_the_others_do_without_it():
    done = python(WITHOUT + "print(*secagg_protocols.PROTOCOLS, secagg_protocols.PROTOCOLS['secagg'](5))")
    assert done.returncode == 0
    assert "paillier" in done.stdout


def test_names_and_facts_need_no_library():
    hidden = "sys.modules |= dict.fromkeys(['gmpy2', 'phe', 'tenseal', 'zstandard'])"
    done = python(f"import sys; {hidden}; from secagg_protocols import FACTS; print(*FACTS)")
    assert (done.returncode, done.stdout) == (0, "secagg secagg+ paillier ckks\n")


def test_every_name_has_facts_and_its_scheme_has_the_same():
    assert list(secagg_protocols.FACTS) == list(secagg_protocols.PROTOCOLS)
    for name, facts in secagg_protocols.FACTS.items():
        assert secagg_protocols.PROTOCOLS[name](5).facts is facts
        assert (facts.extra is None) == (not facts.libraries)


def test_paillier_does_without_phe():
    code = "import sys; sys.modules['phe'] = None; import secagg_protocols; print(secagg_protocols.PaillierSum())"
    assert python(code).stdout == "paillier-sum (2048-bit key, one holder, passive)\n"


def test_names_are_the_package_s_own():
    assert secagg_protocols.PaillierSum is sys.modules["secagg_protocols.paillier"].PaillierSum
    for name in secagg_protocols.__all__:
        assert getattr(secagg_protocols, name)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        secagg_protocols.Nothing  # noqa: B018
