"""Runs commands of Hadoop's FsShell in one JVM, each as `hadoop fs` would.

usage: fsshell.py URI <COMMANDS >OUTCOMES

Each line of the input is a JSON object with the arguments; each line of the output has what came of them.
"""

import json
import os
import sys

import jvm

jvm.start()

from java.io import ByteArrayOutputStream, PrintStream  # noqa: E402
from java.lang import System  # noqa: E402
from org.apache.hadoop.conf import Configuration  # noqa: E402
from org.apache.hadoop.fs import FsShell  # noqa: E402
from org.apache.hadoop.util import ToolRunner  # noqa: E402

conf = Configuration()
conf.set("fs.defaultFS", sys.argv[1])
conf.set("dfs.replication", "1")
conf.set("ipc.client.connect.max.retries", "2")
for line in sys.stdin:
    args = json.loads(line)["args"]
    out, err = ByteArrayOutputStream(), ByteArrayOutputStream()
    System.setOut(PrintStream(out, True, "UTF-8"))
    System.setErr(PrintStream(err, True, "UTF-8"))
    code = ToolRunner.run(conf, FsShell(conf), args)
    outcome = {"args": args, "code": int(code), "out": str(out.toString("UTF-8")), "err": str(err.toString("UTF-8"))}
    print(json.dumps(outcome, ensure_ascii=False), flush=True)
os._exit(0)  # without the JVM's farewell
