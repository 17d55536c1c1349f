#!/usr/bin/env python3
"""Measures what ntmem fetches of an image on a server: requests, requests in sequence, bytes, connections, seconds.

    measure_far_images.py IMAGE [--delay 30] [--ntmem target/release/ntmem] [--most-mib N] [--most-requests N] [-- check smss]

It serves IMAGE on 127.0.0.1 with byte ranges, waits DELAY milliseconds before each answer, and runs the command on its address.
ntmem is built with `cargo build --release --features cli,remote-images`. What follows `--` is the command, `check smss` unless told.
Exit status: 0, or 1 if more was fetched than allowed, or the command failed.
"""

import argparse
import http.server
import os
import pathlib
import re
import subprocess
import sys
import threading
import time


class Log:
    """What was asked for."""

    def __init__(self):
        self.lock = threading.Lock()
        self.requests = self.sequence = self.bytes = self.connections = self.open = 0

    def begin(self):
        with self.lock:
            self.requests += 1
            # Requests that run at the same time cost one round trip.
            self.sequence += self.open == 0
            self.open += 1

    def end(self, sent):
        with self.lock:
            self.open -= 1
            self.bytes += sent


def handler(path, delay, log):
    length = path.stat().st_size

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self):
            with log.lock:
                log.connections += 1
            super().setup()

        def do_GET(self):
            log.begin()
            time.sleep(delay)
            first, last = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"]).groups())
            last = min(last, length - 1)
            with open(path, "rb") as file:
                body = os.pread(file.fileno(), last - first + 1, first)
            self.send_response(206)
            self.send_header("ETag", '"1"')
            self.send_header("Content-Range", f"bytes {first}-{last}/{length}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            # Counted before it is sent: what comes next is in sequence.
            log.end(len(body))
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    return Handler


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", type=pathlib.Path)
    parser.add_argument("--delay", type=float, default=30, help="milliseconds before each answer")
    parser.add_argument("--ntmem", type=pathlib.Path, default=pathlib.Path("target/release/ntmem"))
    parser.add_argument("--most-mib", type=float)
    parser.add_argument("--most-requests", type=int, help="in sequence")
    parser.add_argument("command", nargs="*", default=["check", "smss"])
    arguments = parser.parse_args()
    log = Log()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(arguments.image, arguments.delay / 1000, log))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/{arguments.image.name}"
    start = time.perf_counter()
    done = subprocess.run([arguments.ntmem, *arguments.command, url], capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    mib = log.bytes / (1 << 20)
    print(f"{' '.join(arguments.command)} on {arguments.image.stat().st_size / (1 << 30):.2f} GiB, {arguments.delay:.0f} ms a request:")
    print(f"{log.requests} requests ({log.sequence} in sequence), {mib:.2f} MiB, {log.connections} connections, {seconds:.2f} s")
    if done.returncode not in (0, 1, 2):
        sys.exit(f"ntmem failed ({done.returncode}): {done.stderr[-2000:]}")
    much = arguments.most_mib is not None and mib > arguments.most_mib
    many = arguments.most_requests is not None and log.sequence > arguments.most_requests
    sys.exit(1 if much or many else 0)


if __name__ == "__main__":
    main()
