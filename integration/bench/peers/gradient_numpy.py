"""gradient_numpy.py FOLDER ITERATIONS: full-batch logistic regression of Fashion-MNIST (label 0 or not) with numpy."""
import gzip
import sys
import time

import numpy as np

folder, iterations = sys.argv[1], int(sys.argv[2])


def read(name, skip):
    with gzip.open(f"{folder}/{name}") as f:
        return np.frombuffer(f.read()[skip:], np.uint8)


y = (read("train-labels-idx1-ubyte.gz", 8) == 0).astype(float)
x = read("train-images-idx3-ubyte.gz", 16).reshape(len(y), -1) / 255
w, b, times = np.zeros(x.shape[1]), 0.0, []
for k in range(iterations + 1):
    begun = time.perf_counter()
    z = x @ w + b
    loss = np.mean(np.logaddexp(0, z) - y * z)
    if k == iterations:
        break
    r = 1 / (1 + np.exp(-z)) - y
    w -= 0.1 / len(y) * (x.T @ r)
    b -= 0.1 * r.mean()
    times.append(time.perf_counter() - begun)
print(f"numpy {np.__version__}: mean {sum(times) / len(times):.4f} s/iter, loss({iterations})={loss:.13f}")
