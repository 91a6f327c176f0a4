// The pages of `/api/v1/docs`: Swagger's own, looking at our document and at nothing else.

import { emptyResponse, pathOf, type RestResponse } from "../message.js";

/** A file of the pages, by name. */
export interface DocsFile {
  readonly type: string;
  readonly body: Buffer;
}

/** @returns undefined for a file that is not there */
export type ReadDocsFile = (name: string) => DocsFile | undefined;

/** Nothing is loaded from elsewhere, nothing embeds the pages, and nothing that is written into them runs. */
const SECURITY: RestResponse["headers"] = [
  [
    "Content-Security-Policy",
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
      "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  ],
  ["X-Content-Type-Options", "nosniff"],
  ["Referrer-Policy", "no-referrer"],
];

/**
 * @param read without it there are no pages
 * @returns undefined when the path is none of these pages
 */
export function docsPage(base: string, target: string, read: ReadDocsFile | undefined): RestResponse | undefined {
  const path = pathOf(target);
  const from = { [`${base}/docs`]: "docs/index.html", [`${base}/docs/`]: "index.html" }[path];
  if (!read) return undefined;
  if (from !== undefined) return emptyResponse(308, [["Location", `${from}?url=${base}/api-docs`], ...SECURITY]);
  const directory = `${base}/docs/`;
  if (!path.startsWith(directory)) return undefined;
  const file = pageOf(base, path.slice(directory.length)) ?? read(path.slice(directory.length));
  if (!file) return undefined;
  const headers = [...SECURITY, ["Cache-Control", "public, max-age=3600"] as const];
  return { status: 200, headers, contentType: file.type, body: file.body };
}

/** What is ours of the pages. */
function pageOf(base: string, name: string): DocsFile | undefined {
  switch (name) {
    case "index.html":
      return { type: "text/html; charset=utf-8", body: Buffer.from(INDEX) };
    case "initializer.js":
      return { type: "text/javascript; charset=utf-8", body: Buffer.from(initializer(base)) };
    default:
      return undefined;
  }
}

const INDEX = `<!DOCTYPE html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <title>REST API of Weft</title>
    <link rel="stylesheet" href="swagger-ui.css">
    <link rel="stylesheet" href="index.css">
    <link rel="icon" type="image/png" href="favicon-32x32.png" sizes="32x32">
  </head>
  <body>
    <div id="swagger-ui"></div>
    <script src="swagger-ui-bundle.js"></script>
    <script src="initializer.js"></script>
  </body>
</html>
`;

/** The document is always ours, whatever `?url=` says: a link must not put another's words in our mouth. */
function initializer(base: string): string {
  return `window.ui = SwaggerUIBundle({
  url: "${base}/api-docs",
  dom_id: "#swagger-ui",
  deepLinking: true,
  queryConfigEnabled: false,
  validatorUrl: null,
});
`;
}
