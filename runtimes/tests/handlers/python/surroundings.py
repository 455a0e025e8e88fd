"""Tells everything of its process that a start from an image could get wrong."""

import gc
import os
import signal
import sys
import threading
import time

AT_LOAD = sorted(os.listdir("/proc/self/fd"))
STACK = []
frame = sys._getframe()
while frame:
    STACK.append((os.path.basename(frame.f_code.co_filename), frame.f_code.co_name))
    frame = frame.f_back
WITHOUT_IMPORTLIB = [entry for entry in STACK if not entry[0].startswith("<frozen")]


def status(*names):
    with open("/proc/self/status") as lines:
        found = dict(line.split(":", 1) for line in lines)
    return {name: found[name].strip() for name in names}


def child(code):
    import subprocess

    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout


def handler(event, context):
    import asyncio
    import concurrent.futures
    import importlib.util
    import locale
    import logging
    import multiprocessing
    import subprocess
    import tempfile

    mask = os.umask(0o22)
    os.umask(mask)
    read, write = os.pipe()
    forked = os.fork()
    if forked == 0:
        os.write(write, b"child %d" % (os.getppid() == int(open("/proc/self/stat").read().split(") ")[1].split()[1])))
        os._exit(7)
    forked = os.read(read, 100).decode(), os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1])
    os.close(read)
    os.close(write)
    names = []
    threads = [threading.Thread(target=lambda: names.append(threading.current_thread().name)) for _ in range(3)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        squares = list(pool.map(lambda n: n * n, range(5)))

    async def work():
        await asyncio.sleep(0)
        process = await asyncio.create_subprocess_exec("/bin/echo", "async", stdout=subprocess.PIPE)
        return (await process.communicate())[0].decode()

    # No queues: their semaphores need /dev/shm, which functions have neither here nor on AWS.
    ours, theirs = multiprocessing.get_context("fork").Pipe()
    worker = multiprocessing.get_context("fork").Process(target=theirs.send, args=("from a process",))
    worker.start()
    processed = ours.recv()
    worker.join()
    record = logging.LogRecord("n", 10, "p", 1, "m", (), None)
    try:
        raise ValueError("x")
    except ValueError as error:
        lines = [(frame.tb_frame.f_code.co_name, frame.tb_lineno) for frame in _frames(error.__traceback__)]
    big = [bytearray(100_000) for _ in range(200)]
    return {
        "environ": dict(os.environ),
        "environb": sorted(name.decode() for name in os.environb),
        "of_children": child("import os; print(sorted(os.environ.items()))"),
        "of_kernel": sorted(open("/proc/self/environ").read().split("\0"))[:3] if event != "changed" else None,
        "getenv": _getenv("AWS_LAMBDA_FUNCTION_NAME"),
        "path": sys.path,
        "argv": sys.argv,
        "orig_argv": sys.orig_argv,
        "command_line": open("/proc/self/cmdline").read(),
        "name": open("/proc/self/comm").read(),
        "flags": repr(sys.flags),
        "executable": sys.executable,
        "prefixes": [sys.prefix, sys.base_prefix, sys.exec_prefix],
        "cwd": os.getcwd(),
        "descriptors": AT_LOAD,
        "umask": mask,
        "signals": [repr(signal.getsignal(number)) for number in range(1, 65) if number not in (32, 33)],
        "status": status("SigBlk", "SigIgn", "SigCgt", "Threads"),
        "time_zone": [time.tzname, time.timezone, time.localtime(0).tm_hour],
        "locale": [locale.setlocale(locale.LC_CTYPE), locale.getpreferredencoding(), sys.getfilesystemencoding()],
        "main_thread": [
            threading.main_thread() is threading.current_thread(),
            threading.main_thread().native_id == threading.get_native_id() == os.getpid(),
            threading.main_thread().ident == threading.get_ident(),
            threading.main_thread().name,
            threading.active_count(),
        ],
        "fork": forked,
        "threads": sorted(names),
        "pool": squares,
        "asyncio": asyncio.run(work()),
        "processes": processed,
        "subprocess": child("import sys; print(sys.flags.hash_randomization, sys.version_info[:2])"),
        "since_start": 0 <= record.relativeCreated < 60_000,
        "root_logger": [logging.getLogger().level, [type(each).__name__ for each in logging.getLogger().handlers]],
        "meta_path": [getattr(each, "__name__", type(each).__name__) for each in sys.meta_path if "Six" not in type(each).__name__],
        "path_hooks": len(sys.path_hooks),
        "files": [
            [each.name, each.encoding, each.errors, each.line_buffering, each.write_through, type(each.buffer).__name__]
            for each in (sys.stdin, sys.stdout, sys.stderr)
        ],
        "temporary": tempfile.gettempdir(),
        "gc": [gc.isenabled(), gc.get_threshold()],
        "traceback": lines,
        "stack": WITHOUT_IMPORTLIB,
        "spec": [sys.modules["__main__"].__spec__, sys.modules["__main__"].__file__, __file__, __spec__.origin],
        "big": len(big),
        "recursion": sys.getrecursionlimit(),
        "spread": sys.getswitchinterval(),
        "trace": [sys.gettrace(), sys.getprofile(), threading.gettrace() if hasattr(threading, "gettrace") else None],
        "limits": __import__("resource").getrlimit(__import__("resource").RLIMIT_NOFILE),
        "found": importlib.util.find_spec("pkg").origin,
    }


def _frames(trace):
    while trace:
        yield trace
        trace = trace.tb_next


def _getenv(name):
    import ctypes

    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_char_p
    return getenv(name.encode()).decode()


def randomness(event, context):
    """What no two processes may share."""
    import hashlib
    import multiprocessing
    import random
    import secrets
    import ssl
    import tempfile
    import uuid

    with tempfile.NamedTemporaryFile() as file:
        name = file.name
    return {
        "random": random.random(),
        "instance": random.Random().random(),
        "secrets": secrets.token_hex(),
        "urandom": os.urandom(16).hex(),
        "ssl": ssl.RAND_bytes(16).hex(),
        "uuid1": uuid.uuid1().hex,
        "uuid4": uuid.uuid4().hex,
        "file": name,
        "authkey": hashlib.sha256(bytes(multiprocessing.current_process().authkey)).hexdigest(),
        "marker": hash(sys.modules["lamplighter_runtime"].codec._DIGITS),
    }
