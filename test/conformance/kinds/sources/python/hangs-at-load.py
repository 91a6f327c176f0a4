import time

print("still loading")
while True:
    time.sleep(1)
