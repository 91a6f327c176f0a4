<?php

require __DIR__ . '/lib/deep/nested.php';

function main(array $params): array
{
    return ['from' => [NESTED, Beside\Text::BESIDE]];
}
