<?php

// Looks through an action's code for mistakes, and runs nothing of it: what the launcher's build mode starts.
// runtimes/launcher/build.go says what it finds, and reads the places out of what is printed.

declare(strict_types=1);

// Files that are looked at.
const FILES_MAX = 200;

function entry(): string
{
    $file = getenv('WEFT_SOURCE_FILE') ?: '';
    if ($file !== '') {
        return $file;
    }
    return is_file('index.php') ? 'index.php' : fail('the archive has no index.php: pack the folder\'s content, not the folder');
}

/** Own files that a file includes by name, from its own folder. What nothing includes may be anything. */
function named(string $path): array
{
    $form = '/\b(?:require|include)(?:_once)?\s*\(?\s*(?:__DIR__\s*\.\s*)?([\'"])(\/?[^\'"$]+\.php)\1/';
    preg_match_all($form, (string) file_get_contents($path), $found);
    $folder = dirname($path) === '.' ? '' : dirname($path) . '/';
    $all = array_map(static fn (string $name): string => $folder . ltrim($name, './'), $found[2]);
    return array_filter($all, static fn (string $one): bool => is_file($one) && !str_starts_with($one, 'vendor/'));
}

/** Null when nothing is wrong. PHP reads and compiles it, and runs nothing. */
function mistakeIn(string $path): ?string
{
    exec(escapeshellarg(PHP_BINARY) . ' -d display_errors=1 -d html_errors=0 -l ' . escapeshellarg($path) . ' 2>&1', $lines, $code);
    if ($code === 0) {
        return null;
    }
    $said = implode("\n", $lines);
    if (preg_match('/(?:Parse|Fatal) error:\s+(.*) in \S+ on line (\d+)/', $said, $found)) {
        return sprintf('%s:%d: %s', $path, $found[2], $found[1]);
    }
    return sprintf('%s:1: %s', $path, trim($said));
}

function fail(string $said): never
{
    fwrite(STDERR, "$said\n");
    exit(1);
}

$seen = [entry()];
for ($i = 0; $i < count($seen); $i++) {
    $more = array_diff(array_unique(named($seen[$i])), $seen);
    array_push($seen, ...array_slice(array_values($more), 0, FILES_MAX - count($seen)));
}
$mistakes = array_filter(array_map(mistakeIn(...), $seen));
if ($mistakes !== []) {
    fail(implode("\n", $mistakes));
}
