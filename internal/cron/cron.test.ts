import { describe, expect, it } from "vitest";

import { readCron } from "./cron.js";

const at = (text: string): number => Date.parse(text);

const next = (pattern: string, timezone: string | undefined, from: string, count: number): string[] => {
  const times = readCron(pattern, timezone);
  const found: string[] = [];
  for (let ms: number | undefined = at(from); found.length < count;) {
    ms = times.after(ms);
    if (ms === undefined) break;
    found.push(new Date(ms).toISOString().replace(":00.000Z", "Z"));
  }
  return found;
};

describe("a pattern", () => {
  it.each<[string, string, string[]]>([
    ["* * * * *", "2026-01-01T00:00:00Z", ["2026-01-01T00:01Z", "2026-01-01T00:02Z"]],
    ["*/30 * * * * *", "2026-01-01T00:00:00.500Z", ["2026-01-01T00:00:30.000Z", "2026-01-01T00:01Z"]],
    ["0 */2 * * *", "2026-01-01T01:59:59.999Z", ["2026-01-01T02:00Z", "2026-01-01T04:00Z"]],
    ["0 9 8 * *", "2026-01-08T09:00:00Z", ["2026-02-08T09:00Z", "2026-03-08T09:00Z"]],
    ["0 0 29 2 *", "2026-01-01T00:00:00Z", ["2028-02-29T00:00Z"]],
    ["0 0 * * 7", "2026-01-01T00:00:00Z", ["2026-01-04T00:00Z"]], // Sunday is 0 and 7
    ["0 0 * * MON-FRI", "2026-01-02T12:00:00Z", ["2026-01-05T00:00Z"]],
    ["0 0 13 * 5", "2026-01-01T00:00:00Z", ["2026-01-02T00:00Z", "2026-01-09T00:00Z", "2026-01-13T00:00Z"]], // either
    ["0 0 1 1 *", "2026-01-01T00:00:00Z", ["2027-01-01T00:00Z"]], // months count from 1
  ])("%s fires after %s at %j", (pattern, from, times) => {
    expect(next(pattern, undefined, from, times.length)).toEqual(times);
  });

  it("that never comes has no time", () => {
    expect(readCron("0 0 30 2 *", undefined).after(at("2026-01-01T00:00:00Z"))).toBeUndefined();
    expect(readCron("0 0 30 2 *", undefined).latest(3, at("2026-01-01T00:00:00Z"))).toEqual([]);
  });

  it("tells its latest times, the latest first, that of the moment itself included", () => {
    const times = readCron("*/10 * * * * *", undefined);
    const to = (count: number, wall: string): string[] =>
      times.latest(count, at(wall)).map((ms) => new Date(ms).toISOString().slice(17, 19));
    expect(to(3, "2026-01-01T00:00:30.000Z")).toEqual(["30", "20", "10"]);
    expect(to(2, "2026-01-01T00:00:39.999Z")).toEqual(["30", "20"]);
  });

  it.each([
    "",
    "* * * *",
    "* * * * * * *",
    "61 * * * *",
    "a b c d e",
    "*/0 * * * *",
    "* * * * * ; drop",
    "0 0 0 0 0",
    "*".repeat(300),
  ])("%j is refused", (pattern) => {
    expect(() => readCron(pattern, undefined)).toThrow(
      expect.objectContaining({ kind: "invalidArgument", fields: [expect.objectContaining({ field: "cron" })] }),
    );
  });

  it.each(["Mars/Base", "Europe/", "🙂"])("in the time zone %s is refused", (timezone) => {
    expect(() => readCron("* * * * *", timezone)).toThrow("Invalid timezone.");
  });
});

describe("when clocks change in Berlin", () => {
  // From 02:00 to 03:00 on 2026-03-29, and from 03:00 to 02:00 on 2026-10-25.
  it.each<[string, string, string, string[]]>([
    [
      "a time of day that is left out fires after the gap",
      "30 2 * * *",
      "2026-03-28T00:00:00Z",
      ["2026-03-28T01:30Z", "2026-03-29T01:00Z", "2026-03-30T00:30Z"],
    ],
    [
      "a time of day that comes twice fires once",
      "30 2 * * *",
      "2026-10-24T00:00:00Z",
      ["2026-10-24T00:30Z", "2026-10-25T00:30Z", "2026-10-26T01:30Z"],
    ],
    [
      "minutes go on through the gap",
      "*/30 * * * *",
      "2026-03-29T00:00:00Z",
      ["2026-03-29T00:30Z", "2026-03-29T01:00Z", "2026-03-29T01:30Z"],
    ],
    [
      "minutes go on through the hour that comes twice",
      "*/30 * * * *",
      "2026-10-24T23:45:00Z",
      ["2026-10-25T00:00Z", "2026-10-25T00:30Z", "2026-10-25T01:00Z", "2026-10-25T01:30Z", "2026-10-25T02:00Z"],
    ],
    [
      "every hour is every hour that passes",
      "15 * * * *",
      "2026-10-24T23:45:00Z",
      ["2026-10-25T00:15Z", "2026-10-25T01:15Z", "2026-10-25T02:15Z", "2026-10-25T03:15Z"],
    ],
  ])("%s", (_what, pattern, from, times) => {
    expect(next(pattern, "Europe/Berlin", from, times.length)).toEqual(times);
  });

  it("half an hour is moved in Lord Howe", () => {
    expect(next("15 2 * * *", "Australia/Lord_Howe", "2026-10-02T16:00:00Z", 3)).toEqual([
      "2026-10-03T15:30Z", // from 02:00 to 02:30
      "2026-10-04T15:15Z",
      "2026-10-05T15:15Z",
    ]);
  });
});
