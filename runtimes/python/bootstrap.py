"""Entry point of the Python runtime client. Nothing else is here: a script, unlike a module, is compiled anew at
every start."""

from lamplighter_runtime import main

main()
