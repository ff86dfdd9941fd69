"""Flower's own processes on loopback, each ended by its id."""

import ipaddress
import json
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from select import select
from shutil import copytree, ignore_patterns
from threading import Event, Thread

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

BIN = Path(sys.executable).parent
PATIENCE = 240
"""Seconds for anything to happen; a federation that takes them is stuck."""
GRACE = 20
"""Seconds for a process to end when it is asked."""
QUIET = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1", "PYTHONUNBUFFERED": "1"}
"""What keeps Flower from calling home, and output from waiting."""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


class Reports:
    """What apps in other processes tell the test: one JSON object a line, over a connection each."""

    def __init__(self):
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(PATIENCE)
        self.port = self._server.getsockname()[1]
        self._links = []

    def next(self):
        link, _ = self._server.accept()
        link.settimeout(PATIENCE)
        self._links.append(link)
        with link.makefile() as lines:
            return json.loads(lines.readline())

    def close(self):
        for link in self._links:
            link.close()
        self._server.close()


class Deployment:
    """A SuperLink, and SuperNodes to be started with it.

    Args:
        folder: for keys, logs and Flower's home.
        secure: TLS on the SuperLink and authentication of SuperNodes.
    """

    def __init__(self, folder: Path, secure: bool, simulation: bool = False):
        self.folder, self.secure = folder, secure
        self.port = free_port()
        self.nodes: dict[int, subprocess.Popen] = {}
        self._stack = ExitStack()
        self._env = {
            **os.environ,
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "FLWR_HOME": str(folder / "home"),
            **QUIET,
        }
        (folder / "home").mkdir()
        if secure:
            write_certificates(folder)
        self._configure()
        self._start_superlink(simulation)

    def _configure(self):
        trust = f'root-certificates = "{self.folder / "ca.pem"}"' if self.secure else "insecure = true"
        address = f'address = "127.0.0.1:{self.port}"'
        (self.folder / "home" / "config.toml").write_text(f"[superlink.here]\n{address}\n{trust}\n")

    def _start_superlink(self, simulation):
        command = ["flower-superlink", "--host", "127.0.0.1", "--port", str(self.port)]
        command.append("--disable-runtime-dependency-installation")
        if self.secure:
            paths = {"--ssl-ca-certfile": "ca.pem", "--ssl-certfile": "server.pem", "--ssl-keyfile": "server.key"}
            command += [part for option, name in paths.items() for part in (option, str(self.folder / name))]
            command.append("--enable-supernode-auth")
        else:
            command.append("--insecure")
        if simulation:
            command.append("--simulation")
        self.superlink = self._started("superlink", command, ready=b"Uvicorn running on")

    def _started(self, name, command, ready=b""):
        """Start a process, in a group of its own with all that it starts; return once its log holds `ready`."""
        process = subprocess.Popen(
            [BIN / command[0], *command[1:]],
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        seen = Event()
        copying = Thread(target=copy_log, args=(process.stdout, self.folder / f"{name}.log", ready, seen))
        copying.start()
        self._stack.callback(copying.join)
        self._stack.push(lambda *_: ended(process))  # before the join: the copy ends with the process
        assert seen.wait(PATIENCE), self.logs()
        assert process.poll() is None, self.logs()
        return process

    def start_nodes(self, count: int) -> None:
        """All at once: each takes some seconds to be registered and to start."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda partition: self.start_node(partition, count), range(count)))

    def start_node(self, partition: int, partitions: int) -> None:
        node_config = f"partition-id={partition} num-partitions={partitions}"
        command = ["flower-supernode", "--superlink", f"127.0.0.1:{self.port}", "--node-config", node_config]
        command += ["--port", str(free_port())]
        if self.secure:
            private, public = write_identity(self.folder, f"node-{partition}")
            self.flwr("supernode", "register", str(public), "here")
            command += ["--root-certificates", str(self.folder / "ca.pem")]
            command += ["--auth-supernode-private-key", str(private)]
        else:
            command.append("--insecure")
        self.nodes[partition] = self._started(f"node-{partition}", command)

    def kill_node(self, partition: int) -> None:
        """What a node's power cut does: the SuperNode and its ClientApp end at once."""
        killed(self.nodes[partition])

    def flwr(self, *arguments: str) -> str:
        command = [BIN / "flwr", *arguments]
        done = subprocess.run(command, env=self._env, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.returncode == 0, done.stdout + done.stderr + self.logs()
        return done.stdout

    def run(self, app: Path, simulated: int = 0, **settings: object) -> None:
        """Submit an app, in a simulation of so many nodes if any; its server reports to the test."""
        text = " ".join(f"{key.replace('_', '-')}={json.dumps(value)}" for key, value in settings.items())
        federation = ["--federation-config", f"num-supernodes={simulated}"] if simulated else []
        self.flwr("run", str(app), "here", "--run-config", text, *federation)

    def logs(self) -> str:
        return "\n".join(f"--- {path.name}\n{path.read_text('utf-8', 'replace')}" for path in self.folder.glob("*.log"))

    def close(self) -> None:
        self._stack.close()


def copy_log(stream, path: Path, ready: bytes, seen: Event) -> None:
    """Until the stream ends; `seen` is set by then at the latest."""
    with stream, path.open("wb", buffering=0) as log:
        for line in stream:
            log.write(line)
            if ready in line:
                seen.set()
    seen.set()


@contextmanager
def deployed(folder: Path, **how):
    deployment = Deployment(folder, **how)
    try:
        yield deployment
    finally:
        deployment.close()


def ended(process: subprocess.Popen) -> None:
    """Ask, then insist: the process and, as Flower does when it is asked, those that it started."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=GRACE)
    killed(process)


def killed(process: subprocess.Popen) -> None:
    """The process and all that it started, orphans included: one of those would keep its log open."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def as_a_reader(block: str, app: Path, folder: Path) -> str:
    """What a documented block of shell prints, in a copy of the app and with an empty home.

    `flwr run` starts a SuperLink of its own, here on ports of its own, and leaves it running: it is ended by its id.
    """
    copytree(app, folder / "app", ignore=ignore_patterns("__pycache__"))
    (folder / "home").mkdir()
    with own_superlink(folder) as first:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("FLWR_")},
            "PATH": os.pathsep.join([str(first), str(BIN), os.environ["PATH"]]),
            "HOME": str(folder / "home"),
            "FLWR_LOCAL_SUPERLINK_HTTP_API_PORT": str(free_port()),
            "FLWR_LOCAL_CONTROL_API_PORT": str(free_port()),
            **QUIET,
        }
        command = ["sh", "-ec", block]
        how = {"cwd": folder / "app", "env": environment, "capture_output": True, "text": True, "timeout": PATIENCE}
        done = subprocess.run(command, check=False, **how)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def own_superlink(folder: Path):
    """A folder for the head of PATH, whose `flower-superlink` tells its id over a pipe that ends when it does."""
    pipe, script = folder / "pipe", folder / "bin" / "flower-superlink"
    os.mkfifo(pipe)
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec 9>"{pipe}"\necho $$ >&9\nexec "{BIN / script.name}" "$@"\n')
    script.chmod(0o755)
    link = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        yield script.parent
    finally:
        if told := os.read(link, 32):  # empty: none was started
            with suppress(ProcessLookupError):
                os.kill(int(told), signal.SIGTERM)
                if not select([link], [], [], GRACE)[0]:
                    os.killpg(int(told), signal.SIGKILL)
        os.close(link)


def write_identity(folder: Path, name: str) -> tuple[Path, Path]:
    """A SuperNode's key pair, in the formats of ssh."""
    key = ec.generate_private_key(ec.SECP384R1())
    private, public = folder / name, folder / f"{name}.pub"
    private.write_bytes(pem(key))
    public.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    )
    return private, public


def pem(key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )


def write_certificates(folder: Path) -> None:
    """A certificate authority and the SuperLink's certificate for 127.0.0.1."""
    authority, server = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
    root = certificate(issuer, issuer, authority, authority, x509.BasicConstraints(True, 0))
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")])
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    leaf = certificate(subject, issuer, server, authority, names)
    (folder / "ca.pem").write_bytes(root.public_bytes(serialization.Encoding.PEM))
    (folder / "server.pem").write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    (folder / "server.key").write_bytes(
        server.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


def certificate(subject, issuer, key, signer, extension) -> x509.Certificate:
    now = datetime.now(UTC)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        .add_extension(identifier, critical=False)
        .add_extension(authority, critical=False)
        .sign(signer, hashes.SHA256())
    )
