"""Uses a delegation token with Hadoop's Java client over WebHDFS, in a process that can't prove who it is otherwise.

usage: delegation.py HOST:PORT TOKEN
"""

import os
import sys

import jvm

jvm.start()

from java.net import URI  # noqa: E402
from java.security import PrivilegedExceptionAction  # noqa: E402
from jpype import JImplements, JOverride  # noqa: E402
from org.apache.hadoop.conf import Configuration  # noqa: E402
from org.apache.hadoop.fs import FileSystem, Path  # noqa: E402
from org.apache.hadoop.io import Text  # noqa: E402
from org.apache.hadoop.security import UserGroupInformation  # noqa: E402
from org.apache.hadoop.security.token import Token  # noqa: E402

address, text = sys.argv[1:]
token = Token()
token.decodeFromUrlString(text)
conf = Configuration()
conf.set("hadoop.security.authentication", "kerberos")
UserGroupInformation.setConfiguration(conf)
token.setService(Text(address))
user = UserGroupInformation.createRemoteUser("somebody")
user.addToken(token)


@JImplements(PrivilegedExceptionAction)
class Work:
    @JOverride
    def run(self):
        fs = FileSystem.newInstance(URI("webhdfs://" + address), conf)
        out = fs.create(Path("/by-token"))
        out.write(b"hello")
        out.close()
        assert bytes(fs.open(Path("/by-token")).readAllBytes()) == b"hello"
        print(fs.getFileStatus(Path("/by-token")).getOwner())


user.doAs(Work())
os._exit(0)  # without the JVM's farewell
