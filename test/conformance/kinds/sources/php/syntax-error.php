<?php

function main(array $params): array
{
    return ["fine" => true];
}

$broken = ); // @here
