"""Days as Python's strftime writes them, in the C locale of glibc: dates.json.

    python3 make_dates.py > dates.json
"""
import datetime
import json

FORMATS = [f"%{c}" for c in "aAbBcCdDeFfgGhHIjklmMnpPrRStTuUVwWxXyYzZ%"]
FORMATS += ["%-d %B %Y", "%d %b %Y", "%A, %-d. %B", "%_d|%_m|%0e|%-j|%-H|%-I|%_H|%-m|%-y|%^a %^B|%_j", "%Y-%m-%dT%H:%M:%S", "100%% of %j"]
DAYS = ["2026-11-27", "2024-02-29", "2023-01-01", "2021-01-03", "2020-12-31", "2005-01-02", "1999-10-09", "2000-03-01"]
print("[" + ",\n".join(json.dumps([day, text, datetime.datetime.fromisoformat(day).strftime(text)]) for day in DAYS for text in FORMATS) + "]")
