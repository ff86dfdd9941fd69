"""`secagg check`: what is installed, what the CPU offers, which kernel runs, and whether it all computes right."""

import platform
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version

import msgspec
from cryptography.hazmat.backends.openssl import backend
from llvmlite import binding
from rich.text import Text

from secagg.cli import screen
from secagg.cli.selftest import Outcome, run
from secagg.kernels import agreement, mask
from secagg_protocols import FACTS

REQUIRED = ("numpy", "numba", "llvmlite", "cryptography", "msgspec", "scipy")
OPTIONAL = (
    *("scikit-learn", "pandas", "matplotlib", "jinja2", "typer", "rich"),
    *sorted({library for facts in FACTS.values() for library in facts.libraries}),
)
FEATURES = ("aes", "vaes", "pclmul", "vpclmulqdq", "sha", "avx2", "fma", "avx512f", "avx512ifma", "bmi2", "adx")
"""Instructions that matter to masking, key agreement and big integers, by LLVM's names."""


@dataclass(frozen=True)
class Checkup:
    """What the command found.

    Attributes:
        secagg: version.
        python: version and implementation.
        platform: operating system and machine.
        libraries: {name: version}, None where an optional one is not installed.
        openssl: version of the library behind `cryptography`.
        cpu: LLVM's name of this CPU.
        features: {instruction set: whether the CPU has it}.
        mask_kernel: implementation that expands and adds masks.
        agreement_kernel: implementation that derives the keys of many pairs at once.
        checks: the self-test.
    """

    secagg: str
    python: str
    platform: str
    libraries: dict[str, str | None]
    openssl: str
    cpu: str
    features: dict[str, bool]
    mask_kernel: str
    agreement_kernel: str
    checks: tuple[Outcome, ...]

    @property
    def ok(self) -> bool:
        """Whether every check passed."""
        return all(check.ok for check in self.checks)


def look() -> Checkup:
    """Look around and run the self-test.

    Raises:
        ConfigError: SECAGG_KERNEL names no kernel of this machine.
    """
    kernel = mask.selected()
    has = binding.get_host_cpu_features()
    return Checkup(
        secagg=version("secagg"),
        python=f"{platform.python_version()} ({platform.python_implementation()})",
        platform=f"{platform.system()} {platform.release()}, {platform.machine()}",
        libraries={name: _version(name) for name in (*REQUIRED, *OPTIONAL)},
        openssl=backend.openssl_version_text(),
        cpu=binding.get_host_cpu_name(),
        features={name: bool(has.get(name)) for name in FEATURES},
        mask_kernel=kernel,
        agreement_kernel=agreement.selected(),
        checks=run(),
    )


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None


def show(found: Checkup, *, as_json: bool) -> None:
    """Print what was found, for a person or for a machine."""
    if as_json:
        screen.print_json(msgspec.json.encode({"ok": found.ok, **asdict(found)}))
        return
    out = screen.console()
    facts = screen.table(out, f"secagg {found.secagg}", "what", "found", words=2)
    for name, value in _facts(found):
        facts.add_row(name, value)
    checks = screen.table(out, "Self-test", "result", "what", "known answer from", words=3)
    for check in found.checks:
        verdict = Text("ok", "green") if check.ok else Text(f"FAILED {check.problem}", "bold red")
        checks.add_row(verdict, check.name, check.source)
    screen.show_table(out, facts)
    screen.show_table(out, checks)
    passed = sum(check.ok for check in found.checks)
    out.print(f"{passed} of {len(found.checks)} checks passed.")


def _facts(found: Checkup) -> list[tuple[str, str]]:
    installed = ", ".join(f"{name} {version}" for name, version in found.libraries.items() if version)
    missing = ", ".join(name for name, version in found.libraries.items() if not version)
    features = ", ".join(name for name, has in found.features.items() if has)
    return [
        ("Python", found.python),
        ("system", found.platform),
        ("libraries", installed),
        *([("not installed", missing)] if missing else []),
        ("OpenSSL", found.openssl),
        ("CPU", f"{found.cpu}: {features or 'none of the instructions that secagg could use'}"),
        ("mask kernel", found.mask_kernel),
        ("agreement kernel", found.agreement_kernel),
    ]
