"""Writes, flushes, loses and recovers files with Hadoop's Java client, which finds out which of two gateways leads.

usage: streams.py STANDBY-ADDRESS LEADER-ADDRESS
"""

import os
import sys

import jvm

jvm.start()

from java.net import URI  # noqa: E402
from java.util import EnumSet  # noqa: E402
from org.apache.hadoop.conf import Configuration  # noqa: E402
from org.apache.hadoop.fs import FileSystem, Path  # noqa: E402
from org.apache.hadoop.hdfs.client import HdfsDataOutputStream  # noqa: E402

conf = Configuration()
conf.set("dfs.nameservices", "cluster")
conf.set("dfs.ha.namenodes.cluster", "one,two")
for name, address in zip(("one", "two"), sys.argv[1:]):
    conf.set("dfs.namenode.rpc-address.cluster." + name, address)
conf.set(
    "dfs.client.failover.proxy.provider.cluster",
    "org.apache.hadoop.hdfs.server.namenode.ha.ConfiguredFailoverProxyProvider",
)
conf.set("dfs.client.failover.sleep.base.millis", "10")
conf.set("dfs.replication", "1")
conf.set("dfs.blocksize", str(1 << 20))


def connect():
    return FileSystem.newInstance(URI("hdfs://cluster"), conf)


def read(path):
    f = other.open(path)
    data = bytes(f.readAllBytes())
    f.close()
    return data


def raises(name, do):
    try:
        do()
    except Exception as e:
        assert name in str(e), e
    else:
        raise AssertionError("no " + name)


fs, other = connect(), connect()
path = Path("/streams/f")
data = bytes(i * 7 % 251 for i in range(3_000_000))

# What is flushed is seen by others, wherever it ends: in a chunk, at one's end, at a packet's, in another block.
out = fs.create(path)
length = 0
for step in (5, 507, 512, 100_000, 64_512 - 101_024 % 64_512, 900_000, 1_000_001):
    out.write(data[length : length + step])
    length += step
    out.hflush()
    assert read(path) == data[:length], length
flags = EnumSet.of(HdfsDataOutputStream.SyncFlag.UPDATE_LENGTH)
out.write(data[length:])
out.hsync(flags)
assert other.getFileStatus(path).getLen() == len(data)
out.close()
assert read(path) == data and other.isFileClosed(path)

# A file that somebody has open is his, until it is recovered; then he can't go on.
out = fs.append(path)
out.write(b"more")
out.hflush()
raises("AlreadyBeingCreatedException", lambda: other.append(path))
assert not other.isFileClosed(path)
assert other.recoverLease(path) and other.isFileClosed(path)
assert read(path) == data + b"more"


def go_on():
    out.write(b"too late")
    out.hflush()


raises("", go_on)
out = other.append(path)
out.write(b"!")
out.close()
assert read(path) == data + b"more!"

# Positions, and ranges across blocks.
f = other.open(path)
f.seek(1_048_570)
assert bytes(f.readNBytes(20)) == data[1_048_570:1_048_590]
f.close()
assert other.truncate(path, 1_500_000) and read(path) == data[:1_500_000]
other.rename(path, Path("/streams/g"))
assert not fs.exists(path) and fs.delete(Path("/streams"), True)
print("ok")
sys.stdout.flush()
os._exit(0)
