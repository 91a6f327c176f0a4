<?php

const NESTED = "nested";
