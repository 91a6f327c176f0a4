<?php

// The program of php actions: the launcher starts it, one process for each run at a time, and speaks OpenWhisk's
// ActionLoop with it. See docs/runtimes.md.

declare(strict_types=1);

namespace Weft;

/** Handed to a main that takes a second argument. */
final class Context
{
    public readonly string $activationId;
    public readonly int $deadline;
    public readonly string $traceparent;
    private readonly float $ends;
    private bool $cancelled = false;

    public function __construct(object $call)
    {
        $this->activationId = $call->activation_id ?? '';
        $this->deadline = (int) ($call->deadline ?? 0);
        $this->traceparent = $call->traceparent ?? '';
        $this->ends = \hrtime(true) / 1e6 + ($call->remaining_ms ?? 0);
    }

    public function remainingMs(): int
    {
        return \max(0, (int) ($this->ends - \hrtime(true) / 1e6));
    }

    /** Whether nobody waits for the answer any more. A sleep ends early when that happens. */
    public function cancelled(): bool
    {
        return $this->cancelled;
    }

    /** @internal */
    public function cancel(): void
    {
        $this->cancelled = true;
    }
}

/** The code is not what it should be; the message says how. */
final class Unloadable extends \Exception
{
}

final class Loop
{
    private const NAMES = ['activation_id', 'namespace', 'action_name', 'action_version', 'transaction_id', 'deadline', 'api_key'];
    private const DEPTH_MAX = 1024;
    private const JSON = JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_LINE_TERMINATORS | JSON_PRESERVE_ZERO_FRACTION | JSON_THROW_ON_ERROR;

    private readonly string $directory;
    /** @var resource */
    private $requests;
    /** @var resource */
    private $answers;
    private \Closure $main;
    private int $takes = 1;
    private ?Context $context = null;

    public function __construct(private readonly int $pid)
    {
        $this->directory = \getenv('WEFT_ACTION_DIR');
        // Kept by another number, so that what the action reads and its children are given is empty.
        $this->requests = \fopen('php://fd/0', 'r');
        $this->answers = \fopen('php://fd/3', 'w');
        \fclose(\STDIN);
        \define('Weft\NOTHING', \fopen('/dev/null', 'r'));
        \pcntl_async_signals(true);
        // Without a run there is nothing to cancel.
        \pcntl_signal(\SIGTERM, fn () => $this->context?->cancel());
    }

    public function serve(): void
    {
        $this->load();
        $this->answer('{"ok":true}');
        while (($line = \fgets($this->requests)) !== false) {
            $this->run($line);
        }
    }

    private function load(): void
    {
        try {
            $this->main = $this->mainOf($this->source());
            $this->takes = $this->argumentsTaken();
        } catch (Unloadable $error) {
            $this->refuse($error->getMessage());
        } catch (\CompileError $error) {
            $where = "({$this->short($error->getFile())}:{$error->getLine()})";
            \fwrite(\STDERR, $error::class . ": {$error->getMessage()} $where\n");
            $this->refuse($error::class . ": {$error->getMessage()} $where");
        } catch (\Throwable $error) {
            $this->tell($error);
            $this->refuse($error::class . ": {$error->getMessage()}");
        }
    }

    private function source(): string
    {
        $file = \getenv('WEFT_ACTION_FILE');
        if (\is_string($file) && $file !== '') {
            return $file;
        }
        if (!\is_file("$this->directory/index.php")) {
            throw new Unloadable('the archive has no index.php');
        }
        if (\is_file("$this->directory/vendor/autoload.php")) {
            bring("$this->directory/vendor/autoload.php");
        }
        return "$this->directory/index.php";
    }

    /** "main", "My\Space\main" or "Class::main". */
    private function mainOf(string $file): \Closure
    {
        $name = \getenv('WEFT_ACTION_MAIN') ?: 'main';
        $before = \get_defined_functions()['user'];
        bring($file);
        if (\is_callable($name)) {
            return \Closure::fromCallable($name);
        }
        $names = \array_filter(
            \array_diff(\get_defined_functions()['user'], $before),
            fn ($one) => (new \ReflectionFunction($one))->getFileName() === $file,
        );
        $names = \array_map(fn ($one) => (new \ReflectionFunction($one))->getName(), $names);
        throw new Unloadable("no function \"$name\"; the code defines " . (\implode(', ', $names) ?: 'no function'));
    }

    /** How many of (params, context) it takes. A second argument with a default is the user's own, unless it is called context. */
    private function argumentsTaken(): int
    {
        $function = new \ReflectionFunction($this->main);
        $parameters = $function->getParameters();
        if ($function->isVariadic() || (isset($parameters[1]) && $parameters[1]->getName() === 'context')) {
            return 2;
        }
        return \min(2, \max($function->getNumberOfRequiredParameters(), \min(1, \count($parameters))));
    }

