"""gradient_spark.py FOLDER ITERATIONS: logistic regression of Fashion-MNIST (label 0 or not) by Spark's MLlib (L-BFGS).

What a fit takes besides its iterations cancels out: the time is that of many iterations less that of a few.
"""
import gzip
import os
import sys
import time

sys.path.pop(0)  # beside this file lies one with the package's name
import numpy as np
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.linalg import Vectors
from pyspark.sql import SparkSession

folder, iterations = sys.argv[1], int(sys.argv[2])


def read(name, skip):
    with gzip.open(f"{folder}/{name}") as f:
        return np.frombuffer(f.read()[skip:], np.uint8)


def rows(parts):
    """Rows of a few numbered parts: every executor reads the files itself."""
    y = (read("train-labels-idx1-ubyte.gz", 8) == 0).astype(float)
    x = read("train-images-idx3-ubyte.gz", 16).reshape(len(y), -1)
    for part in parts:
        for i in range(part, len(y), 16):
            yield float(y[i]), Vectors.dense(x[i] / 255.0)


os.environ["PYSPARK_PYTHON"] = sys.executable
spark = (SparkSession.builder.master("local[*]").config("spark.driver.memory", "4g").config("spark.ui.enabled", "false")
         .config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1").getOrCreate())
spark.sparkContext.setLogLevel("ERROR")
table = spark.sparkContext.parallelize(range(16), 2).mapPartitions(rows).toDF(["label", "features"]).cache()
assert table.count() == 60000


def fit(steps):
    begun = time.perf_counter()
    model = LogisticRegression(maxIter=steps, tol=0.0, standardization=False).fit(table)
    return time.perf_counter() - begun, model.summary.totalIterations


fit(2)  # warm
few, n = fit(5)
many, m = fit(iterations)
print(f"Spark {spark.version}: mean {(many - few) / (m - n):.4f} s/iter, {m} iterations")
sys.stdout.flush()
os._exit(0)
