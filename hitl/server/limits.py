"""How much the server takes on at once. The numbers stand in docs/operations.md, too."""
from dataclasses import dataclass

KEPT = 256  # descriptors for the engine, its runs and git, and for the files of the server itself
OPEN = 4    # descriptors of a request that is being answered: its socket, its database connection, a file that it sends


@dataclass(frozen=True)
class Limits:
    """Counts, seconds and bytes. Each lane has its own limit: whoever fills one takes nothing from the others."""

    waiting: int = 600          # connections whose request is not complete yet; they cost no thread
    head_seconds: float = 10.0  # for the head of a request
    head_bytes: int = 65536
    body_seconds: float = 20.0  # more for a small body, which is also received without a thread
    body_bytes: int = 49152     # what a small body is
    answers: int = 48           # requests that are being answered
    queue: int = 200            # complete requests that wait for one of these to end
    uploads: int = 16           # requests whose large body is still coming
    downloads: int = 64         # answers that wait for their reader
    live: int = 1200            # WebSockets
    stall_seconds: float = 15.0   # without a byte of a large body or of an answer
    grace_seconds: float = 30.0   # a large body or an answer may take so long,
    least_rate: int = 16384       # plus a second for each so many bytes,
    upload_seconds: float = 300.0  # but a body never longer than this
    linger_seconds: float = 2.0   # for a refused client to read its answer
    drain_seconds: float = 10.0   # for requests that are being answered when the server stops

    @classmethod
    def within(cls, descriptors: int, tls: bool = False) -> "Limits":
        """The limits that fit into so many descriptors of this process. With TLS a connection has three, and one without."""
        room, each = max(descriptors - KEPT, 64), 3 if tls else 1
        most = cls()
        waiting, queue = min(most.waiting, room // 8 // each), min(most.queue, room // 12 // each)
        answers, uploads, downloads = min(most.answers, max(4, room // 32)), min(most.uploads, max(2, room // 96)), min(most.downloads, max(4, room // 48))
        taken = (waiting + queue) * each + (answers + uploads + downloads) * (OPEN + each - 1)
        return cls(waiting=waiting, queue=queue, answers=answers, uploads=uploads, downloads=downloads,
                   live=min(most.live, max(4, (room - taken) // (each + 1))))  # simple-websocket has one beside its socket
