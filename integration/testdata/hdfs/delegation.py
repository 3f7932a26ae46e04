"""Uses delegation tokens with Hadoop's Java client over WebHDFS and hdfs://, in a process that can't prove who it is
otherwise.

usage: delegation.py HOST:PORT TOKEN RPC-ADDRESS CREDENTIALS-FILE
"""

import os
import sys

import jvm

jvm.start()

from java.io import File  # noqa: E402
from java.net import URI  # noqa: E402
from java.security import PrivilegedExceptionAction  # noqa: E402
from jpype import JImplements, JOverride  # noqa: E402
from org.apache.hadoop.conf import Configuration  # noqa: E402
from org.apache.hadoop.fs import FileSystem, Path  # noqa: E402
from org.apache.hadoop.io import Text  # noqa: E402
from org.apache.hadoop.security import Credentials, UserGroupInformation  # noqa: E402
from org.apache.hadoop.security.token import Token  # noqa: E402

address, text, rpc, file = sys.argv[1:]
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
    def __init__(self, uri):
        self.uri = uri

    @JOverride
    def run(self):
        fs = FileSystem.newInstance(URI(self.uri), conf)
        out = fs.create(Path("/by-token"), True)
        out.write(b"hello")
        out.close()
        assert bytes(fs.open(Path("/by-token")).readAllBytes()) == b"hello"
        print(fs.getFileStatus(Path("/by-token")).getOwner())
        assert fs.delete(Path("/by-token"), False)


user.doAs(Work("webhdfs://" + address))
user = UserGroupInformation.createRemoteUser("somebody")
user.addCredentials(Credentials.readTokenStorageFile(File(file), conf))
user.doAs(Work("hdfs://" + rpc))
nobody = UserGroupInformation.createRemoteUser("alice")
try:
    nobody.doAs(Work("hdfs://" + rpc))
except Exception as e:
    print("AccessControlException" in str(e) or e)
os._exit(0)  # without the JVM's farewell
