<?php

function main(array $args): array
{
    return ['greeting' => WEFT_GREETING];
}
