"""Uses a gateway with fsspec and pyarrow over webhdfs://, and with hdfs-native over hdfs://.

usage: python.py WEBHDFS-ADDRESS HDFS-ADDRESS
"""

import os
import sys

import fsspec
import hdfs_native
import pyarrow as pa
import pyarrow.parquet as pq

web, rpc = sys.argv[1:]
data = os.urandom(3_000_000)

fs = fsspec.filesystem("webhdfs", host=web.split(":")[0], port=int(web.split(":")[1]), user="root")
fs.mkdir("/py")
with fs.open("/py/f", "wb", block_size=1 << 20) as f:  # several appends
    f.write(data)
with fs.open("/py/f", "rb") as f:
    assert f.read() == data
    f.seek(1_234_567)
    assert f.read(100) == data[1_234_567:1_234_667]
assert fs.info("/py/f")["size"] == len(data) and fs.ukey("/py/f")["bytes"]
fs.mv("/py/f", "/py/g")
assert [e["name"] for e in fs.ls("/py", detail=True)] == ["/py/g"] and not fs.exists("/py/f")

table = pa.table({"n": list(range(50_000)), "s": [f"row {i}" for i in range(50_000)]})
with fs.open("/py/t.parquet", "wb") as f:
    pq.write_table(table, f)
with fs.open("/py/t.parquet", "rb") as f:
    assert pq.read_table(f, columns=["n"]).column("n").to_pylist()[-1] == 49_999
fs.rm("/py", recursive=True)
assert not fs.exists("/py")

native = hdfs_native.Client("hdfs://" + rpc)
native.mkdirs("/native/a", create_parent=True)
with native.create("/native/f", hdfs_native.WriteOptions(block_size=1 << 20, replication=1)) as f:
    f.write(data)
with native.append("/native/f") as f:
    f.write(b"mo")
    f.hsync()
    assert native.get_file_info("/native/f").length == len(data) + 2
    f.write(b"re")
with native.read("/native/f") as f:
    assert f.read() == data + b"more"
with native.read("/native/f") as f:
    f.seek(2_222_222)
    assert f.read(10) == data[2_222_222:2_222_232]
native.rename("/native/f", "/native/g", overwrite=True)
assert sorted(s.path for s in native.list_status("/native")) == ["/native/a", "/native/g"]
native.set_permission("/native/g", 0o600)
status = native.get_file_info("/native/g")
assert status.length == len(data) + 4 and status.permission == 0o600, status
assert native.delete("/native", recursive=True)
print("ok")
