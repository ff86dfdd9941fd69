"""The two ends of a round as programs that may be killed at any call to the system: `serve` and `take_part`.

They talk over a Unix socket, each message behind its length, and keep their state in journals. What a test must know
goes into a file of notes of their own: one JSON object a line, written before what it tells of leaves.
"""

import json
import os
import selectors
import signal
import socket
import struct
from pathlib import Path

import numpy as np

from secagg import Coordinator, Journal, Participant
from secagg.errors import ProtocolError, StateError
from secagg.scheme import Seat
from secagg.wire import frame

KEY = bytes(range(32))
DIM = 3
CONTEXT = b"model 7, round 3"
ENDED, STALE, REFUSED = 0, 4, 5
"""Exit codes: the round is over, the state is older than its latch, the round was left."""
LENGTH = struct.Struct("<I")


class Mortal:
    """Counts this process's calls to the system, and kills it at the nth, before or after it took effect."""

    def __init__(self, at, after):
        self.left, self.after = at, after
        for owner, name in ((os, "open"), (os, "fsync"), (os, "close"), (Path, "replace")):
            setattr(owner, name, self.counted(getattr(owner, name)))
        for name in ("sendall", "recv"):
            setattr(Socket, name, self.counted(getattr(Socket, name)))

    def counted(self, call):
        def counting(*arguments, **options):
            self.left -= 1
            if self.left == 0 and not self.after:
                os.kill(os.getpid(), signal.SIGKILL)
            result = call(*arguments, **options)
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return counting


class Socket(socket.socket):
    """Whole messages, sent in two halves so that one may be cut off."""

    def send_message(self, data):
        data = LENGTH.pack(len(data)) + data
        self.sendall(data[: len(data) // 2])
        self.sendall(data[len(data) // 2 :])

    def read(self, size):
        """`size` bytes, or ConnectionError where the peer is gone before."""
        data = b""
        while len(data) < size:
            part = self.recv(size - len(data))
            if not part:
                raise ConnectionResetError
            data += part
        return data

    def read_message(self):
        return self.read(*LENGTH.unpack(self.read(LENGTH.size)))


def note(name, **what):
    with Path(f"{name}.notes").open("a") as file:
        file.write(json.dumps(what) + "\n")


def notes(folder, name):
    path = folder / f"{name}.notes"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


class Server:
    """`lost` are the parties that will not come back; more of them may be told, one byte each, through `news`."""

    def __init__(self, scheme, session, roster, listener, news, lost):
        self.journal = Journal("server")
        state = self.journal.load()
        if state is None:
            self.coordinator = Coordinator(scheme, session, roster)
        else:
            self.coordinator = Coordinator.restore(scheme, state, KEY, roster)
        self.listener, self.news, self.lost = listener, news, set(lost)
        self.selector = selectors.DefaultSelector()
        self.selector.register(listener, selectors.EVENT_READ, self.accept)
        self.selector.register(news, selectors.EVENT_READ, self.hear)
        self.connected = {}

    def run(self):
        try:
            while not self.coordinator.done:
                self.keep()
                for party in list(self.connected):
                    self.ask(party)
                while not self.coordinator.waiting <= self.lost:
                    for key, _ in self.selector.select():
                        key.data(key.fileobj)
                self.coordinator.close_phase()
            self.keep()
        except ProtocolError as error:
            note("server", error=type(error).__name__, culprits=sorted(error.culprits))
            return ENDED
        out = self.coordinator.result
        note(
            "server",
            contributors=sorted(out.contributors),
            sum=out.ring_sum.tolist(),
            lost=sorted(out.lost),
            misbehaved={str(party): why for party, why in out.misbehaved.items()},
        )
        return ENDED

    def keep(self):
        self.journal.save(self.coordinator.save(KEY))

    def ask(self, party):
        if party in self.coordinator.waiting:
            try:
                self.connected[party].send_message(self.coordinator.asks()[party])
            except ConnectionError:
                self.drop(party)

    def accept(self, listener):
        connection = Socket(fileno=listener.accept()[0].detach())
        try:
            party = int(connection.read_message())
        except ConnectionError:
            connection.close()
            return
        if party in self.connected:
            self.drop(party)
        self.connected[party] = connection
        self.selector.register(connection, selectors.EVENT_READ, lambda _: self.take(party, connection))
        self.ask(party)

    def take(self, party, connection):
        """What has come over a connection, unless the party made another one meanwhile: there it may stay silent."""
        if self.connected.get(party) is not connection:
            return
        try:
            reply = connection.read_message()
        except ConnectionError:
            self.drop(party)
            return
        self.coordinator.receive(party, reply)
        self.keep()

    def drop(self, party):
        connection = self.connected.pop(party)
        self.selector.unregister(connection)
        connection.close()

    def hear(self, news):
        self.lost.update(os.read(news, 64))


def serve(scheme, session, roster, listener, news, lost):
    return Server(scheme, session, roster, listener, news, lost).run()


class Client:
    """Trains anew whenever it is asked to, so that a second answer would be another."""

    def __init__(self, scheme, session, me, credentials):
        self.name, self.me = f"party-{me}", me
        self.journal = Journal(self.name)
        state, seat = self.journal.load(), Seat(me, context=CONTEXT, credentials=credentials, store=self.journal)
        if state is None:
            self.participant = Participant(scheme, session, seat)
        else:
            self.participant = Participant.restore(scheme, state, KEY, seat)

    def run(self):
        while True:
            with Socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                try:
                    connection.connect("socket")
                    connection.send_message(str(self.me).encode())
                    while True:
                        connection.send_message(self.answer(connection.read_message()))
                except ConnectionError:
                    continue  # the server's next life listens at the same place
                except ProtocolError as error:
                    note(self.name, refusal=str(error))
                    return REFUSED

    def answer(self, ask):
        reply = self.participant.answer(ask, self.train, store=self.store)
        note(self.name, phase=frame.unwrap(reply).phase, reply=reply.hex())
        return reply

    def train(self):
        vector = np.frombuffer(os.urandom(2 * DIM), np.uint16)
        note(self.name, vector=vector.tolist())
        return vector

    def store(self, participant):
        self.journal.save(participant.save(KEY))
        Path(f"{self.name}.at-{participant.step}").write_bytes(Path(self.name).read_bytes())


def take_part(scheme, session, me, credentials):
    try:
        client = Client(scheme, session, me, credentials)
    except StateError as error:
        note(f"party-{me}", stale=str(error))
        return STALE
    return client.run()
