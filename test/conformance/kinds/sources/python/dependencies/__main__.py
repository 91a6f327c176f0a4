import weft_greeting


def main(params):
    return {"greeting": weft_greeting.VERSION}