    private function run(string $line): void
    {
        $call = (object) (\json_decode($line, true, self::DEPTH_MAX) ?? \json_decode($this->mended($line), true, self::DEPTH_MAX));
        $this->context = new Context($call);
        $this->environment($call);
        try {
            $arguments = [$call->value ?? [], $this->context];
            $answer = $this->judge(($this->main)(...\array_slice($arguments, 0, $this->takes)));
        } catch (\Throwable $error) {
            $answer = $this->raised($error);
        }
        if (\getmypid() !== $this->pid) {
            exit(0); // a child that user code forked and let return
        }
        while (\ob_get_level() > 0) {
            \ob_end_flush();
        }
        $this->context = null;
        $this->answer($answer);
    }

    private function judge(mixed $value): string
    {
        try {
            // An empty array is a dictionary: so main() may answer nothing in particular.
            $json = $value === [] ? '{}' : (\is_array($value) || \is_object($value) ? \json_encode($value, self::JSON, self::DEPTH_MAX) : '');
        } catch (\JsonException $error) {
            return $this->developerError("The action's result cannot be written as JSON: {$error->getMessage()}");
        }
        if ($json !== '' && ($json[0] === '{' || $json[0] === '[')) {
            return $json;
        }
        return $this->developerError('The action did not return a dictionary or array.');
    }

    private function raised(\Throwable $error): string
    {
        $this->tell($error);
        return $this->json(['error' => $error->getMessage() === '' ? $error::class : $error->getMessage()]);
    }

    private function environment(object $call): void
    {
        foreach (self::NAMES as $name) {
            $this->setVariable('__OW_' . \strtoupper($name), $call->$name ?? null);
        }
        $this->setVariable('WEFT_TRACEPARENT', $call->traceparent ?? null);
    }

    private function setVariable(string $name, ?string $value): void
    {
        if ($value === null) {
            \putenv($name);
            unset($_ENV[$name], $_SERVER[$name]);
        } else {
            \putenv("$name=$value");
            $_ENV[$name] = $_SERVER[$name] = $value;
        }
    }

    /** The error with its trace, without our own frames. */
    private function tell(\Throwable $error): void
    {
        for ($one = $error, $text = ''; $one !== null; $one = $one->getPrevious()) {
            $text .= ($text === '' ? '' : 'caused by ') . "" . $one::class . ": {$one->getMessage()} in {$one->getFile()}:{$one->getLine()}\n";
            foreach ($one->getTrace() as $i => $frame) {
                if (($frame['file'] ?? '') === __FILE__) {
                    break;
                }
                $where = isset($frame['file']) ? "{$frame['file']}({$frame['line']})" : '[internal function]';
                $text .= "#$i $where: " . ($frame['class'] ?? '') . ($frame['type'] ?? '') . "{$frame['function']}()\n";
            }
        }
        \fwrite(\STDERR, $this->short($text));
    }

    private function short(string $text): string
    {
        return \str_replace("$this->directory/", '', $text);
    }

    /** Half of a surrogate pair, for which UTF-8 has no bytes, becomes the sign for what cannot be said. */
    private function mended(string $line): string
    {
        return \preg_replace(
            '/\\\\\\\\(*SKIP)(*FAIL)|\\\\u[dD][89abAB][0-9a-fA-F]{2}\\\\u[dD][c-fC-F][0-9a-fA-F]{2}(*SKIP)(*FAIL)|\\\\u[dD][89a-fA-F][0-9a-fA-F]{2}/',
            '\ufffd',
            $line,
        );
    }

    private function developerError(string $text): string
    {
        return $this->json(['weft_developer_error' => $text]);
    }

    private function refuse(string $problem): never
    {
        $this->answer($this->json(['error' => $problem]));
        exit(0);
    }

    private function json(array $value): string
    {
        return \json_encode($value, self::JSON | JSON_INVALID_UTF8_SUBSTITUTE);
    }

    private function answer(string $json): void
    {
        \fwrite($this->answers, "$json\n");
        \fflush($this->answers);
    }
}

/** With no variable of ours in sight. */
function bring(string $__file): void
{
    require $__file;
}

\ini_set('display_errors', 'stderr');
\ini_set('html_errors', '0');
\ini_set('log_errors', '0');
\ini_set('memory_limit', '-1'); // the sandbox has one
\error_reporting(\E_ALL);

(new Loop(\getmypid()))->serve();
