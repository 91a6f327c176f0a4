<?php

function prepare(): void
{
    throw new RuntimeException("no luck"); // @here
}

prepare();

function main(array $params): array
{
    return ["fine" => true];
}
