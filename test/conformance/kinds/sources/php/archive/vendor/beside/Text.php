<?php

namespace Beside;

final class Text
{
    public const BESIDE = "beside";
}
