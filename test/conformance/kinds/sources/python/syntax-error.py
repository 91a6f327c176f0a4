def main(params):
    return {"fine": True}


broken = )  # @here
