"""NVFLARE's own processes on loopback, provisioned with mutual TLS, each ended by its id."""

import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event, Thread

PATIENCE = 240
"""Seconds for anything to happen; a federation that takes them is stuck."""

PROJECT = """
api_version: 3
name: probe
participants:
  - {{name: localhost, type: server, org: secagg, fed_learn_port: {port}, admin_port: {admin_port}}}
{sites}
  - {{name: admin@nvidia.com, type: admin, org: secagg, role: project_admin}}
builders:
  - path: nvflare.lighter.impl.workspace.WorkspaceBuilder
    args: {{template_file: [master_template.yml]}}
  - path: nvflare.lighter.impl.static_file.StaticFileBuilder
    args: {{config_folder: config}}
  - path: nvflare.lighter.impl.cert.CertBuilder
  - path: nvflare.lighter.impl.signature.SignatureBuilder
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


class Reports:
    """Where a site tells its process id; it waits while the connection is open."""

    def __init__(self):
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(PATIENCE)
        self.port = self._server.getsockname()[1]
        self._links = []

    def next(self) -> int:
        link, _ = self._server.accept()
        link.settimeout(PATIENCE)
        self._links.append(link)
        with link.makefile() as lines:
            return int(lines.readline())

    def close(self):
        for link in self._links:
            link.close()
        self._server.close()


class Deployment:
    """A server and its sites, each with a startup kit of its own.

    Attributes:
        admin: the kit with which jobs are submitted.
    """

    def __init__(self, folder: Path, sites: list[str]):
        self.folder, self.sites = folder, sites
        self._stack = ExitStack()
        self._processes: dict[str, subprocess.Popen] = {}
        self._environment = {
            **os.environ,
            "HOME": str(folder),
            "PYTHONUNBUFFERED": "1",
            "NVFLARE_CLIENT_OUTCOME_WAIT_TIMEOUT": "5",  # for a word from sites that are gone, once the job is over
        }
        rows = "\n".join(f"  - {{name: {site}, type: client, org: secagg}}" for site in sites)
        project = folder / "project.yml"
        project.write_text(PROJECT.format(port=free_port(), admin_port=free_port(), sites=rows))
        command = [Path(sys.executable).with_name("nvflare"), "provision", "-p", project, "-w", folder / "kits"]
        subprocess.run(command, env=self._environment, check=True, capture_output=True, timeout=PATIENCE)
        self._kits = folder / "kits" / "probe" / "prod_00"
        self.admin = self._kits / "admin@nvidia.com"

    def local(self, name: str) -> Path:
        """A participant's own folder."""
        return self._kits / name / "local"

    def start(self) -> None:
        """The server, then the sites; returns once all have joined: a job that comes earlier may meet half a server.

        So may a site: the server listens before it knows that it is secure, and a site it turns away ends for good.
        (The startup kit's own `start.sh` would start it again.)
        """
        server = self._start("localhost", "server.server_train", "fed_server.json")
        started, joined = "Server started", f"Total clients: {len(self.sites)}"
        signs = {text: Event() for text in (started, joined)}
        copying = Thread(target=copy_log, args=(server.stdout, self.folder / "localhost.log", signs))
        copying.start()
        self._stack.callback(copying.join)
        self._stack.callback(_end, server)  # before the join: the copy ends with the process
        self._await(started, signs)
        for site in self.sites:
            log = self._stack.enter_context((self.folder / f"{site}.log").open("w"))
            self._stack.callback(
                _end, self._start(site, "client.client_train", "fed_client.json", f"uid={site}", log=log)
            )
        self._await(joined, signs)

    def _await(self, text: str, signs: dict[str, Event]) -> None:
        signs[text].wait(PATIENCE)
        log = (self.folder / "localhost.log").read_text()
        assert text in log, log

    def _start(self, name: str, module: str, config: str, *settings: str, log=subprocess.PIPE) -> subprocess.Popen:
        kit = self._kits / name
        (kit / "transfer").mkdir(exist_ok=True)
        command = [sys.executable, "-m", f"nvflare.private.fed.app.{module}", "-m", str(kit), "-s", config]
        command += ["--set", "secure_train=true", "org=secagg", "config_folder=config", *settings]
        process = subprocess.Popen(
            command,
            cwd=kit,
            env=self._environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._processes[name] = process
        return process

    def kill(self, site: str) -> None:
        """As if its machine had lost power: no part of it says good-bye."""
        os.killpg(self._processes[site].pid, signal.SIGKILL)

    def close(self) -> None:
        self._stack.close()


def copy_log(stream, path: Path, signs: dict[str, Event]) -> None:
    """Until the stream ends; a sign is set once its text was written to the log, or no more will be."""
    with stream, path.open("wb", buffering=0) as log:
        for line in stream:
            log.write(line)
            for text, seen in signs.items():
                if text.encode() in line:
                    seen.set()
    for seen in signs.values():
        seen.set()


def _end(process: subprocess.Popen) -> None:
    """The process and those of its jobs: they are a session of their own."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def deployed(folder: Path, sites: list[str]):
    deployment = Deployment(folder, sites)
    try:
        yield deployment
    finally:
        deployment.close()
