"""superstep_mpi.py FLOATS ITERATIONS: one allreduce of so many float64 an iteration, run by mpirun as one process for each worker."""
import sys
import time
from array import array

from mpi4py import MPI

floats, iterations = int(sys.argv[1]), int(sys.argv[2])
world = MPI.COMM_WORLD
mine, total, times = array("d", [world.rank]) * floats, array("d", [0.0]) * floats, []
for k in range(iterations):
    begun = time.perf_counter()
    world.Allreduce([mine, MPI.DOUBLE], [total, MPI.DOUBLE])
    if k >= iterations // 10:  # the first tenth is for warming up
        times.append(time.perf_counter() - begun)
if total[0] != world.size * (world.size - 1) / 2:
    sys.exit(f"wrong answer: {total[0]}")
if world.rank == 0:
    print(f"MPI, {world.size} processes: p50 {1000 * sorted(times)[len(times) // 2]:.4f} ms")
