// Package registries for tests, by the protocols of npm, PyPI (simple index), RubyGems (compact index) and Packagist. Each has
// one package, `weft-greeting` (`weft/greeting` for Composer), in the versions 1.0.0 and 1.1.0, that says which it is. Builds
// reach them under the name registry.test, because some tools use no proxy for a loopback address.

import { createHash } from "node:crypto";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";

import { tarGzOf, tarOf } from "./tar.js";
import { zipOf } from "./zip.js";

const HOST = "registry.test";
const BASE = `http://${HOST}`;
const VERSIONS = ["1.0.0", "1.1.0"];

export class Registries {
  /** The newest version that they know. */
  newest = "1.1.0";
  /** Paths that were asked for, in order. */
  readonly asked: string[] = [];
  readonly #files = new Map<string, Uint8Array>();

  private constructor(private readonly server: Server) {
    for (const version of VERSIONS) {
      this.#files.set(`/npm/weft-greeting/-/weft-greeting-${version}.tgz`, npmPackage(version));
      this.#files.set(`/pypi/files/${wheelName(version)}`, wheel(version));
      this.#files.set(`/rubygems/gems/weft-greeting-${version}.gem`, gem(version));
      this.#files.set(`/packagist/files/${version}.zip`, composerPackage(version));
    }
  }

