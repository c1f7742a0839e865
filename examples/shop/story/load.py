"""A steady HTTP load from the web application's user, in a process of its own."""
import encodings.idna  # noqa: F401  (else imported on first use, when the user may not read it any more)
import http.client
import multiprocessing
import os
import time

ADDRESS = ("127.0.0.1", 18080)


def _request(connection, method, path):
    connection.request(method, path, headers={"Host": "orders"})
    answer = connection.getresponse()
    return answer.status, answer.read()


def _loop(pipe, uid, rate, stop, sent, method, path, kept_share):
    if uid is not None:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    counts, failures, slowest = {}, [], 0.0
    kept = None
    start = time.monotonic()
    number = 0
    while not stop.is_set():
        due = start + number / rate
        pause = due - time.monotonic()
        if pause > 0:
            time.sleep(pause)
        number += 1
        sent.value = number
        use_kept = number % 100 < kept_share
        began = time.monotonic()
        connection = kept if use_kept and kept is not None else http.client.HTTPConnection(*ADDRESS, timeout=10)
        try:
            status, _ = _request(connection, method, path)
            counts[status] = counts.get(status, 0) + 1
        except (OSError, http.client.HTTPException) as error:
            failures.append(f"{type(error).__name__}: {error}")
            connection.close()
            connection = None
        slowest = max(slowest, time.monotonic() - began)
        if use_kept:
            kept = connection
        elif connection is not None:
            connection.close()
    pipe.send((counts, failures, slowest, time.monotonic() - start))


class Load:
    """Requests at a steady rate until stop(); some on a kept connection, some each on a new one."""

    def __init__(self, mesh, rate, method="GET", path="/orders/7", kept_share=50, uid=70010):
        context = multiprocessing.get_context("fork")
        self.stopping = context.Event()
        self._sent = context.RawValue("L", 0)
        self.pipe, child = context.Pipe(duplex=False)
        self.process = context.Process(
            target=_loop, daemon=True,
            args=(child, uid if mesh.root else None, rate, self.stopping, self._sent, method, path, kept_share))
        self.process.start()

    def sent(self):
        return self._sent.value

    def stop(self):
        """(status -> count, failures, slowest seconds, seconds)"""
        self.stopping.set()
        if not self.pipe.poll(30):
            raise RuntimeError("the load generator did not answer")
        result = self.pipe.recv()
        self.process.join()
        return result


def together(loads):
    """Ends several loads and adds up what stop() says of each."""
    counts, failures, slowest, seconds = {}, [], 0.0, 0.0
    for load in loads:
        load.stopping.set()
    for load in loads:
        own, failed, longest, took = load.stop()
        for status, count in own.items():
            counts[status] = counts.get(status, 0) + count
        failures, slowest, seconds = failures + failed, max(slowest, longest), max(seconds, took)
    return counts, failures, slowest, seconds
