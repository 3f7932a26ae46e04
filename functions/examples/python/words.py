"""Counts words, as the mapper and (with "sum") as the combiner and reducer of words.yaml.

Records come and go as lines KEY<TAB>VALUE; a reducer's lines are in order of their keys.
"""
import itertools
import sys


def split():
    for line in sys.stdin:
        for word in line.split():
            print(word, 1, sep="\t")


def add():
    pairs = (line.rstrip("\n").split("\t") for line in sys.stdin)
    for word, group in itertools.groupby(pairs, key=lambda pair: pair[0]):
        print(word, sum(int(count) for _, count in group), sep="\t")


add() if sys.argv[1:] == ["sum"] else split()
