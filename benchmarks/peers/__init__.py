"""libdfnet beside other inference libraries, same weights, same run: `./dev bench --peers`.

    __main__.py    the command: which cases, then export, check, time, report
    cases.py       case = network, threads, batch; figures made of samples. No dependencies
    export.py      model file -> each engine's own format, in a process of its own; imports torch
    network.py     the model file as a torch module
    engines.py     one class an engine: load, run
    worker.py      process that holds one engine; commands and answers are lines of JSON
    remote.py      the other end of the pipe
    measure.py     interleaves the workers of one case
    machine.py     peaks of this machine, the C program's memory, the library's size
    report.py      table, JSON, picture

To add an engine: a class in engines.py, a function in export.py, its wheel in requirements.txt.
"""
