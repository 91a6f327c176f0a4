// wskdeploy, OpenWhisk's deployment tool, drives a whole Weft with manifests of every kind of entity.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import openwhisk from "openwhisk";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { openFabric, UP_SERVICES, type OpenFabric } from "../e2e/fabrics.js";
import { describeWith } from "../harness/services.js";
import { zipOf } from "../harness/zip.js";
import { ClientProgram } from "./program.js";

const MANIFEST = `
project:
  name: fleet
  packages:
    shop:
      version: 1.0.0
      license: Apache-2.0
      inputs:
        currency: { type: string, value: EUR }
      annotations:
        description: a shop
      dependencies:
        tools:
          location: /whisk.system/utils
          inputs:
            separator: ";"
      actions:
        price:
          function: src/price.js
          runtime: nodejs:20
          inputs:
            amount: { type: integer, value: 3 }
          limits: { timeout: 5000, memorySize: 128, logSize: 1 }
          annotations:
            note: kept
        snake:
          function: src/snake.py
        page:
          function: src/page.js
          web-export: true
        boxed:
          function: src/boxed.zip
          runtime: nodejs:20
        folder:
          function: src/folder
          runtime: nodejs:20
      sequences:
        both:
          actions: price, snake
      triggers:
        ordered:
          inputs:
            amount: 5
      rules:
        on-order:
          trigger: ordered
          action: price
`;
/** What the Apis add. */
const APIS = `
project:
  name: gate
  packages:
    gate:
      actions:
        page:
          function: src/page.js
          web-export: true
      apis:
        gate-api:
          gate:
            hello:
              page:
                method: get
                response: json
`;
const ALARMS = `
project:
  name: clock
  packages:
    clock:
      actions:
        price:
          function: src/price.js
      triggers:
        hourly:
          feed: /whisk.system/alarms/alarm
          inputs:
            cron: "0 * * * *"
      rules:
        each-hour:
          trigger: hourly
          action: price
`;

