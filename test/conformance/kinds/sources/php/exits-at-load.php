<?php

echo "last words\n";
exit(3);
