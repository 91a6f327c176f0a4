def prepare():
    raise ValueError("no luck")  # @here


prepare()


def main(params):
    return {"fine": True}
