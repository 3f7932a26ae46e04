"""Speaks to the host of functions: frames of a type, a length (4 bytes, little endian) and so many bytes."""
import json
import os
import struct
import sys
import traceback


class Invalid(Exception):
    """Raised by a handler for an event of which another attempt would change nothing."""


class _Log:
    """What is printed is a line of the invocation's log."""

    def __init__(self, send):
        self.send, self.rest = send, ""

    def write(self, text):
        *lines, self.rest = (self.rest + text).split("\n")
        for line in lines:
            self.send(b"S", line.encode())
        return len(text)

    def flush(self):
        if self.rest:
            self.write("\n")


def serve(handle):
    """Answer events with handle(event, invocation) for as long as there are any."""
    source = os.fdopen(os.dup(0), "rb")
    sink = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what programs print that the handler starts goes to the log

    def send(kind, payload):
        frame = memoryview(kind + struct.pack("<I", len(payload)) + payload)
        while frame:
            frame = frame[sink.write(frame):]

    def receive():
        head = source.read(5)
        if len(head) < 5:
            sys.exit(0)  # the host needs us no longer
        return source.read(struct.unpack("<I", head[1:])[0])

    receive()  # the hello
    send(b"H", b"RUNNER\x01")
    sys.stdout = log = _Log(send)
    while True:
        invocation, event = json.loads(receive()), receive()
        try:
            result = json.dumps(handle(json.loads(event), invocation)).encode()
            log.flush()
            send(b"V", result)
        except Exception as error:
            log.flush()
            last = traceback.extract_tb(error.__traceback__)[-1]
            failure = {
                "message": f"{type(error).__name__}: {error}",
                "where": f"{os.path.basename(last.filename)}:{last.lineno}",
            }
            if isinstance(error, (Invalid, json.JSONDecodeError)):
                failure["kind"] = "invalid"
            send(b"X", json.dumps(failure).encode())
