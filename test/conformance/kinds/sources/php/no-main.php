<?php

function another(array $params): array
{
    return ["fine" => true];
}
