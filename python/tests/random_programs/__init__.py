"""Random async programs, and the same record of them on every implementation.

programs.py    makes programs, with hypothesis: a program is data, and prints as Python text
execution.py   runs such a text in a world, in virtual time, and records all that happens
worlds.py      the worlds: asyncio as it is, asyncio's Python twins, batonloop
planted.py     worlds with a bug in them, which the generator has to find
__main__.py    `python -m random_programs --programs 100000 --seed 7`, from python/tests
"""
