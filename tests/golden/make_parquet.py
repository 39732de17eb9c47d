"""A small parquet file in the shape of ARC on the hub, by pyarrow, Snappy-compressed as the hub's files are.

    python3 make_parquet.py OUT.parquet     # needs pyarrow
"""
import sys
import pyarrow, pyarrow.parquet

rows = [
    dict(id="q1", question="Which of these is a tool?", choices=dict(text=["a hammer", "a cloud", "a song"], label=["A", "B", "C"]), answerKey="A"),
    dict(id="q2", question="Wie heißt „two“ auf Deutsch?", choices=dict(text=["eins", "zwei", "drei", "fünf"], label=["1", "2", "3", "4"]), answerKey="2"),
    dict(id="q3", question="Which of these can swim?", choices=dict(text=["a stone", "a fish", "a key", "a lamp", "a road"], label=["A", "B", "C", "D", "E"]), answerKey="B"),
]
pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), sys.argv[1], compression="snappy")
