"""gradient_sklearn.py FOLDER ITERATIONS: the same problem with scikit-learn's L-BFGS, which evaluates about one gradient an iteration."""
import gzip
import sys
import time
import warnings

import numpy as np
from sklearn.linear_model import LogisticRegression

folder, iterations = sys.argv[1], int(sys.argv[2])


def read(name, skip):
    with gzip.open(f"{folder}/{name}") as f:
        return np.frombuffer(f.read()[skip:], np.uint8)


y = read("train-labels-idx1-ubyte.gz", 8) == 0
x = read("train-images-idx3-ubyte.gz", 16).reshape(len(y), -1) / 255
warnings.simplefilter("ignore")
begun = time.perf_counter()
model = LogisticRegression(C=np.inf, solver="lbfgs", max_iter=iterations, tol=0).fit(x, y)
print(f"scikit-learn: mean {(time.perf_counter() - begun) / model.n_iter_[0]:.4f} s/iter")
