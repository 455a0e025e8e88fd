"""SnapStart: the way of an initialised function through its snapshot.

Before it the hooks for that run, what lies in /tmp is read into memory, and a child of this process, which has only its
one thread, writes its own memory (`libcheckpoint.so`) to the platform. After a restore, in another box and perhaps days
later, the child goes on here: it takes its new variables, renews what must not be the same in two processes, writes /tmp
out again, runs the hooks for that, and asks for its first event.

Where the platform wants no image (it has none of this function, and starts it plainly), the hooks run one after the
other, so that what they do is done.

What it is not: nobody outside trusts what is written. It knows nothing of versions, and of nobody's limits but the
function's memory.

Defined by: https://docs.aws.amazon.com/lambda/latest/dg/snapstart-runtime-hooks-python.html and
https://docs.aws.amazon.com/lambda/latest/dg/snapstart-uniqueness.html
"""

import os
import sys

from . import RUNTIME_DIR, codec

_IMAGE_FD = 3
_NO_IMAGE = 75
_BEFORE_FAILED, _AFTER_FAILED = 64, 65
# What this process needs besides the function's own memory and what it carries of /tmp, in bytes.
_SPARE = 48 << 20
# A number that a generator was seeded with, above this, is no number that a person has chosen.
_SURELY_RANDOM = 1 << 96


class Refused(Exception):
    """There can be no image. The message tells why."""


class Template:
    """What is known of the process from which the snapshot is taken, if this is one."""

    # The variables that it was started with.
    variables = None


def begin():
    """This process is to write its image. Called before the function is loaded."""
    Template.variables = dict(os.environ._data)


def go_through(api):
    """Runs the hooks, and writes the image between them if the platform wants one. Returns where events are served."""
    _run_hooks(api, _before_snapshot, "Runtime.BeforeSnapshotError", api.initialisation_failed, _BEFORE_FAILED)
    api.restore_next()
    if Template.variables is not None:
        api.close()
        try:
            _leave_and_return()
        except Refused as refusal:
            _tell_refusal(api, str(refusal))
        except Exception as error:
            _tell_refusal(api, "%s: %s" % (type(error).__name__, error))
    _run_hooks(api, _after_restore, "Runtime.AfterRestoreError", api.restore_failed, _AFTER_FAILED)


def _run_hooks(api, run, error_type, tell, exit_code):
    try:
        run()
    except BaseException as error:
        from . import errors

        report = errors.of_initialisation(error)
        errors.log(report)
        tell(codec.encode_error(report), error_type)
        sys.stdout.flush()
        os._exit(exit_code)


def _hooks():
    # A function that has none need not pay for the module.
    return sys.modules.get("snapshot_restore_py")


def _before_snapshot():
    hooks = _hooks()
    registered = hooks.get_before_snapshot() if hooks else []
    while registered:
        function, args, kwargs = registered.pop()
        function(*args, **kwargs)


def _after_restore():
    hooks = _hooks()
    for function, args, kwargs in hooks.get_after_restore() if hooks else ():
        function(*args, **kwargs)


def _tell_refusal(api, why):
    report = codec.encode_error({"errorMessage": why, "errorType": "Runtime.NoImage"})
    api.restore_failed(report, "Runtime.NoImage")
    os._exit(_NO_IMAGE)


def _leave_and_return():
    """Writes the image and ends; comes back in the processes that are restored from it.

    A child writes it. Native libraries end their threads when a process forks (OpenBLAS does), and those that do not
    would be missing in a process that is restored: then there is no image.
    """
    import ctypes
    import gc

    modules = sys.modules
    if "threading" in modules:
        others = [thread.name for thread in modules["threading"].enumerate()]
        if len(others) > 1:
            raise Refused("the function has started threads: %s" % ", ".join(others[1:6]))
    checkpoint, why = _library(ctypes)
    renewals = _renewals(modules)
    files = _Files()
    files.read()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    gc.collect()
    # The collector would write to every page, and so make each process pay for what all share.
    gc.freeze()
    child = os.fork()
    if child:
        _wait_for(child)
    block = checkpoint(_IMAGE_FD, ctypes.byref(why))
    if block < 0:
        raise Refused((why.value or b"unknown").decode())
    if block == 0:
        os._exit(0)
    _take_environment(ctypes, block)
    for renewal in renewals:
        renewal()
    files.write()


def _library(ctypes):
    """The function that writes an image, and the place for its reason. The interpreter's lock is kept while it runs."""
    path = os.path.join(RUNTIME_DIR, "libcheckpoint.so")
    try:
        checkpoint = ctypes.PyDLL(path).lamplighter_checkpoint
    except OSError as error:
        raise Refused("no library for images: %s" % error)
    checkpoint.restype = ctypes.c_long
    checkpoint.argtypes = [ctypes.c_int, ctypes.POINTER(ctypes.c_char_p)]
    return checkpoint, ctypes.c_char_p()


def _wait_for(child):
    """The parent's part: looks that no thread was lost, and ends as the child does."""
    import signal
    import time

    # A thread that ends when the process forks may be seen a moment longer.
    for _ in range(100):
        threads = len(os.listdir("/proc/self/task"))
        if threads == 1:
            break
        time.sleep(0.002)
    if threads > 1:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise Refused("the process has %d threads of a native library" % threads)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


