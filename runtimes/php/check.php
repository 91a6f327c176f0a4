<?php

// Looks through an action's code for mistakes, and runs nothing of it: what the launcher's build mode starts.
// runtimes/launcher/build.go says what it finds, and reads the places out of what is printed.

declare(strict_types=1);

// Own files that are looked at.
const FILES_MAX = 1000;

/** Paths below the working folder, the entry first. */
function ownFiles(): array
{
    $file = getenv('WEFT_SOURCE_FILE') ?: '';
    if ($file !== '') {
        return [$file];
    }
    if (!is_file('index.php')) {
        fail('the archive has no index.php: pack the folder\'s content, not the folder');
    }
    $found = [];
    $all = new RecursiveIteratorIterator(new RecursiveCallbackFilterIterator(
        new RecursiveDirectoryIterator('.', FilesystemIterator::SKIP_DOTS),
        // What others wrote.
        static fn (SplFileInfo $one): bool => $one->getPathname() !== './vendor',
    ));
    foreach ($all as $one) {
        if ($one->isFile() && $one->getExtension() === 'php') {
            $found[] = substr($one->getPathname(), 2);
        }
    }
    sort($found);
    return array_slice(array_unique(['index.php', ...$found]), 0, FILES_MAX);
}

/** Null when nothing is wrong. Checked by the parser itself, which runs nothing. */
function mistakeIn(string $path): ?string
{
    try {
        token_get_all((string) file_get_contents($path), TOKEN_PARSE);
        return null;
    } catch (ParseError $mistake) {
        return sprintf('%s:%d: %s', $path, $mistake->getLine(), $mistake->getMessage());
    }
}

function fail(string $said): never
{
    fwrite(STDERR, "$said\n");
    exit(1);
}

$mistakes = array_filter(array_map(mistakeIn(...), ownFiles()));
if ($mistakes !== []) {
    fail(implode("\n", $mistakes));
}
