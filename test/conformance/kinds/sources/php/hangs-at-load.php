<?php

echo "still loading\n";
while (true) {
    sleep(1);
}