def _take_environment(ctypes, block):
    """Takes over what the platform gives this process and gave the template otherwise. What the function has changed
    itself stays, as the rest of its memory does."""

    def word(at):
        return ctypes.c_void_p.from_address(at).value

    at = block + 8 * (word(block) + 2)
    new = {}
    while (text := word(at)) is not None:
        name, _, value = ctypes.string_at(text).partition(b"=")
        new[name] = value
        at += 8
    if new.get(b"LAMPLIGHTER_IMAGE") == b"check":
        os._exit(0)
    before, data = Template.variables, os.environ._data
    for name in before.keys() | new.keys():
        if data.get(name) != before.get(name) or before.get(name) == new.get(name):
            continue
        if name in new:
            os.environb[name] = new[name]
        else:
            del os.environb[name]


def _renewals(modules):
    """What must differ between two processes, of the modules that are loaded: functions to be called after a restore."""
    from . import image

    return [
        lambda: image.renew(modules),
        _uuid_renewal(modules),
        *_numpy_renewals(modules),
        lambda: _take_context(modules),
    ]


def _take_context(modules):
    codec.settle(os.environ)
    modules["lamplighter_runtime.context"].settle(os.environ)


def _uuid_renewal(modules):
    uuid = modules.get("uuid")

    def renew():
        if uuid is None:
            return
        # Node and clock sequence identify who makes time-based ids. Those of the C library are in its memory, where
        # they cannot be renewed: Python's own way makes them from now on, with a node that is random as RFC 9562 has it.
        uuid._generate_time_safe = None
        uuid._node = int.from_bytes(os.urandom(6), "big") | (1 << 40)
        for name in ("_last_timestamp", "_last_timestamp_v6", "_last_timestamp_v7"):
            if hasattr(uuid, name):
                setattr(uuid, name, None)

    return renew


def _numpy_renewals(modules):
    """The global generator, and those that numpy itself has seeded. A seed that the function chose stays its own."""
    random = modules.get("numpy.random")
    if random is None:
        return []
    import gc

    renewals = [random.seed]
    for one in gc.get_objects():
        # Its type, not what it says of itself: a proxy may do anything when it is asked.
        kind = type(one)
        if issubclass(kind, (random.Generator, random.RandomState)):
            one = one._bit_generator
        elif not issubclass(kind, random.BitGenerator):
            continue
        if _was_seeded_by_numpy(one):
            renewals.append(lambda bits=one: setattr(bits, "state", type(bits)().state))
    return renewals


def _was_seeded_by_numpy(bits):
    entropy = getattr(getattr(bits, "seed_seq", None), "entropy", None)
    return isinstance(entropy, int) and entropy > _SURELY_RANDOM


class _Files:
    """What lies in /tmp: carried in the image, and written out in each box, which has a /tmp of its own."""

    ROOT = "/tmp"

    def __init__(self):
        self.folders = []
        self.links = []
        self.files = []
        self.content = None

    def read(self):
        """Reads everything into memory, if there is room for it."""
        import mmap
        import stat

        total = 0
        for folder, folders, names in os.walk(self.ROOT):
            for name in folders + names:
                path = os.path.join(folder, name)
                about = os.lstat(path)
                if stat.S_ISLNK(about.st_mode):
                    self.links.append((path, os.readlink(path)))
                elif stat.S_ISDIR(about.st_mode) and about.st_uid == os.getuid():
                    self.folders.append((path, about.st_mode, about.st_mtime_ns))
                elif stat.S_ISREG(about.st_mode):
                    self.files.append((path, about.st_mode, about.st_mtime_ns, total, about.st_size))
                    total += about.st_size
        room = self._room()
        if total > room:
            raise Refused("/tmp holds %d MiB, more than the function's memory has room for" % (total >> 20))
        if not total:
            return
        self.content = mmap.mmap(-1, total, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        view = memoryview(self.content)
        for path, _, _, at, size in self.files:
            with open(path, "rb", 0) as file:
                done = 0
                while done < size and (count := file.readinto(view[at + done : at + size])):
                    done += count
        view.release()

    @staticmethod
    def _room():
        with open("/proc/self/statm") as about:
            used = int(about.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return (int(os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", 128)) << 20) - used - _SPARE

    def write(self):
        """Writes everything out."""
        for path, mode, _ in self.folders:
            os.mkdir(path, 0o700)
        view = memoryview(self.content) if self.content else None
        for path, mode, modified, at, size in self.files:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            done = 0
            while done < size:
                done += os.write(file, view[at + done : at + size])
            os.fchmod(file, mode & 0o7777)
            os.utime(file, ns=(modified, modified))
            os.close(file)
        for path, target in self.links:
            os.symlink(target, path)
        for path, mode, modified in reversed(self.folders):
            os.chmod(path, mode & 0o7777)
            os.utime(path, ns=(modified, modified))
        if view is not None:
            view.release()
            self.content.close()
            self.content = None
