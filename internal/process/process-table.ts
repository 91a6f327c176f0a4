// What the operating system says about running processes: from /proc where there is one, else from ps.

import { execFile, execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";

export interface SessionUse {
  /** Memory that is the session's own, not shared with a file or another process. */
  memoryBytes: number;
  /** Processes and threads. */
  tasks: number;
  processes: number;
}

export interface ProcessTable {
  /** True when it sees who carries a mark in its environment. */
  readonly seesMarks: boolean;
  /** What each of these sessions uses; a session that has ended is missing. */
  sessions(sessionIds: ReadonlySet<number>): Promise<ReadonlyMap<number, SessionUse>>;
  /** Own memory of one process, cheap enough to ask often; undefined when it has ended or cannot be asked cheaply. */
  memoryOf(pid: number): number | undefined;
  /** A number that grows when any process or thread begins; undefined when that cannot be told. */
  births(): number | undefined;
  /** When a process began, comparable only with itself; undefined when there is no such process. */
  startOf(pid: number): string | undefined;
  /** Processes of this user whose first environment has the variable `name` with one of the values, by value. */
  marked(name: string, values: ReadonlySet<string>): ReadonlyMap<number, string>;
}

/** The one that fits this machine. */
export function processTable(): ProcessTable {
  return existsSync("/proc/self/statm") ? new ProcTable(pageBytes()) : new PsTable();
}

function pageBytes(): number {
  try {
    return Number(execFileSync("getconf", ["PAGESIZE"], { encoding: "utf8", env: { PATH: process.env["PATH"] } }));
  } catch {
    return 4096; // what every machine without getconf has
  }
}

/** Linux. Reads are synchronous: /proc answers from memory, and a promise per file would cost more than the read. */
export class ProcTable implements ProcessTable {
  readonly seesMarks = true;

  constructor(private readonly pageBytes: number) {}

  sessions(sessionIds: ReadonlySet<number>): Promise<ReadonlyMap<number, SessionUse>> {
    const uses = new Map<number, SessionUse>();
    for (const pid of pids()) {
      const stat = statOf(pid);
      if (!stat || stat.zombie || !sessionIds.has(stat.session)) continue;
      const use = uses.get(stat.session) ?? { memoryBytes: 0, tasks: 0, processes: 0 };
      uses.set(stat.session, use);
      use.memoryBytes += this.memoryOf(pid) ?? 0;
      use.tasks += stat.threads;
      use.processes += 1;
    }
    return Promise.resolve(uses);
  }

  memoryOf(pid: number): number | undefined {
    const statm = readIf(`/proc/${pid}/statm`)?.split(" ");
    return statm && (Number(statm[1]) - Number(statm[2])) * this.pageBytes;
  }

  births(): number | undefined {
    const last = readIf("/proc/loadavg")?.trim().split(" ").at(-1);
    return last === undefined ? undefined : Number(last);
  }

  startOf(pid: number): string | undefined {
    return statOf(pid)?.start;
  }

  marked(name: string, values: ReadonlySet<string>): ReadonlyMap<number, string> {
    const found = new Map<number, string>();
    for (const pid of pids()) {
      const environment = readIf(`/proc/${pid}/environ`);
      if (!environment) continue;
      const at = environment.indexOf(`${name}=`);
      if (at < 0 || (at > 0 && environment[at - 1] !== "\0")) continue;
      const end = environment.indexOf("\0", at);
      const value = environment.slice(at + name.length + 1, end < 0 ? undefined : end);
      if (values.has(value)) found.set(pid, value);
    }
    return found;
  }
}

interface Stat {
  readonly zombie: boolean;
  readonly session: number;
  readonly threads: number;
  readonly start: string;
}

function statOf(pid: number): Stat | undefined {
  const text = readIf(`/proc/${pid}/stat`);
  if (text === undefined) return undefined;
  // The name before it may hold spaces and brackets. proc(5) counts fields from 1, and the state is the third.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return {
    zombie: fields[0] === "Z" || fields[0] === "X",
    session: Number(fields[3]),
    threads: Number(fields[17]),
    start: fields[19] ?? "",
  };
}

function pids(): number[] {
  return readdirSync("/proc").map(Number).filter(Boolean);
}

/** Undefined when the process has ended or is another user's. */
function readIf(path: string): string | undefined {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return undefined;
  }
}

/** Everywhere else: macOS, the BSDs. */
export class PsTable implements ProcessTable {
  readonly seesMarks = false;

  /** ps does not tell sessions everywhere, but groups; the leader of the one leads the other. */
  sessions(sessionIds: ReadonlySet<number>): Promise<ReadonlyMap<number, SessionUse>> {
    return new Promise((resolve) => {
      execFile("ps", ["-A", "-o", "pgid=,rss="], { maxBuffer: 16 * 1024 * 1024 }, (_failed, text) => {
        const uses = new Map<number, SessionUse>();
        for (const line of text.split("\n")) {
          const [group = 0, rssKib = 0] = line.trim().split(/\s+/).map(Number);
          if (!sessionIds.has(group)) continue;
          const use = uses.get(group) ?? { memoryBytes: 0, tasks: 0, processes: 0 };
          uses.set(group, use);
          use.memoryBytes += rssKib * 1024;
          use.tasks += 1;
          use.processes += 1;
        }
        resolve(uses);
      });
    });
  }

  memoryOf(): undefined {
    return undefined;
  }

  births(): undefined {
    return undefined;
  }

  startOf(pid: number): string | undefined {
    try {
      const text = execFileSync("ps", ["-o", "lstart=", "-p", String(pid)], {
        encoding: "utf8",
        stdio: ["ignore", "pipe", "ignore"],
      }).trim();
      return text === "" ? undefined : text;
    } catch {
      return undefined; // ps answers 1 when there is no such process
    }
  }

  marked(): ReadonlyMap<number, string> {
    return new Map();
  }
}
