def another(params):
    return {"fine": True}