function suite(mode: "dev" | "up"): void {
  describe(`wskdeploy, in ${mode}`, () => {
    let open: OpenFabric;
    let tool: ClientProgram;
    let ow: openwhisk.Client;

    beforeAll(async () => {
      open = await openFabric({ mode, invokers: 1 });
      ow = openwhisk({ apihost: open.fabric.rest, api_key: open.fabric.auth });
      tool = new ClientProgram("WSKDEPLOY", open.fabric);
      tool.write("manifest.yaml", MANIFEST);
      for (const folder of ["src", "src/folder"]) mkdirSync(join(tool.directory, folder));
      tool.write("src/price.js", "function main(p) { return { price: p.amount + ' ' + p.currency }; }\n");
      tool.write("src/snake.py", "def main(params):\n  return {'snake': params}\n");
      tool.write("src/page.js", "function main(p) { return { hello: p.name }; }\n");
      tool.write("src/boxed.zip", zipOf([{ name: "index.js", content: "exports.main = () => ({ boxed: true });" }]));
      tool.write("src/folder/index.js", "exports.main = () => ({ from: require('./part') });\n");
      tool.write("src/folder/part.js", "module.exports = 'part';\n");
      tool.write("src/folder/package.json", `{ "main": "index.js" }`);
    });
    afterAll(async () => {
      tool.close();
      await open.close();
    });

    const names = async (of: "actions" | "packages" | "triggers" | "rules"): Promise<string[]> =>
      (await ow[of].list()).map(({ name }) => name ?? "").sort();
    const result = (name: string, params: object = {}): Promise<unknown> =>
      ow.actions.invoke({ name, params, blocking: true, result: true });

    it("shows a plan and changes nothing", async () => {
      expect(await tool.ok("--preview")).toMatch(/shop[^]*price/);
      expect(await names("packages")).toEqual([]);
    });

    it("deploys every kind of entity", async () => {
      expect(await tool.ok()).toContain("Deployment completed successfully");
      expect(await names("packages")).toEqual(["shop", "tools"]);
      expect(await names("actions")).toEqual(["both", "boxed", "folder", "page", "price", "snake"]);
      expect(await names("triggers")).toEqual(["ordered"]);
      expect(await names("rules")).toEqual(["on-order"]);
      expect(await ow.actions.get("shop/price")).toMatchObject({
        limits: { timeout: 5_000, memory: 128, logs: 1 },
        annotations: expect.arrayContaining([{ key: "note", value: "kept" }]) as unknown,
      });
      expect(await result("shop/price")).toEqual({ price: "3 EUR" });
      expect(await result("shop/both")).toEqual({ snake: { price: "3 EUR", currency: "EUR" } });
      expect(await result("shop/boxed")).toEqual({ boxed: true });
      expect(await result("shop/folder")).toEqual({ from: "part" });
      expect(await result("tools/split", { payload: "a;b" })).toMatchObject({ lines: ["a", "b"] });
      expect(JSON.parse((await tool.fetch("/api/v1/web/guest/shop/page.json?name=Web")).text)).toEqual({
        hello: "Web",
      });
      expect((await ow.triggers.invoke({ name: "ordered" })) as unknown).toMatchObject({
        activationId: expect.stringMatching(/^[0-9a-f]{32}$/) as string,
      });
    });

    it("deploys again what changed", async () => {
      tool.write("manifest.yaml", MANIFEST.replace("value: EUR", "value: NOK"));
      await tool.ok("-m", "manifest.yaml");
      expect(await result("shop/price")).toEqual({ price: "3 NOK" });
      expect((await ow.actions.get("shop/price")).version).toBe("0.0.2");
    });

    it("is told of a kind that is not here, and takes back what it did before", async () => {
      const actions = "    actions:\n      a:\n        function: src/price.js\n        runtime: cobol:85\n";
      tool.write("bad.yaml", `packages:\n  bad:\n${actions}`);
      expect(await tool.fails(255, "-m", "bad.yaml", "--strict")).toContain("cobol:85");
      expect(await names("actions")).not.toContain("a");
      await tool.run("undeploy", "-m", "bad.yaml");
      await ow.packages.delete("bad").catch(() => {}); // it stops at the action that is not there
      expect(await names("packages")).toEqual(["shop", "tools"]);
    });

    it("exports what there is", async () => {
      await tool.ok("sync", "-m", "manifest.yaml", "--projectname", "fleet");
      await tool.ok("export", "-m", "exported.yaml", "--projectname", "fleet");
      expect(await tool.ok("report", "-m", "manifest.yaml")).toMatch(/shop/);
    });

    it("undeploys managed entities that the manifest does not name any more", async () => {
      tool.write(
        "manifest.yaml",
        MANIFEST.replace(/ {8}snake:\n.*\n/, "").replace(/ {6}sequences:\n(?: {8}.*\n)*/, ""),
      );
      await tool.ok("sync", "-m", "manifest.yaml", "--projectname", "fleet");
      expect(await names("actions")).toEqual(["boxed", "folder", "page", "price"]);
    });

    it("undeploys everything", async () => {
      expect(await tool.ok("undeploy", "-m", "manifest.yaml")).toContain("Undeployment completed successfully");
      for (const of of ["packages", "actions", "triggers", "rules"] as const)
        expect([of, await names(of)]).toEqual([of, []]);
    });

    it("deploys and undeploys APIs", async () => {
      tool.write("apis.yaml", APIS);
      const said = await tool.ok("-m", "apis.yaml");
      expect(said).toContain("Deployment completed successfully");
      const { apis } = (await ow.routes.list()) as unknown as { apis: { value: { gwApiUrl: string } }[] };
      expect(apis).toHaveLength(1);
      const answer = await tool.fetch(`${apis[0]?.value.gwApiUrl ?? ""}/hello?name=Api`);
      expect(JSON.parse(answer.text)).toEqual({ hello: "Api" });
      await tool.ok("undeploy", "-m", "apis.yaml");
      expect(((await ow.routes.list()) as unknown as { apis: unknown[] }).apis).toEqual([]);
    });

    it("deploys and undeploys triggers of the alarms package", async () => {
      tool.write("alarms.yaml", ALARMS);
      await tool.ok("-m", "alarms.yaml");
      expect(await ow.triggers.get("hourly")).toMatchObject({
        annotations: expect.arrayContaining([{ key: "feed", value: "/whisk.system/alarms/alarm" }]) as unknown,
      });
      await tool.ok("undeploy", "-m", "alarms.yaml");
      expect(await names("triggers")).toEqual([]);
    });
  });
}

suite("dev");
describeWith(UP_SERVICES, "up", () => suite("up"));
