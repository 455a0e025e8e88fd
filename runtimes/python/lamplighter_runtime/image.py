"""Writes this process as an image from which others start, and makes a restored process what a plain start is.

Loaded only when the platform asks for an image (`LAMPLIGHTER_IMAGE`), or in a process that was restored from one. A
generic image holds the interpreter, this client, modules that functions use often, and the AWS SDK where the host has
it. It is made in a box without a function: there is no code, no setting and no secret that it could hold.

After a restore, everything that a plain start takes from its surroundings is taken anew: environment, search path,
time zone, randomness, identifiers. The platform does not restore where that is impossible: a variable that the
interpreter reads as it boots, or a module of the function's that would stand before one that is loaded here. For that
it gets a list of what is loaded, on standard output.

What it is not: it does not write memory itself (`libcheckpoint.so` does), and it knows nothing of the function.
"""

import os
import sys

from . import RUNTIME_DIR, SDK_DIR

# What functions import most. What one of them brings along comes with it.
MODULES = (
    "argparse array asyncio base64 binascii bisect calendar collections.abc concurrent.futures configparser contextlib"
    " contextvars copy csv dataclasses datetime decimal difflib email.message email.mime.text email.utils enum fnmatch"
    " fractions functools getpass glob gzip hashlib heapq hmac html html.parser http http.client http.cookies"
    " importlib.metadata importlib.resources importlib.util inspect io ipaddress itertools json locale logging"
    " logging.config logging.handlers lzma math mimetypes numbers operator os pathlib pickle platform pprint queue"
    " random re sched secrets select selectors shlex shutil signal socket ssl stat statistics string struct subprocess"
    " tarfile tempfile textwrap threading time timeit traceback types typing unicodedata urllib.error urllib.parse"
    " urllib.request uuid warnings weakref xml.etree.ElementTree zipfile zlib zoneinfo"
).split()

_DONE, _IMPOSSIBLE = 0, 75
_IMAGE_FD = 3


class Missed:
    """A finder that finds nothing, and remembers what was looked for: a function may have it."""

    def __init__(self):
        self.names = set()

    def find_spec(self, name, path=None, target=None):
        self.names.add(name.partition(".")[0])
        return None


def make(purpose):
    """Writes a generic image and ends. Returns in the processes that are restored from it, with everything in place."""
    early = _first_level(sys.modules)
    missed = Missed()
    try:
        if sys.path[:2] != [RUNTIME_DIR, RUNTIME_DIR]:
            _refuse("the search path is not the platform's")
        after_boot = sys.path[2:]
        sys.meta_path.append(missed)
        sys.path.append(SDK_DIR)
        _import_all(MODULES)
        sdk = None
        if purpose == "generic":
            from . import rehearsal

            sdk = rehearsal.sdk()
            if sdk is None:
                # Nobody but us has looked for it: a function may have its own.
                missed.names.discard("boto3")
        _rehearse()
        sys.path.remove(SDK_DIR)
        sys.meta_path.remove(missed)
        from . import pages

        if sdk is not None:
            used = pages.Written(rehearsal.first_client)
            rehearsal.when_first_used(used.have)
        first = pages.Written(_rehearse)
        block = _checkpoint()
    except Exception as error:
        _refuse("%s: %s" % (type(error).__name__, error))
    if block == 0:
        _tell(early, missed.names, sdk, after_boot)
        os._exit(_DONE)
    first.have()
    _arrive(block, after_boot)


def _refuse(why):
    os.write(2, ("no image: %s\n" % why).encode("utf-8", "backslashreplace"))
    os._exit(_IMPOSSIBLE)


def _first_level(names):
    return {name.partition(".")[0] for name in names}


def _import_all(names):
    for name in names:
        try:
            __import__(name)
        except ImportError:
            # An interpreter that was built without it.
            pass


def _rehearse():
    """Walks the way of an event once, so that the first one finds everything laid out."""
    import json

    from . import codec, context, errors, http, logs  # noqa: F401

    head = b"HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: 1\r\nLambda-Runtime-Deadline-Ms: 1\r\nContent-Length: "
    event = b'{"key": ["text", 1, 2.5, null, true]}'
    for _ in range(3):
        api = http.RuntimeApi("127.0.0.1:9001")
        api._pending = head + b"%d\r\n\r\n" % len(event) + event
        headers, body = api._receive_event()
        context.LambdaContext("1", headers, None)
        codec.encode_result(codec.decode_event(body, headers.get(b"content-type")))
        json.dumps(json.loads(body))


