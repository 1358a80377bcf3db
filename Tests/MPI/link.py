"""A network between two network namespaces, as slow and as lossy as is asked for: a TUN device in each, and this program, which
hands packets from one to the other when their time has come. Works on any kernel; netem is a module that many lack.

    DELAY=5ms LOSS=1% RATE=1gbit link.py NAMESPACE ADDRESS NAMESPACE ADDRESS

Each way has its own rate, delay and loss. Says "ready" once packets pass, and runs until it is ended. For root.
"""
import collections
import fcntl
import os
import random
import select
import struct
import subprocess
import sys
import time

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
MTU = 9000
QUEUE = 1000  # packets that wait; more are lost, as with netem
UNITS = {"ms": 1e-3, "us": 1e-6, "s": 1, "%": 1e-2, "gbit": 1e9, "mbit": 1e6, "kbit": 1e3}


def quantity(name, default):
    text = os.environ.get(name, default)
    number = text.rstrip("".join(UNITS))
    return float(number) * UNITS.get(text[len(number):], 1)


def device(namespace, address):
    """A device in the namespace, whose packets the file descriptor gives and takes."""
    name = f"lt{os.getpid() % 10**6}"
    file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(file, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN | IFF_NO_PI))
    subprocess.run(["ip", "link", "set", name, "netns", namespace], check=True)
    for words in [["address", "add", f"{address}/24"], ["link", "set", "mtu", str(MTU), "up"]]:
        subprocess.run(["ip", "-n", namespace, *words, "dev", name], check=True)
    return file


class Way:
    """From one device to another."""

    def __init__(self, source, target):
        self.source, self.target = source, target
        self.waiting = collections.deque()  # (when it arrives, packet)
        self.free = 0.0  # when the line has sent what it was given

    def take(self):
        while True:
            try:
                packet = os.read(self.source, MTU)
            except BlockingIOError:
                return
            if len(self.waiting) >= QUEUE or random.random() < loss:
                continue
            self.free = max(self.free, time.monotonic()) + 8 * len(packet) / rate
            self.waiting.append((self.free + delay, packet))

    def give(self):
        while self.waiting and self.waiting[0][0] <= time.monotonic():
            try:
                os.write(self.target, self.waiting.popleft()[1])
            except BlockingIOError:
                pass  # lost


delay, loss, rate = quantity("DELAY", "5ms"), quantity("LOSS", "1%"), quantity("RATE", "1gbit")
here, there = device(*sys.argv[1:3]), device(*sys.argv[3:5])
ways = [Way(here, there), Way(there, here)]
print("ready", flush=True)
while True:
    due = min((way.waiting[0][0] for way in ways if way.waiting), default=None)
    select.select([here, there], [], [], due and max(0, due - time.monotonic()))
    for way in ways:
        way.take()
        way.give()
