<?php

// weft action create greet runtimes/php/example.php && weft action invoke greet -p name Ada -r
function main(array $args): array
{
    return ['greeting' => 'Hello, ' . ($args['name'] ?? 'stranger') . '!'];
}
