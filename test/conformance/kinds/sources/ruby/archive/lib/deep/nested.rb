NESTED = "nested"
