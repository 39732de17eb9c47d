"""Small parquet files, by pyarrow: ARC's shape in every compression, Dolly's with columns of other things, and texts
that are not marked as such.

    python3 make_parquet.py FOLDER     # needs pyarrow
"""
import pathlib, sys
import pyarrow, pyarrow.parquet

questions = [
    dict(id="q1", question="Which of these is a tool?", choices=dict(text=["a hammer", "a cloud", "a song"], label=["A", "B", "C"]), answerKey="A"),
    dict(id="q2", question="Wie heißt „two“ auf Deutsch?", choices=dict(text=["eins", "zwei", "drei", "fünf"], label=["1", "2", "3", "4"]), answerKey="2"),
    dict(id="q3", question="Which of these can swim?", choices=dict(text=["a stone", "a fish", "a key", "a lamp", "a road"], label=["A", "B", "C", "D", "E"]), answerKey="B"),
]
dolly = [
    dict(instruction="Who swims?", context="Fish swim.", response="Fish.", category="closed_qa", embedding=[0.5, -1.0]),
    dict(instruction="Say hello.", context="", response="Hello!", category="open_qa", embedding=[1.5, 2.0]),
]
folder = pathlib.Path(sys.argv[1])

def write(name, rows, compression):
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / f"{name}.parquet", compression=compression)

write("questions", questions, "snappy")  # as the hub's files are
for compression in ["zstd", "gzip", "brotli", "lz4", "none"]:
    write(f"questions.{compression}", questions, compression)
write("dolly", dolly, "zstd")
rated = [
    dict(prompt="Say \"hi\",\nplease.", completion="hi", reward=1.0, previous_reward=1.0, embedding=[0.5]),
    dict(prompt="Say \"hi\",\nplease.", completion="Hi!", reward=3.0, previous_reward=3.0, embedding=[0.5]),
    dict(prompt="Who swims?", completion="A fish.", reward=2.0, previous_reward=3.0, embedding=[0.5]),
    dict(prompt="Say \"hi\",\nplease.", completion="no", reward=2.0, previous_reward=2.0, embedding=[0.5]),
    dict(prompt="Who swims?", completion="A stone.", reward=1.0, previous_reward=1.0, embedding=[0.5]),
    dict(prompt="Who swims?", completion="Fish", reward=3.0, previous_reward=2.0, embedding=[0.5]),
]
write("rated", rated, "snappy")
write("bytes", [dict(question=b"Who swims?", answer=b"Fish.")], "none")
