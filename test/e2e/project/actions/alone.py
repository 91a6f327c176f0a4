def main(args):
    return {"alone": True}
