"""Which pages of memory some work writes to, so that a restored process can have them at once.

The pages of a restored process are those of its image until it writes to them; then the kernel copies the page, which
costs much more than copying all that will be written in one go.

What it is not: necessary. Where the kernel does not tell, or cannot do it, nothing happens.
"""

import os

_PAGE = 4096
# Runs of pages with fewer pages between them are taken together.
_GAP = 3
_MADV_POPULATE_WRITE = 23
# Bits of an entry of /proc/self/pagemap: there; nobody else has it.
_PRESENT, _EXCLUSIVE = 1 << 63, 1 << 56


class Written:
    """The pages that `work` writes to."""

    def __init__(self, work):
        try:
            self._runs = _in_child(work)
        except OSError:
            self._runs = []

    def have(self):
        """Copies them now."""
        import ctypes

        madvise = ctypes.PyDLL(None).madvise
        madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        for start, length in self._runs:
            madvise(start, length, _MADV_POPULATE_WRITE)


def _in_child(work):
    """Runs it in a child, which shares each page with its parent but those that it has written to."""
    areas = list(_areas())
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            work()
            text = ",".join("%d %d" % run for run in _own(areas)).encode()
            while text:
                text = text[os.write(write, text) :]
        finally:
            os._exit(0)
    os.close(write)
    with open(read, "rb") as pipe:
        text = pipe.read().decode()
    os.waitpid(child, 0)
    return [tuple(map(int, run.split())) for run in text.split(",") if run]


def _areas():
    """Private memory that can be written to, but the stack, which grows."""
    with open("/proc/self/maps") as lines:
        for line in lines:
            span, rights, *_, name = line.split()
            if rights.startswith("rw") and rights.endswith("p") and name != "[stack]":
                yield tuple(int(at, 16) for at in span.split("-"))


def _own(areas):
    with open("/proc/self/pagemap", "rb", 0) as pagemap:
        for start, end in areas:
            pagemap.seek(start // _PAGE * 8)
            entries = memoryview(pagemap.read((end - start) // _PAGE * 8)).cast("Q")
            first = last = None
            for at, entry in enumerate(entries):
                if not (entry & _PRESENT and entry & _EXCLUSIVE):
                    continue
                if first is not None and at - last > _GAP:
                    yield start + first * _PAGE, (last - first + 1) * _PAGE
                    first = None
                first, last = at if first is None else first, at
            if first is not None:
                yield start + first * _PAGE, (last - first + 1) * _PAGE
