"""Real NATS servers on loopback, alone or three together, with a store that survives a kill."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.daemon.world import wait_until
from tests.tools.ports import ATTEMPTS, PortTaken, free_ports

BINARY = Path(sys.executable).with_name("nats-server")


@dataclass
class Node:
    """One server. Its ports and its folder stay the same over restarts."""

    folder: Path
    port: int
    configuration: str
    popen: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def start(self) -> None:
        assert BINARY.exists(), "the tests need nats-server: install the locked requirements (make setup)"
        self.folder.mkdir(exist_ok=True)
        file = self.folder / "nats.conf"
        file.write_text(self.configuration)
        with self.log.open("wb") as log:
            self.popen = subprocess.Popen([BINARY, "-c", file], stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def ready(self) -> bool:
        """Whether it listens; raises PortTaken if it gave up."""
        assert self.popen is not None
        if self.popen.poll() is not None:
            raise PortTaken(self.log.read_text())
        return "Server is ready" in self.log.read_text()

    def kill(self) -> None:
        """As a power cut does, but for what the machine has yet to write to the disk."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        if self.popen is not None:
            self.popen.send_signal(number)
            self.popen.wait(20)
            self.popen = None


@dataclass
class Cluster:
    """Servers that know of each other.

    Args:
        authorization: a server's `authorization` block, or "".
    """

    folder: Path
    size: int = 1
    authorization: str = ""
    nodes: list[Node] = field(default_factory=list)

    @property
    def url(self) -> str:
        return ",".join(node.url for node in self.nodes)

    def start(self) -> None:
        for attempt in range(ATTEMPTS):
            self._configure()
            try:
                for node in self.nodes:
                    node.start()
                wait_until(self._ready, self._logs, 30)
            except PortTaken:
                self.end()
                if attempt == ATTEMPTS - 1:
                    raise
            else:
                return

    def end(self) -> None:
        for node in self.nodes:
            node.kill()

    def _ready(self) -> bool:
        return all(node.ready() for node in self.nodes)

    def _logs(self) -> str:
        return "\n".join(node.log.read_text() for node in self.nodes)

    def _configure(self) -> None:
        ports = free_ports(2 * self.size)
        clients, routes = ports[: self.size], ports[self.size :]
        peers = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
        self.nodes = []
        for number, (client, route) in enumerate(zip(clients, routes, strict=True)):
            folder = self.folder / f"node-{number}"
            text = (
                f'listen: "127.0.0.1:{client}"\nserver_name: "node-{number}"\n{self.authorization}\n'
                f'jetstream {{ store_dir: "{folder / "store"}", max_file_store: 4G, max_memory_store: 256M }}\n'
            )
            if self.size > 1:
                text += f'cluster {{ name: "test", listen: "127.0.0.1:{route}", routes: [{peers}] }}\n'
            self.nodes.append(Node(folder, client, text))


@contextmanager
def nats(folder: Path, size: int = 1, authorization: str = "") -> Iterator[Cluster]:
    folder.mkdir(exist_ok=True)
    cluster = Cluster(folder, size, authorization)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.end()