def _checkpoint():
    """0 after the image was written; in a restored process the address of its arguments and environment."""
    import ctypes
    import gc

    # Names, not values, are what the library tells of itself; the interpreter's lock is kept while it runs.
    library = ctypes.PyDLL(os.path.join(RUNTIME_DIR, "libcheckpoint.so"))
    checkpoint = library.lamplighter_checkpoint
    checkpoint.restype = ctypes.c_long
    checkpoint.argtypes = [ctypes.c_int, ctypes.POINTER(ctypes.c_char_p)]
    why = ctypes.c_char_p()
    trim = getattr(ctypes.PyDLL(None), "malloc_trim", None)
    os.environ.clear()
    # Directories are looked at anew: those of this box are not those of the function's.
    for place in [place for place in sys.path_importer_cache if _is_strange(place)]:
        del sys.path_importer_cache[place]
    gc.collect()
    # The collector would write to every page, and so make each process pay for what all share.
    gc.freeze()
    if trim is not None:
        trim(0)
    block = checkpoint(_IMAGE_FD, ctypes.byref(why))
    if block < 0:
        _refuse((why.value or b"unknown").decode())
    return block


def _is_strange(place):
    return sys.path_importer_cache[place] is None or place.startswith(("/var/", "/opt/", "/tmp"))


def _tell(early, missed, sdk, path):
    """Tells the platform what is in the image, as one JSON text."""
    import json

    mapped = set()
    with open("/proc/self/maps") as lines:
        for line in lines:
            name = line.split(None, 5)[5:]
            if name and name[0].startswith("/"):
                mapped.add(name[0].rstrip("\n"))
    files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    files = {name for name in files if name and os.path.isabs(name) and os.path.exists(name)}
    folders = {os.path.dirname(name) for name in files} | set(filter(os.path.isdir, path + [SDK_DIR]))
    about = {
        "sdk": sdk,
        "early": sorted(early),
        "names": sorted(_first_level(sys.modules) | missed),
        "always": sorted(mapped | folders),
        "at_first": sorted(files),
    }
    data = memoryview(json.dumps(about).encode())
    while data:
        data = data[os.write(1, data) :]


def _arrive(block, after_boot):
    """Makes the restored process one that has just booted in its new surroundings."""
    _take_environment(block)
    environ = os.environ
    if environ.get("LAMPLIGHTER_IMAGE") == "check":
        os._exit(_DONE)
    _set_boot_path(environ, after_boot)
    modules = sys.modules
    if "TZ" in environ:
        modules["time"].tzset()
    renew(modules)


def _take_environment(block):
    """The new environment, for Python, for C, and for children, instead of the old one."""
    import ctypes

    def word(at):
        return ctypes.c_void_p.from_address(at).value

    first = block + 8 * (word(block) + 2)
    ctypes.c_void_p.in_dll(ctypes.PyDLL(None), "environ").value = first
    # Both `os.environ` and `os.environb` keep it there.
    data = os.environ._data
    at = first
    while (text := word(at)) is not None:
        name, _, value = ctypes.string_at(text).partition(b"=")
        data.setdefault(name, value)
        at += 8


def _set_boot_path(environ, after_boot):
    """`sys.path` as the booting interpreter leaves it: this client's folder, PYTHONPATH, its own places."""
    own = []
    for entry in environ["PYTHONPATH"].split(":") if environ.get("PYTHONPATH") else ():
        entry = os.path.abspath(entry)
        if entry not in own:
            own.append(entry)
    sys.path[:] = [RUNTIME_DIR] + own + [entry for entry in after_boot if entry not in own]
    site = sys.modules.get("site")
    if site is not None and "HOME" in environ:
        site.USER_BASE = site.USER_SITE = None
        site.getusersitepackages()


def renew(modules):
    """What must differ between two processes, of the modules that are loaded."""
    if "random" in modules:
        modules["random"].seed()
    if "_ssl" in modules:
        modules["_ssl"].RAND_add(os.urandom(48), 48.0)
    if "tempfile" in modules:
        modules["tempfile"]._name_sequence = None
    if "threading" in modules:
        modules["threading"].main_thread()._set_native_id()
    if "multiprocessing.process" in modules:
        process = modules["multiprocessing.process"].current_process()
        process.authkey = os.urandom(32)
    if "platform" in modules:
        modules["platform"]._uname_cache = None
    if "logging" in modules:
        logging, time = modules["logging"], modules["time"]
        is_int = isinstance(logging._startTime, int)
        logging._startTime = time.time_ns() if is_int else time.time()
