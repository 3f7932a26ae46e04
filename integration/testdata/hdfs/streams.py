"""Writes, flushes, loses and recovers files with Hadoop's Java client, which finds out which of two gateways leads, and asks
for what its shell does not.

usage: streams.py STANDBY-ADDRESS LEADER-ADDRESS
"""

import os
import sys

import jvm

jvm.start()

from java.net import URI  # noqa: E402
from java.util import Arrays, EnumSet  # noqa: E402
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
assert not fs.exists(path)

# The checksum that does not depend on blocks is that of the bytes, however they are cut.
conf.set("dfs.checksum.combine.mode", "COMPOSITE_CRC")
composite = connect()
conf.set("dfs.blocksize", str(1 << 22))
one_block = connect()
out = one_block.create(Path("/streams/h"))
out.write(data[:1_500_000])
out.close()
sums = {str(composite.getFileChecksum(Path(p))) for p in ("/streams/g", "/streams/h")}
assert len(sums) == 1 and "COMPOSITE-CRC32C" in str(sums), sums
assert str(fs.getFileChecksum(Path("/streams/g"))) != str(fs.getFileChecksum(Path("/streams/h")))

# Listings of several directories at once, and of the difference between snapshots.
for name in ("d/one", "d/two", "e/three"):
    fs.mkdirs(Path("/streams/" + name))
found, batch = [], fs.batchedListStatusIterator(Arrays.asList(Path("/streams/d"), Path("/streams/e")))
while batch.hasNext():
    found += [str(status.getPath().getName()) for status in batch.next().get()]
assert found == ["one", "two", "three"], found
d = Path("/streams/d")
fs.allowSnapshot(d)
fs.createSnapshot(d, "s")
fs.rename(Path("/streams/d/one"), Path("/streams/d/1"))
fs.mkdirs(Path("/streams/d/new"))
fs.delete(Path("/streams/d/two"), False)
report = str(fs.getSnapshotDiffReport(d, "s", ""))
for line in ("M\t.", "R\t./one -> ./1", "+\t./new", "-\t./two"):
    assert line in report, report
assert [str(s.getDirStatus().getLocalName()) for s in fs.getSnapshotListing(d)] == ["s"]
fs.deleteSnapshot(d, "s")
fs.disallowSnapshot(d)

# What is not there is refused as by a NameNode that does not have it.
raises("HadoopIllegalArgumentException", lambda: fs.setErasureCodingPolicy(d, "RS-6-3-1024k"))
raises("NoECPolicySetException", lambda: fs.unsetErasureCodingPolicy(d))
raises("UnsupportedActionException", lambda: fs.satisfyStoragePolicy(d))
assert fs.getErasureCodingPolicy(d) is None and len(fs.getAllErasureCodingPolicies()) == 0
assert fs.getDataNodeStats().length == 1 and not fs.listCorruptFileBlocks(d).hasNext()
assert fs.delete(Path("/streams"), True)
print("ok")
sys.stdout.flush()
os._exit(0)
