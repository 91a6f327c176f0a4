<?php

// What an action of this language can be asked to do. ../../README.md says what each act is.

function leftFile(): string
{
    return sys_get_temp_dir() . '/left-behind';
}

function fails(): array
{
    throw new RuntimeException('no luck'); // @throw
}

function circle(): array
{
    $a = [];
    $a['a'] = &$a;
    return $a;
}

function leaves(int $code): never
{
    echo "last words\n";
    exit($code);
}

function hang(): never
{
    echo "still here\n";
    while (true) {
        sleep(1);
    }
}

function eat(): never
{
    echo "hungry\n";
    $all = [];
    while (true) {
        $all[] = str_repeat('x', 8 * 1024 * 1024);
    }
}

function shell(string $command): array
{
    $process = proc_open(['sh', '-c', $command], [1 => ['file', '/dev/null', 'w'], 2 => ['pipe', 'w']], $pipes);
    $stderr = stream_get_contents($pipes[2]);
    return ['code' => proc_close($process), 'stderr' => $stderr];
}

function prints(string $line, int $lines): array
{
    for ($i = 0; $i < $lines; $i++) {
        echo "$line\n";
    }
    return [];
}

function streams(): array
{
    echo "out 1\n";
    fwrite(STDERR, "err 1\n");
    echo "out 2\n";
    fwrite(STDERR, "err 2\n");
    echo 'out 3';
    return [];
}

function bytes(string $base64): array
{
    echo "A\xFF\xFEB\n";
    return ['base64' => base64_encode(strrev(base64_decode($base64)))];
}

function pause(int $ms): array
{
    usleep($ms * 1000);
    return ['waited' => $ms];
}

function untilCancelled(Weft\Context $context): array
{
    echo "waiting\n";
    while (!$context->cancelled()) {
        usleep(10_000_000);
    }
    return ['cancelled' => true];
}

function leave(): array
{
    putenv('LEFT_BEHIND=yes');
    file_put_contents(leftFile(), 'left');
    echo "left\n";
    return [];
}

function look(): array
{
    return [
        'leftBehind' => getenv('LEFT_BEHIND') ?: null,
        'file' => file_exists(leftFile()),
        'activationId' => getenv('__OW_ACTIVATION_ID'),
        'apiKey' => getenv('__OW_API_KEY') ?: null,
    ];
}

function late(): array
{
    // PHP has one thread: a child prints.
    proc_open(['sh', '-c', 'sleep 0.2; echo late'], [1 => STDOUT], $pipes);
    return [];
}

function main(array $params, Weft\Context $context): mixed
{
    return match ($params['act']) {
        'echo' => $params,
        'throw' => fails(),
        'text' => 'text',
        'circle' => circle(),
        'nothing' => null,
        'array' => [1, 'two', ['three' => 3]],
        'exit' => leaves($params['code']),
        'hang' => hang(),
        'eat' => eat(),
        'shell' => shell($params['command']),
        'print' => prints($params['line'], $params['lines']),
        'streams' => streams(),
        'bytes' => bytes($params['base64']),
        'environment' => ['env' => getenv(), 'params' => $params],
        'wait' => pause($params['ms']),
        'until-cancelled' => untilCancelled($context),
        'remaining' => ['remainingMs' => $context->remainingMs()],
        'fill' => ['x' => str_repeat('x', $params['chars'])],
        'leave' => leave(),
        'look' => look(),
        'late' => late(),
    };
}

function other(array $params): array
{
    return ['other' => true];
}
