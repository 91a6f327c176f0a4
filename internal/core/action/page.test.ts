import { describe, expect, it } from "vitest";

import { Violations } from "../../base/violations.js";
import { cutPage, isActivationPosition, isEntityPosition, readPage } from "./page.js";

const first = { pageSize: 0, pageToken: "", skip: 0 };
const list = ["actions", "guest", undefined];
const position = { updatedWallMs: 1_700_000_000_000.5, name: "näme" };

function read(request: Partial<typeof first>, of: readonly (string | undefined)[] = list) {
  const violations = new Violations();
  const page = readPage({ ...first, ...request }, of, isEntityPosition, violations);
  return { page, wrong: violations.found.map((one) => one.field) };
}

describe("a page", () => {
  it("has 30 entries unless it is said otherwise", () => {
    expect(read({}).page.size).toBe(30);
    expect(read({ pageSize: 200 }).page.size).toBe(200);
  });

  it("begins where the token of the page before it says", () => {
    const token = read({}).page.next(position);
    expect(read({ pageToken: token })).toMatchObject({ page: { after: position }, wrong: [] });
    expect(token).toMatch(/^[\w-]+$/);
  });

  it.each([
    ["a token that is none", { pageToken: "hello" }, ["page_token"]],
    ["a token in another alphabet", { pageToken: "*" }, ["page_token"]],
    ["a token of endless length", { pageToken: "a".repeat(10_000) }, ["page_token"]],
    ["a negative size", { pageSize: -1 }, ["page_size"]],
    ["a size too large", { pageSize: 201 }, ["page_size"]],
    ["a negative skip", { skip: -1 }, ["skip"]],
    ["a skip too large", { skip: 1_000_001 }, ["skip"]],
    ["skip and token together", { skip: 1, pageToken: read({}).page.next(position) }, ["skip"]],
    ["everything wrong", { skip: -1, pageSize: 999, pageToken: "x" }, ["page_size", "skip", "page_token"]],
  ])("with %s is refused", (_name, request, wrong) => {
    expect(read(request).wrong).toEqual(wrong);
  });

  it("is not to be had with a token of another list, or with one that was changed", () => {
    const token = read({}).page.next(position);
    expect(read({ pageToken: token }, ["triggers", "guest", undefined]).wrong).toEqual(["page_token"]);
    expect(read({ pageToken: token }, ["actions", "other", undefined]).wrong).toEqual(["page_token"]);
    const other = token.endsWith("A") ? "B" : "A";
    expect(read({ pageToken: token.slice(0, -1) + other }).wrong).toEqual(["page_token"]);
  });

  it("is not to be had with a token whose position is of another shape", () => {
    const violations = new Violations();
    const page = readPage(first, list, (value): value is number => typeof value === "number", violations);
    expect(read({ pageToken: page.next(7) }).wrong).toEqual(["page_token"]);
    expect(isEntityPosition(null)).toBe(false);
    expect(isEntityPosition({ updatedWallMs: 1, name: "\0" })).toBe(false);
    expect(isActivationPosition({ startWallMs: 1, id: "0".repeat(32) })).toBe(true);
    expect(isActivationPosition({ startWallMs: 1.5, id: "0".repeat(32) })).toBe(false);
    expect(isActivationPosition({ startWallMs: 1, id: "x" })).toBe(false);
  });

  it("is cut from one entry more", () => {
    expect(cutPage([1, 2, 3], 2)).toEqual({ entries: [1, 2], more: true });
    expect(cutPage([1, 2], 2)).toEqual({ entries: [1, 2], more: false });
  });

  it("ends with the entry that fills it, and has at least one", () => {
    const bytes = (entry: number): number => entry;
    expect(cutPage([4, 4, 4, 4], 3, bytes, 8)).toEqual({ entries: [4, 4], more: true });
    expect(cutPage([4, 4, 4, 4], 3, bytes, 9)).toEqual({ entries: [4, 4, 4], more: true });
    expect(cutPage([100, 1], 3, bytes, 8)).toEqual({ entries: [100], more: true });
    expect(cutPage([1, 100], 3, bytes, 8)).toEqual({ entries: [1, 100], more: false });
    expect(cutPage([], 3, bytes, 8)).toEqual({ entries: [], more: false });
  });
});
