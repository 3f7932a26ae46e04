"""Writes files with Hadoop's Java client over connections that break in the midst of blocks, and reads them back.

usage: broken.py ADDRESS
"""

import os
import socket
import sys
import threading

import jvm

jvm.start()

from java.net import URI  # noqa: E402
from org.apache.hadoop.conf import Configuration  # noqa: E402
from org.apache.hadoop.fs import FileSystem, Path  # noqa: E402

WRITE_BLOCK = b"\x00\x1c\x50"


class Proxy(threading.Thread):
    """A SOCKS proxy that breaks `cuts` connections on which a block is written, each when more than so many bytes of answers
    have come, which are lost then. The first answer has 6 bytes, the acknowledgement of a packet 5 or 6."""

    def __init__(self):
        super().__init__(daemon=True)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.cuts, self.after = 0, 0

    def run(self):
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        read = client.makefile("rb", 0).read
        read(read(2)[1])  # ways to prove who one is
        client.sendall(b"\x05\x00")
        assert read(4) == b"\x05\x01\x00\x01"  # connect to an IPv4 address
        host, port = socket.inet_ntoa(read(4)), int.from_bytes(read(2), "big")
        server = socket.create_connection((host, port))
        client.sendall(b"\x05\x00\x00\x01" + bytes(6))
        begun = client.recv(3, socket.MSG_PEEK | socket.MSG_WAITALL)
        for source, target, weak in ((client, server, False), (server, client, begun == WRITE_BLOCK)):
            threading.Thread(target=self.relay, args=(source, target, weak), daemon=True).start()

    def relay(self, source, target, weak):
        passed = 0
        try:
            while data := source.recv(1 << 16):
                passed += len(data)
                if weak and self.cuts > 0 and passed > self.after:
                    self.cuts -= 1
                    break
                target.sendall(data)
        except OSError:
            pass  # the other direction has ended
        for s in (source, target):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it is ended already


proxy = Proxy()
proxy.start()
data = bytes(i * 7 % 251 for i in range(3_000_000))


def connect(replication, **options):
    conf = Configuration()
    conf.set("dfs.nameservices", "cluster")
    conf.set("dfs.ha.namenodes.cluster", "one,again")
    for name in ("one", "again"):  # so that it tries again
        conf.set("dfs.namenode.rpc-address.cluster." + name, sys.argv[1])
    conf.set(
        "dfs.client.failover.proxy.provider.cluster",
        "org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider",
    )
    conf.set("dfs.client.failover.sleep.base.millis", "10")
    conf.set("dfs.replication", str(replication))
    conf.set("dfs.blocksize", str(1 << 20))
    for key, value in options.items():
        conf.set(key.replace("_", "."), value)
    return FileSystem.newInstance(URI("hdfs://cluster"), conf)


straight = connect(1)


def check(path):
    f = straight.open(path)
    got = bytes(f.readAllBytes())
    f.close()
    assert got == data, "%s: %d bytes came back" % (path, len(got))


def write(name, replication, step=len(data)):
    socks = "org.apache.hadoop.net.SocksSocketFactory"
    fs = connect(replication, hadoop_rpc_socket_factory_class_default=socks, hadoop_socks_server=proxy.address)
    path = Path("/broken/" + name)
    out = fs.create(path)
    for at in range(0, len(data), step):
        out.write(data[at : at + step])
        if step < len(data):
            out.hflush()
    out.close()
    fs.close()
    check(path)


# A client with one replica knows two places of each block, one with three replicas as many as it asks for.
begins, early, late = 0, 20, 100
for name, replication, cuts, after, step in (
    ("begins", 1, 1, begins, len(data)),
    ("early", 1, 1, early, len(data)),
    ("late", 1, 1, late, len(data)),
    ("flushed", 1, 1, early, 100_000),
    ("again", 3, 9, early, len(data)),
):
    proxy.cuts, proxy.after = cuts, after
    write(name, replication, step)
    assert proxy.cuts == 0, name

# The gateway ends, having kept what was written, and another one is started.
path = Path("/broken/restarted")
out = straight.create(path)
out.write(data[:1_500_000])
print("restart", flush=True)
sys.stdin.readline()
out.write(data[1_500_000:])
out.close()
check(path)
print("ok")
sys.stdout.flush()
os._exit(0)
