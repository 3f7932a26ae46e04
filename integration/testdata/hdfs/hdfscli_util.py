"""What HdfsCLI's own tests import as test.util, which its source distribution lacks."""

import os

from hdfs import InsecureClient


class _IntegrationTest:
    @classmethod
    def setup_class(cls):
        cls.client = InsecureClient(os.environ["HDFSCLI_TEST_URL"], user="root", root="/tmp/hdfscli")

    def setup_method(self):
        self.client.delete("", recursive=True)
        self.client._mkdirs("")

    def teardown_method(self):
        self.client.delete("", recursive=True)

    def _read(self, hdfs_path, encoding=None):
        with self.client.read(hdfs_path, encoding=encoding) as reader:
            return reader.read()

    def _write(self, hdfs_path, data, encoding=None):
        self.client.write(hdfs_path, data, encoding=encoding)

    def _exists(self, hdfs_path):
        return self.client.status(hdfs_path, strict=False) is not None
