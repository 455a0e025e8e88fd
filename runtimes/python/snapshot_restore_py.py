"""Runtime hooks of SnapStart, as functions know them from AWS: what runs before a snapshot is taken, and after a restore.

    @register_before_snapshot
    def close_connections(): ...

    register_after_restore(connect, "db.example", port=5432)

The first kind runs in the reverse order of registration, the second in that order. Hooks must be registered while the
function initialises. A package may bring its own copy of this module: that one is used then.

Defined by: https://docs.aws.amazon.com/lambda/latest/dg/snapstart-runtime-hooks-python.html
"""

_before_snapshot = []
_after_restore = []


def register_before_snapshot(func, *args, **kwargs):
    """Has `func(*args, **kwargs)` called before the snapshot is taken. A decorator, too."""
    _before_snapshot.append((func, args, kwargs))
    return func


def register_after_restore(func, *args, **kwargs):
    """Has `func(*args, **kwargs)` called whenever the function comes back from a snapshot. A decorator, too."""
    _after_restore.append((func, args, kwargs))
    return func


def get_before_snapshot():
    """What was registered, for the runtime: a list of (function, arguments, named arguments)."""
    return _before_snapshot


def get_after_restore():
    """What was registered, for the runtime: a list of (function, arguments, named arguments)."""
    return _after_restore
