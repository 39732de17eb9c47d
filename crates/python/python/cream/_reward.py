"""Run by the program as its reward command: passes completions on to the process that started it, and rewards back.

It stands alone, so that it starts at once.
"""

import os
import sys
from multiprocessing.connection import Client

with Client(os.environ["CREAM_REWARD_ADDRESS"], authkey=bytes.fromhex(os.environ["CREAM_REWARD_KEY"])) as connection:
    connection.send_bytes(sys.stdin.buffer.read())
    answer = connection.recv_bytes()
if not answer:
    sys.exit("the reward function failed")
sys.stdout.buffer.write(answer)