  static async start(): Promise<Registries> {
    const server = createServer();
    const registries = new Registries(server);
    server.on("request", (request, response) => {
      const path = decodeURIComponent(new URL(request.url ?? "/", BASE).pathname);
      registries.asked.push(path);
      const body = registries.#answer(path);
      response.writeHead(body === undefined ? 404 : 200, { "content-type": typeOf(path) }).end(body ?? "{}");
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return registries;
  }

  /** Variables of invokers whose builds reach these and no others. */
  get env(): Readonly<Record<string, string>> {
    const { port } = this.server.address() as AddressInfo;
    return {
      WEFT_BUILD_REGISTRIES: `${HOST}:80=127.0.0.1:${port}`,
      WEFT_BUILD_ENV: JSON.stringify({
        npm_config_registry: `${BASE}/npm/`,
        PIP_INDEX_URL: `${BASE}/pypi/simple/`,
        PIP_TRUSTED_HOST: HOST,
        BUNDLE_MIRROR__ALL: `${BASE}/rubygems/`,
        // Composer knows no variable for it: composer.json names ${BASE}/packagist.
      }),
    };
  }

  close(): Promise<void> {
    this.server.closeAllConnections();
    return new Promise((resolve) => {
      this.server.close(() => resolve());
    });
  }

  #answer(path: string): string | Uint8Array | undefined {
    const file = this.#files.get(path);
    if (file) return file;
    const versions = VERSIONS.slice(0, VERSIONS.indexOf(this.newest) + 1);
    switch (path) {
      case "/npm/weft-greeting":
        return this.#packument(versions);
      case "/pypi/simple/weft-greeting/":
        return versions.map((version) => this.#link(version)).join("\n");
      case "/rubygems/versions":
        return `created_at: 2026-01-01T00:00:00Z\n---\nweft-greeting ${versions.join(",")} ${md5(this.#gemInfo(versions))}\n`;
      case "/rubygems/info/weft-greeting":
        return this.#gemInfo(versions);
      case "/packagist/packages.json":
        return JSON.stringify({ packages: [], "metadata-url": "/packagist/p2/%package%.json" });
      case "/packagist/p2/weft/greeting.json":
        return JSON.stringify({
          packages: { "weft/greeting": versions.map((version) => this.#composerVersion(version)) },
        });
      default:
        return undefined;
    }
  }

  #packument(versions: readonly string[]): string {
    const described = versions.map((version) => {
      const path = `/npm/weft-greeting/-/weft-greeting-${version}.tgz`;
      const integrity = `sha512-${createHash("sha512").update(this.#bytes(path)).digest("base64")}`;
      return [version, { name: "weft-greeting", version, dist: { tarball: `${BASE}${path}`, integrity } }];
    });
    return JSON.stringify({
      name: "weft-greeting",
      "dist-tags": { latest: this.newest },
      versions: Object.fromEntries(described) as unknown,
    });
  }

  #link(version: string): string {
    const name = wheelName(version);
    const path = `/pypi/files/${name}`;
    return `<a href="${path}#sha256=${sha256(this.#bytes(path))}">${name}</a>`;
  }

  #gemInfo(versions: readonly string[]): string {
    const lines = versions.map((version) => {
      const sum = sha256(this.#bytes(`/rubygems/gems/weft-greeting-${version}.gem`));
      return `${version} |checksum:${sum}\n`;
    });
    return `---\n${lines.join("")}`;
  }

  #composerVersion(version: string): unknown {
    const path = `/packagist/files/${version}.zip`;
    const shasum = createHash("sha1").update(this.#bytes(path)).digest("hex");
    return {
      name: "weft/greeting",
      version,
      version_normalized: `${version}.0`,
      dist: { type: "zip", url: `${BASE}${path}`, shasum },
      autoload: { files: ["greeting.php"] },
    };
  }

  #bytes(path: string): Uint8Array {
    const bytes = this.#files.get(path);
    if (!bytes) throw new Error(`no ${path}`);
    return bytes;
  }
}

function npmPackage(version: string): Uint8Array {
  const manifest = { name: "weft-greeting", version, main: "index.js" };
  return tarGzOf([
    { name: "package/package.json", content: JSON.stringify(manifest) },
    { name: "package/index.js", content: `module.exports = ${JSON.stringify(version)};\n` },
  ]);
}

const wheelName = (version: string): string => `weft_greeting-${version}-py3-none-any.whl`;

function wheel(version: string): Uint8Array {
  const files = [
    { name: "weft_greeting.py", content: `VERSION = "${version}"\n` },
    {
      name: `weft_greeting-${version}.dist-info/METADATA`,
      content: `Metadata-Version: 2.1\nName: weft-greeting\nVersion: ${version}\n`,
    },
    {
      name: `weft_greeting-${version}.dist-info/WHEEL`,
      content: "Wheel-Version: 1.0\nGenerator: weft\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    },
  ];
  const record = `weft_greeting-${version}.dist-info/RECORD`;
  const lines = files.map(({ name, content }) => {
    const sum = createHash("sha256").update(content).digest("base64url");
    return `${name},sha256=${sum},${content.length}`;
  });
  return zipOf([...files, { name: record, content: [...lines, `${record},,`, ""].join("\n") }]);
}

function gem(version: string): Uint8Array {
  const metadata = `--- !ruby/object:Gem::Specification
name: weft-greeting
version: !ruby/object:Gem::Version
  version: ${version}
platform: ruby
authors:
- Weft
date: 2026-01-01 00:00:00.000000000 Z
dependencies: []
files:
- lib/weft_greeting.rb
require_paths:
- lib
required_ruby_version: !ruby/object:Gem::Requirement
  requirements:
  - - ">="
    - !ruby/object:Gem::Version
      version: '0'
required_rubygems_version: !ruby/object:Gem::Requirement
  requirements:
  - - ">="
    - !ruby/object:Gem::Version
      version: '0'
summary: says which version it is
specification_version: 4
`;
  const data = tarGzOf([{ name: "lib/weft_greeting.rb", content: `WEFT_GREETING = "${version}"\n` }]);
  return tarOf([
    { name: "metadata.gz", content: gzipSync(metadata) },
    { name: "data.tar.gz", content: data },
  ]);
}

function composerPackage(version: string): Uint8Array {
  return zipOf([
    { name: "greeting/composer.json", content: JSON.stringify({ name: "weft/greeting" }) },
    { name: "greeting/greeting.php", content: `<?php\n\nconst WEFT_GREETING = '${version}';\n` },
  ]);
}

function typeOf(path: string): string {
  if (path.startsWith("/pypi/simple")) return "text/html";
  return path.startsWith("/rubygems") ? "text/plain" : "application/json";
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function md5(text: string): string {
  return createHash("md5").update(text).digest("hex");
}
