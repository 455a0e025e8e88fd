print("loading")

def fail():
    raise OSError("not today")

fail()
