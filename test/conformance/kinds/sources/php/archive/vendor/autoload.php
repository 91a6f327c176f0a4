<?php

spl_autoload_register(function (string $name): void {
    if ($name === "Beside\\Text") {
        require __DIR__ . "/beside/Text.php";
    }
});
