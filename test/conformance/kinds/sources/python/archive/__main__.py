import beside

from lib.deep.nested import NESTED


def main(params):
    return {"from": [NESTED, beside.BESIDE]}
