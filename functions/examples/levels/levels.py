import os
import sys

# A named output is a file to write to. Whoever writes much should not open it for each record.
bad = open(os.environ["mapreduce_multipleoutputs_bad"], "w")

for line in sys.stdin:
    fields = line.rstrip("\n").split(" ", 2)
    if len(fields) == 3 and fields[1].isupper():
        print(fields[1], 1, sep="\t")
    else:
        print("no level", line.rstrip("\n"), sep="\t", file=bad)
