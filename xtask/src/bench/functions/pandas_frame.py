import numpy as np
import pandas as pd


def handler(event, context):
    assert int(pd.Series(np.arange(4)).sum()) == 6
    return {"message": "Hello, " + event["name"] + "!"}
